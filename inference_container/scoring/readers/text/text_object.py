"""The common part of CSV and JSON Lines: numbering of rows, and rejection of bad rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.dataset.formats import HEAD_BYTES, ObjectFormat
from contract.dataset.text_encoding import readable
from contract.dataset.text_head import HeadError, NoDataError, head_names
from contract.job.job_input import JobInput
from scoring.columns.arrow_types import arrow_type
from scoring.errors import DataError
from scoring.readers.input_object import InputBatch, Reading, RejectedRow, UnfitCell
from scoring.readers.text.text_stream import TextStream

BLOCK_BYTES = 4 << 20
"""Bytes of text to parse at once."""
CHUNK_BYTES = 64 << 10
"""Bytes per chunk of a block with a bad row; only chunks with a bad row are parsed row by row."""
MAX_RECORD_BYTES = 16 << 20
"""Longest row in bytes, which bounds memory. Longer rows are probably not rows."""
_COUNTING_BATCH_ROWS = 65_536
_SHOWN_RAW_CHARACTERS = 1_000
_SHOWN_VALUE_CHARACTERS = 60


@dataclass(frozen=True)
class UnreadableRow:
    """A row that cannot be read; `index` is its position in its `ParsedRows`.

    `reason` and `detail` are as in `BadRow`.
    """

    index: int
    reason: str
    raw: str
    detail: str = ""


class RowProblems:
    """The bad rows among some rows, and the cells that are bad only for some models."""

    def __init__(self, wanted: JobInput, bad: dict[int, UnreadableRow]) -> None:
        """`bad` are the rows that are bad for all models; more are added."""
        self.bad = bad
        self._unfit: list[UnfitCell] = []
        self._wanted = wanted

    def add(self, index: int, column: str, reason: str, raw: bytes, detail: str = "") -> None:
        """Add a bad cell of a row that is not bad for all models yet."""
        if self._wanted.is_read_by_all(column):
            self.bad.setdefault(index, UnreadableRow(index, reason, shown_raw(raw), detail))
        else:
            self._unfit.append(UnfitCell(index, column, reason, shown_raw(raw), detail))

    def rows(self, total: int, batch: pa.RecordBatch, counts: Mapping[Reading, int]) -> "ParsedRows":
        """Return the rows, of which `batch` has all."""
        found = tuple(self.bad[index] for index in sorted(self.bad))
        unfit = tuple(cell for cell in self._unfit if cell.index not in self.bad)
        return ParsedRows(total, good_rows(batch, self.bad), found, counts, unfit)


@dataclass(frozen=True)
class ParsedRows:
    """`total` consecutive rows of the object; `batch` has all but the bad ones."""

    total: int
    batch: pa.RecordBatch
    bad: tuple[UnreadableRow, ...] = field(default=())
    counts: Mapping[Reading, int] = field(default_factory=dict)
    """As in `InputBatch`."""
    unfit: tuple[UnfitCell, ...] = ()
    """Their indexes are positions among all rows, as those of `bad`."""


class TextObject(ABC):
    """An object of text. Its file is open only during reading, so it can be read repeatedly.

    The constructor raises NoDataError if the object has no data, and so no columns.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, key: str, path: Path, kind: ObjectFormat, wanted: JobInput) -> None:
        self.key = key
        self.rows: int | None = None
        self._path = path
        self.kind = kind
        self._wanted = wanted
        self._nulls_of: dict[str, int] | None = None
        with self._open() as stream:
            head = stream.read(HEAD_BYTES)
        whole = len(head) < HEAD_BYTES
        try:
            self._names = head_names(head, kind, wanted.options, whole=whole)
        except NoDataError:
            raise
        except HeadError as error:
            raise DataError(
                f"object {key!r} cannot be read as {kind}: {error}; write it again, or remove it from the dataset",
                error.detail,
            ) from error
        self.absent: frozenset[str] = frozenset()
        self._prepare(head, whole=whole)
        self.schema: pa.Schema = pa.schema([pa.field(name, self._type(name)) for name in self._names])

    def __enter__(self) -> "TextObject":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def _features_first(self, columns: tuple[int, ...]) -> list[int]:
        """Return the columns in an order in which rows are known to be bad before their other cells are counted."""
        return sorted(columns, key=lambda place: self._names[place] not in self._wanted.types)

    @abstractmethod
    def _prepare(self, head: bytes, *, whole: bool) -> None:
        """Prepare from the beginning of the object; `whole` means that `head` is all of it."""

    @abstractmethod
    def _parse(self, stream: TextStream, columns: tuple[int, ...], *, use_threads: bool) -> Iterator[ParsedRows]:
        """Yield all rows of the stream, with the columns at these indexes."""

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        """Yield batches; see InputObject."""
        if groups is not None:
            raise DataError(f"object {self.key!r}: {self.kind} has no parts that can be read separately")
        places = tuple(place for place, name in enumerate(self._names) if name in columns) or (0,)
        before = 0
        with self._open() as stream:
            for parsed in self._parse(stream, places, use_threads=use_threads):
                yield from _batches(parsed, before, rows)
                before += parsed.total
                stream.rows = before
        self.rows = before

    def group_rows(self) -> list[int]:
        return []

    def null_counts(self, names: list[str]) -> dict[str, int]:
        """Count the nulls of integers and booleans, which decide a column's dtype.

        Counting reads the whole object, so other columns are left out.
        """
        deciding = frozenset(self._names) & {
            name for name, declared in self._wanted.types.items() if declared == "bool" or "int" in declared
        }
        if self._nulls_of is None and deciding.intersection(names):
            # Count for all models at once, because each model calls this method.
            counts = dict.fromkeys(deciding, 0)
            for item in self.batches(_COUNTING_BATCH_ROWS, deciding, use_threads=False):
                for name in counts:
                    counts[name] += item.batch.column(item.batch.schema.names.index(name)).null_count
                for cell in item.unfit:
                    counts[cell.column] -= 1
            self._nulls_of = counts
        known = self._nulls_of or {}
        return {name: known[name] for name in names if name in known}

    def text_columns(self) -> list[str]:
        return [field.name for field in self.schema if pa.types.is_string(field.type)]

    def choose_types(self, columns: frozenset[str]) -> bool:
        return False

    def stored_bytes(self) -> dict[str, int]:
        return {}

    def _open(self) -> TextStream:
        encoding = self._wanted.options.csv_encoding if self.kind.name == "csv" else "utf-8"
        return TextStream(self.key, self._path, self.kind, encoding)

    def _type(self, name: str) -> pa.DataType:
        # Columns that no model declares are passed through as text.
        return arrow_type(self._wanted.types.get(name, "string"))

    def _too_long(self, row: int) -> DataError:
        return DataError(
            f"object {self.key!r}: row {row:,} is longer than {MAX_RECORD_BYTES:,} bytes, the most that a row may "
            f"have: it is not {self.kind} with lines, or a line end is missing"
        )


def _batches(parsed: ParsedRows, first: int, rows: int) -> Iterator[InputBatch]:
    """Split parsed rows into batches; `first` is the number of the first row."""
    counts = parsed.counts
    good = np.arange(parsed.total, dtype=np.int64)
    if parsed.bad:
        good = np.delete(good, [row.index for row in parsed.bad])
    for start in range(0, parsed.total, rows):
        stop = min(start + rows, parsed.total)
        if not parsed.bad:
            unfit = _unfit_between(parsed.unfit, good[start:stop], start, stop)
            yield InputBatch(first + start, parsed.batch.slice(start, rows), counts=counts, unfit=unfit)
        else:
            low, high = np.searchsorted(good, [start, stop]).tolist()
            rejected = tuple(
                RejectedRow(first + row.index, row.reason, row.raw, row.detail)
                for row in parsed.bad
                if start <= row.index < stop
            )
            numbers = good[low:high] + first if rejected else None
            batch = parsed.batch.slice(low, high - low)
            unfit = _unfit_between(parsed.unfit, good[low:high], start, stop)
            yield InputBatch(first + start, batch, numbers, rejected, unfit, counts=counts)
        # They count once, with the first batch.
        counts = {}


def _unfit_between(
    cells: tuple[UnfitCell, ...], rows: npt.NDArray[np.int64], start: int, stop: int
) -> tuple[UnfitCell, ...]:
    """Return the cells of some rows, with positions in their batch; `rows` are the batch's rows."""
    found = [cell for cell in cells if start <= cell.index < stop]
    places = np.searchsorted(rows, [cell.index for cell in found]).tolist()
    return tuple(replace(cell, index=place) for cell, place in zip(found, places, strict=True))


def unreadable_bytes(column: str) -> Reading:
    """Return how bytes are read that are no text, in a column that no model reads."""
    text = "bytes that are not text, in columns that no model reads, are written as escapes such as \\xff"
    return Reading(column, text, is_named=False)


def shown_raw(raw: bytes) -> str:
    """Return a row for display: truncated, and with bytes escaped that are not text."""
    text = readable(raw[: 4 * _SHOWN_RAW_CHARACTERS]).rstrip("\r\n")
    return text if len(text) <= _SHOWN_RAW_CHARACTERS else text[:_SHOWN_RAW_CHARACTERS] + "…"


def shown_value(value: str) -> str:
    """Return a value for the detail of a reason, truncated."""
    return shown_text(repr(value))


def shown_text(text: str) -> str:
    return text if len(text) <= _SHOWN_VALUE_CHARACTERS else text[:_SHOWN_VALUE_CHARACTERS] + "…"


def good_rows(batch: pa.RecordBatch, bad: Mapping[int, UnreadableRow]) -> pa.RecordBatch:
    """Return the batch without the bad rows."""
    if not bad:
        return batch
    good = np.delete(np.arange(batch.num_rows, dtype=np.int64), sorted(bad))
    # Without pa.array, which imports pandas only to check for its types.
    return batch.take(pa.Array.from_buffers(pa.int64(), len(good), [None, pa.py_buffer(good)]))
