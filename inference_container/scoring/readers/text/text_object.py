"""What CSV and JSON Lines have in common: rows are numbered as they come, and bad ones do not stop the others."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from contract.dataset.formats import HEAD_BYTES, ObjectFormat
from contract.dataset.text_head import HeadError, head_names
from contract.job.job_input import JobInput
from scoring.errors import DataError
from scoring.readers.input_object import InputBatch, RejectedRow
from scoring.readers.text.cell_types import arrow_type
from scoring.readers.text.text_stream import TextStream

BLOCK_BYTES = 4 << 20
"""Of text that is parsed at once."""
PIECE_BYTES = 64 << 10
"""Of a block that has a bad row: only pieces with one are read the slow way."""
MOST_RECORD_BYTES = 16 << 20
"""Of one row. A longer one is refused: something else than a row is there, and it must fit in memory."""
_COUNTED_ROWS = 65_536
_SHOWN_RAW_CHARACTERS = 1_000
_SHOWN_VALUE_CHARACTERS = 60


@dataclass(frozen=True)
class UnreadableRow:
    """A row of a piece, by its place in it."""

    index: int
    reason: str
    raw: str


@dataclass(frozen=True)
class Piece:
    """Some rows in the object's order: `total` of them, of which `batch` has all but the bad ones."""

    total: int
    batch: pa.RecordBatch
    bad: tuple[UnreadableRow, ...] = field(default=())


class TextObject(ABC):
    """An object of text. Nothing of it is held open but while it is read, so it can be read more than once."""

    def __init__(self, key: str, path: Path, kind: ObjectFormat, wanted: JobInput) -> None:
        self.key = key
        self.rows: int | None = None
        self._path = path
        self._kind = kind
        self._wanted = wanted
        self._nulls_of: dict[str, int] | None = None
        with self._open() as stream:
            head = stream.read(HEAD_BYTES)
        whole = len(head) < HEAD_BYTES
        try:
            self._names = head_names(head, kind, wanted.options, whole=whole)
        except HeadError as error:
            raise DataError(
                f"object {key!r} cannot be read as {kind}: {error}; write it again, or remove it from the dataset"
            ) from error
        self._prepare(head, whole=whole)
        self.schema: pa.Schema = pa.schema([pa.field(name, self._type(name)) for name in self._names])

    def __enter__(self) -> "TextObject":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    def _prepare(self, head: bytes, *, whole: bool) -> None:
        """Learn from the object's beginning what its rows are read by."""

    @abstractmethod
    def _pieces(self, stream: TextStream, columns: tuple[int, ...], *, use_threads: bool) -> Iterator[Piece]:
        """All rows of the stream, with the columns at these places."""

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        """Batches of at most `rows` rows with at least these columns, in the object's order; see InputObject."""
        if groups is not None:
            raise DataError(f"object {self.key!r}: {self._kind} has no parts that can be read by themselves")
        places = tuple(place for place, name in enumerate(self._names) if name in columns) or (0,)
        before = 0
        with self._open() as stream:
            for piece in self._pieces(stream, places, use_threads=use_threads):
                yield from _batches(piece, before, rows)
                before += piece.total
                stream.rows = before
        self.rows = before

    def group_rows(self) -> list[int]:
        return []

    def null_counts(self, names: list[str]) -> dict[str, int]:
        """Counted for integers and booleans alone: their nulls decide a column's dtype, and it costs a reading."""
        deciding = frozenset(self._names) & {
            name for name, declared in self._wanted.types.items() if declared not in ("string", "float", "double")
        }
        if self._nulls_of is None and deciding.intersection(names):
            # Of all models' columns at once: each of them will ask.
            counts = dict.fromkeys(deciding, 0)
            for item in self.batches(_COUNTED_ROWS, deciding, use_threads=False):
                for name in counts:
                    counts[name] += item.batch.column(item.batch.schema.names.index(name)).null_count
            self._nulls_of = counts
        known = self._nulls_of or {}
        return {name: known[name] for name in names if name in known}

    def text_columns(self) -> list[str]:
        return [field.name for field in self.schema if pa.types.is_string(field.type)]

    def stored_bytes(self) -> dict[str, int]:
        return {}

    def _open(self) -> TextStream:
        return TextStream(self.key, self._path, self._kind)

    def _type(self, name: str) -> pa.DataType:
        # What no model declares is passed through, and text is how it stands there.
        return arrow_type(self._wanted.types.get(name, "string"))

    def _too_long(self, row: int) -> DataError:
        return DataError(
            f"object {self.key!r}: row {row:,} is longer than {MOST_RECORD_BYTES:,} bytes, the most that a row may "
            f"have: it is not {self._kind} with lines, or a line's end is missing"
        )


def _batches(piece: Piece, first: int, rows: int) -> Iterator[InputBatch]:
    """A piece cut to size; `first` is the number of its first row."""
    if not piece.bad:
        for start in range(0, piece.batch.num_rows, rows):
            yield InputBatch(first + start, piece.batch.slice(start, rows))
        return
    good = np.delete(np.arange(piece.total, dtype=np.int64), [row.index for row in piece.bad])
    for start in range(0, piece.total, rows):
        stop = min(start + rows, piece.total)
        low, high = np.searchsorted(good, [start, stop]).tolist()
        rejected = tuple(
            RejectedRow(first + row.index, row.reason, row.raw) for row in piece.bad if start <= row.index < stop
        )
        numbers = good[low:high] + first if rejected else None
        yield InputBatch(first + start, piece.batch.slice(low, high - low), numbers, rejected)


def shown_raw(raw: bytes) -> str:
    """A row as it stands there, for people: its end is cut, and bytes that are no text are escaped."""
    text = raw[: 4 * _SHOWN_RAW_CHARACTERS].decode("utf-8", "backslashreplace").rstrip("\r\n")
    return text if len(text) <= _SHOWN_RAW_CHARACTERS else text[:_SHOWN_RAW_CHARACTERS] + "…"


def shown_value(value: str) -> str:
    """A value for a message."""
    return shown_text(repr(value))


def shown_text(text: str) -> str:
    return text if len(text) <= _SHOWN_VALUE_CHARACTERS else text[:_SHOWN_VALUE_CHARACTERS] + "…"


def not_utf8(raw: bytes) -> str:
    """Why a row's bytes are no text; empty when they are."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte {raw[error.start]:#04x} at byte {error.start:,} of the row)"
    return ""


def good_rows(batch: pa.RecordBatch, bad: Mapping[int, UnreadableRow]) -> pa.RecordBatch:
    """The batch without its bad rows."""
    if not bad:
        return batch
    good = np.delete(np.arange(batch.num_rows, dtype=np.int64), sorted(bad))
    # Around pa.array, which imports pandas only to look for its types.
    return batch.take(pa.Array.from_buffers(pa.int64(), len(good), [None, pa.py_buffer(good)]))
