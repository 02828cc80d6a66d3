"""The interface of an input object of any format: a schema, and rows in numbered batches."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.dataset.formats import ObjectFormat


class Reading(NamedTuple):
    """One of several ways to read values of a column.

    `way` follows the column's name in a note, such as `has doubles that are read as whole numbers`.
    It holds no values of the data.
    """

    column: str
    """The column, so that only models that use it get the note; empty if the way concerns all models."""
    way: str
    is_named: bool = True
    """Whether the note names the column. Otherwise, it sums up all columns."""

    def __str__(self) -> str:
        return f"column {self.column!r} {self.way}" if self.is_named and self.column else self.way


_MAX_NAMED_COLUMNS = 5
"""Columns with a note of their own per way, because the notes of an object are limited."""


def describe_readings(counts: Mapping[Reading, int]) -> dict[str, int]:
    """Return notes with their counts. Many columns that are read in one way have one note together."""
    columns: dict[str, list[str]] = {}
    for column, way, is_named in counts:
        if is_named:
            columns.setdefault(way, []).append(column)
    notes: Counter[str] = Counter()
    for reading, count in counts.items():
        names = columns.get(reading.way, [])
        note = str(reading)
        if len(names) > _MAX_NAMED_COLUMNS:
            note = f"each of {len(names):,} columns, such as {min(names)!r}, {reading.way}"
        notes[note] += count
    return dict(notes)


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be read.

    `row` is its number in the object, from 0; `raw` is its text, possibly truncated. `reason` and
    `detail` are as in `BadRow`.
    """

    row: int
    reason: str
    raw: str
    detail: str = ""


@dataclass(frozen=True)
class UnfitCell:
    """A cell of text that its column's type cannot hold, in a column that only some models need.

    Only for these models the row is bad. In the batch, the cell is null. The other fields are as in
    `RejectedRow`.
    """

    index: int
    """Position of the row in its batch."""
    column: str
    reason: str
    raw: str
    detail: str = ""


@dataclass(frozen=True)
class InputBatch:
    """Consecutive rows of an object: the readable ones, and those that are rejected."""

    first_row: int
    """Number of the first row, readable or not."""
    batch: pa.RecordBatch
    row_numbers: npt.NDArray[np.int64] | None = None
    """Numbers of the batch's rows; None means consecutive from `first_row`."""
    rejected: tuple[RejectedRow, ...] = ()
    unfit: tuple[UnfitCell, ...] = ()
    counts: Mapping[Reading, int] = field(default_factory=dict)
    """How values were read that could be read in another way, with the number of these values."""
    shared: dict[object, npt.NDArray[Any]] | None = field(default=None, compare=False)
    """Matrices that several models of a job use; see `FeatureBatch.shared`."""

    def only(self, columns: frozenset[str]) -> "InputBatch":
        """Return the same rows with only these columns, so that memory of others can be freed."""
        places = [place for place, name in enumerate(self.batch.schema.names) if name in columns]
        return self if len(places) == self.batch.num_columns else replace(self, batch=self.batch.select(places))

    def numbers(self) -> npt.NDArray[np.int64]:
        if self.row_numbers is not None:
            return self.row_numbers
        return np.arange(self.first_row, self.first_row + self.batch.num_rows, dtype=np.int64)

    def number(self, index: int) -> int:
        return self.first_row + index if self.row_numbers is None else int(self.row_numbers[index])


class InputObject(Protocol):
    """An object that is open for reading.

    Each of its rows comes exactly once, in a batch or as rejected.
    """

    @property
    def key(self) -> str: ...

    @property
    def kind(self) -> ObjectFormat:
        """Format of the object, with the compression that its content has."""

    notes: tuple[str, ...]
    """How the object is read that could be read in another way."""

    @property
    def schema(self) -> pa.Schema:
        """Schema of all columns. Columns of the same name cannot be read."""

    @property
    def absent(self) -> frozenset[str]:
        """Declared columns of the schema that the beginning of the object lacks; rows may have them."""

    @property
    def rows(self) -> int | None:
        """Number of rows, rejected ones included.

        None if it is known only after reading all batches.
        """

    def __enter__(self) -> "InputObject": ...

    def __exit__(self, *_: object) -> None: ...

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        """Yield batches of at most `rows` rows with at least these columns, in the object's order.

        Args:
            groups: Range of parts to read, as indexes into `group_rows` (start, stop); None means
                all.

        Raises:
            DataError: The object is damaged.
        """

    def choose_types(self, columns: frozenset[str]) -> bool:
        """Choose types that hold every value of these columns, which are to be decoded.

        Returns whether `schema` has changed.

        Raises:
            DataError: There is no such type.
        """

    def group_rows(self) -> list[int]:
        """Return the rows of each part that can be read separately; empty if there are none."""

    def null_counts(self, names: list[str]) -> dict[str, int]:
        """Return null counts of these columns, if known or needed to choose their types."""

    def text_columns(self) -> list[str]:
        """Return the paths, as in Parquet, of the columns that hold text or bytes."""

    def stored_bytes(self) -> dict[str, int]:
        """Return the uncompressed bytes of each column, if known before reading."""
