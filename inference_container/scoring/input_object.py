"""An input object as the engine sees it, whatever its format: a schema, and rows in batches that know their numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scoring.parquet_object import ParquetObject


@dataclass(frozen=True)
class RejectedRow:
    """A row that could not be read; `row` counts all rows of the object from 0, `raw` is what stood there."""

    row: int
    reason: str
    raw: str


@dataclass(frozen=True)
class InputBatch:
    """Rows that could be read, and the ones among them that could not."""

    first_row: int
    batch: pa.RecordBatch
    row_numbers: npt.NDArray[np.int64] | None = None
    """Of the batch's rows; None: one after the other from `first_row`."""
    rejected: tuple[RejectedRow, ...] = ()

    def numbers(self) -> npt.NDArray[np.int64]:
        if self.row_numbers is not None:
            return self.row_numbers
        return np.arange(self.first_row, self.first_row + self.batch.num_rows, dtype=np.int64)

    def number(self, index: int) -> int:
        return self.first_row + index if self.row_numbers is None else int(self.row_numbers[index])


class InputObject(Protocol):
    """One object, open for reading."""

    key: str
    schema: pa.Schema
    rows: int | None
    """None: not known before all is read."""

    def __enter__(self) -> "InputObject": ...

    def __exit__(self, *_: object) -> None: ...

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        """Batches of at most `rows` rows with at least these columns, in the object's order.

        `groups` reads a part of the object: from the first of these row groups up to, not including, the second.
        """

    def group_rows(self) -> list[int]:
        """Rows of each part that can be read by itself; empty where there are none."""

    def null_counts(self, names: list[str]) -> dict[str, int]: ...

    def text_columns(self) -> list[str]: ...

    def stored_bytes(self) -> dict[str, int]:
        """Of each column, uncompressed, as far as known before reading."""


def open_object(key: str, path: Path) -> InputObject:
    opened: Any = ParquetObject(key, path)
    return _ParquetInput(opened)


class _ParquetInput:
    """A Parquet object in the engine's terms."""

    def __init__(self, source: ParquetObject) -> None:
        self._source = source
        self.key = source.key
        self.schema = source.schema
        self.rows: int | None = source.rows

    def __enter__(self) -> "_ParquetInput":
        return self

    def __exit__(self, *_: object) -> None:
        self._source.__exit__()

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        first = 0 if groups is None else sum(self.group_rows()[: groups[0]])
        for batch in self._source.batches(rows, columns, use_threads=use_threads, groups=groups):
            yield InputBatch(first, batch)
            first += batch.num_rows

    def group_rows(self) -> list[int]:
        return self._source.group_rows()

    def null_counts(self, names: list[str]) -> dict[str, int]:
        return self._source.null_counts(names)

    def text_columns(self) -> list[str]:
        return self._source.text_columns()

    def stored_bytes(self) -> dict[str, int]:
        return self._source.stored_bytes()
