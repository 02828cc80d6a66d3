"""Reads Parquet objects: schema, null counts, and rows, of single row groups if needed."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from contract.dataset.formats import MAX_COLUMNS, ObjectFormat
from contract.dataset.thrift_compact import list_size
from scoring.errors import IN_LOG, DataError, ScoringError, TransientError, describe_error
from scoring.readers.column_numbers import ColumnNumbers
from scoring.readers.hybrid_calendar import HybridCalendar
from scoring.readers.input_object import InputBatch
from scoring.readers.int96 import Int96Times, Int96Unit, int96_columns
from scoring.readers.row_groups import RowGroups

_TAIL_BYTES = 8
"""The footer's length and the magic number at the end of a file, in bytes."""
_MAX_FOOTER_BYTES = 256 << 20
"""Largest footer, in bytes. In memory it takes about ten times as much."""
_FOOTER_HEAD_BYTES = 256
"""Bytes of the footer's beginning that hold the size of its schema."""
_SCHEMA_FIELD = 2
"""Field of the schema in FileMetaData."""
_SIGNATURE_BYTES = 28
"""Bytes that follow the footer of a file whose columns are encrypted but whose footer is not."""
_READ_AHEAD_BYTES = 1 << 18
"""Read buffer per column, in bytes. Without one, each column of a row group is read as a whole."""


class ParquetObject:
    """A Parquet file, read row group by row group; a context manager."""

    kind = ObjectFormat("parquet")
    notes: tuple[str, ...] = ()

    def __init__(self, key: str, path: Path, content: Callable[[], bytes] | None = None) -> None:
        """`content` returns the whole file, which is then read from memory."""
        self.key = key
        self.absent: frozenset[str] = frozenset()
        self._path = path
        self._int96_unit: Int96Unit = "ns"
        try:
            self._content = content() if content is not None else None
            self._footer_bytes = self._check_footer()
            self._file = self._open()
            self._check_encryption()
            self.schema: pa.Schema = self._file.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        if self._file.metadata.num_columns > MAX_COLUMNS:
            raise self._too_many_columns(self._file.metadata.num_columns)
        self.rows: int | None = self._file.metadata.num_rows
        self._group_rows: list[int] = []
        self._stored_bytes: dict[str, int] = {}

    def __enter__(self) -> "ParquetObject":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close(force=True)

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        """Yield batches; see InputObject.

        With `groups`, a range of row groups, it opens the file again, so that threads can read
        parts concurrently.
        """
        names = list(dict.fromkeys(name for name in self.schema.names if name in columns))
        first, expected = 0, int(self._file.metadata.num_rows)
        if groups is not None:
            counts = self.group_rows()
            first, expected = sum(counts[: groups[0]]), sum(counts[groups[0] : groups[1]])
        read = 0
        file = self._file
        try:
            with ExitStack() as stack:
                if groups is not None:
                    file = self._open(self._file.metadata)
                    stack.callback(file.close, force=True)
                chosen = range(*groups) if groups is not None else range(file.num_row_groups)
                for batch in self._row_groups.batches(file, chosen, names, rows, use_threads=use_threads):
                    yield InputBatch(first + read, batch, counts=self._hybrid_calendar.counts(batch))
                    read += batch.num_rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error, after=first + read) from error
        if read != expected:
            raise DataError(f"object {self.key!r} has {read:,} rows, its footer says {expected:,}: write it again")

    def choose_types(self, columns: frozenset[str]) -> bool:
        """Read INT96 as microseconds if nanoseconds cannot hold a value; see InputObject."""
        wanted = columns & self._int96_columns
        try:
            if not wanted or not self._int96.choose(wanted):
                return False
            self._int96_unit = self._int96.unit
            self._file.close(force=True)
            self._file = self._open()
            self.schema = self._file.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        self.__dict__.pop("_row_groups", None)
        return True

    @functools.cached_property
    def _int96_columns(self) -> frozenset[str]:
        return int96_columns(self.schema, self._file.schema)

    @functools.cached_property
    def _int96(self) -> Int96Times:
        # Only for objects with such columns: it makes a reference cycle, which frees memory late.
        return Int96Times(self.key, lambda unit: self._open(self._file.metadata, unit))

    @functools.cached_property
    def _hybrid_calendar(self) -> HybridCalendar:
        return HybridCalendar(self.schema.metadata or {})

    @functools.cached_property
    def _row_groups(self) -> RowGroups:
        return RowGroups(self.schema, self.group_rows(), self.stored_bytes())

    def group_rows(self) -> list[int]:
        """Return the number of rows of each row group."""
        if not self._group_rows:
            metadata = self._file.metadata
            self._group_rows = [int(metadata.row_group(index).num_rows) for index in range(metadata.num_row_groups)]
        return self._group_rows

    def stored_bytes(self) -> dict[str, int]:
        """Return the uncompressed bytes of each top-level column in the whole object."""
        self._stored_bytes = self._stored_bytes or self._sum_stored_bytes()
        return self._stored_bytes

    def _sum_stored_bytes(self) -> dict[str, int]:
        totals = dict.fromkeys(self.schema.names, 0)
        for path, size in zip(self._paths, self._column_numbers.stored_bytes, strict=True):
            # A path with dots may be the name of a top-level column.
            name = path if path in totals else path.partition(".")[0]
            totals[name] = totals.get(name, 0) + size
        return totals

    @functools.cached_property
    def _column_numbers(self) -> ColumnNumbers:
        try:
            with self._bytes() as file:
                file.seek(-_TAIL_BYTES - self._footer_bytes, os.SEEK_END)
                return ColumnNumbers(file.read(self._footer_bytes), self._file.metadata.num_columns)
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error

    def null_counts(self, names: list[str]) -> dict[str, int]:
        """Return null counts of the object's columns, from statistics or by counting."""
        known = set(self.schema.names)
        present = [name for name in names if name in known]
        places = self._leaves()
        counts = {name: self._recorded_nulls(places.get(name, [])) for name in present}
        return {name: self._counted_nulls(name) if count is None else count for name, count in counts.items()}

    def text_columns(self) -> list[str]:
        """Return the paths of the Parquet columns that hold text or bytes."""
        parquet = self._file.schema
        columns = [parquet.column(index) for index in range(len(parquet))]
        return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]

    def _check_footer(self) -> int:
        """Refuse a footer that would take too much memory, before anything parses it. Returns its bytes."""
        with self._bytes() as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
            if magic == b"PARE":
                raise self._encrypted()
            if magic != b"PAR1" or length > size:
                return length
            if length > _MAX_FOOTER_BYTES:
                raise DataError(
                    f"object {self.key!r} has a Parquet footer of {length:,} bytes, at most {_MAX_FOOTER_BYTES:,} can "
                    "be read: write it with fewer columns or larger row groups"
                )
            file.seek(max(0, size - _TAIL_BYTES - length))
            elements = list_size(file.read(_FOOTER_HEAD_BYTES), _SCHEMA_FIELD) or 0
        if elements > 2 * MAX_COLUMNS:
            raise self._too_many_columns(elements - 1)
        return length

    def _check_encryption(self) -> None:
        """Refuse columns that are encrypted although the footer is not."""
        if self._footer_bytes == self._file.metadata.serialized_size + _SIGNATURE_BYTES:
            raise self._encrypted()

    def _bytes(self) -> BinaryIO:
        return BytesIO(self._content) if self._content is not None else self._path.open("rb", buffering=0)

    def _encrypted(self) -> DataError:
        return DataError(
            f"object {self.key!r} is encrypted Parquet, expected columns that can be read without a key: write it "
            "without Parquet encryption (S3 encrypts objects at rest)"
        )

    def _too_many_columns(self, columns: int) -> DataError:
        return DataError(
            f"object {self.key!r} has {columns:,} columns, at most {MAX_COLUMNS:,} can be read: write it with fewer"
        )

    def _open(self, metadata: Any = None, unit: Int96Unit | None = None) -> Any:
        in_memory = self._content is not None
        return pq.ParquetFile(
            # An open file, because pyarrow resolves the file system of a path in Python.
            pa.BufferReader(self._content) if in_memory else pa.OSFile(str(self._path)),
            metadata=metadata,
            buffer_size=0 if in_memory else _READ_AHEAD_BYTES,
            pre_buffer=False,
            page_checksum_verification=True,
            coerce_int96_timestamp_unit=unit or self._int96_unit,
        )

    @functools.cached_property
    def _paths(self) -> list[str]:
        """The path of each column that holds values."""
        if not any(pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType) for kind in self.schema.types):
            return list(self.schema.names)
        schema = self._file.metadata.schema
        return [schema.column(index).path for index in range(len(schema))]

    def _leaves(self) -> dict[str, list[int]]:
        """Return the column indexes per path; files may have tens of thousands of columns."""
        places: dict[str, list[int]] = {}
        for index, path in enumerate(self._paths):
            places.setdefault(path, []).append(index)
        return places

    def _recorded_nulls(self, places: list[int]) -> int | None:
        return self._column_numbers.nulls[places[0]] if len(places) == 1 else None

    def _counted_nulls(self, name: str) -> int:
        batches = self.batches(65_536, frozenset({name}), use_threads=False)
        return sum(_column(item.batch, name).null_count for item in batches)

    def _damaged(self, error: BaseException, after: int = 0) -> ScoringError:
        if isinstance(error, MemoryError):
            return TransientError(
                f"object {self.key!r}: out of memory while its pages are decoded: choose an instance type with more "
                "memory, or write it with smaller pages"
            )
        if isinstance(error, pa.ArrowNotImplementedError):
            return DataError(
                f"object {self.key!r} uses a feature of Parquet that this version cannot read "
                f"({describe_error(error)}; {IN_LOG}): write it with other column types, another compression, or "
                "smaller row groups"
            )
        place = f" after row {after:,}" if after else ""
        return DataError(
            f"object {self.key!r} cannot be read as Parquet{place} ({describe_error(error)}; {IN_LOG}): it is "
            "damaged or not Parquet; write it again"
        )


def _column(batch: pa.RecordBatch, name: str) -> Any:
    return batch.column(batch.schema.names.index(name))
