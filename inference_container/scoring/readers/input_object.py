"""An input object as the engine sees it, whatever its format: a schema, and rows in batches that know their numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be read; `row` counts all rows of the object from 0, `raw` is its text, maybe cut."""

    row: int
    reason: str
    raw: str


@dataclass(frozen=True)
class InputBatch:
    """Rows that can be read, in order, and the ones between them that cannot."""

    first_row: int
    """The number of the first row, be it readable or not."""
    batch: pa.RecordBatch
    row_numbers: npt.NDArray[np.int64] | None = None
    """Of the batch's rows; None: one after the other from `first_row`."""
    rejected: tuple[RejectedRow, ...] = ()
    shared: dict[object, npt.NDArray[Any]] | None = field(default=None, compare=False)
    """Of a job with several models, the matrices that more than one of them takes; see `FeatureBatch.shared`."""

    def only(self, columns: frozenset[str]) -> "InputBatch":
        """The same rows with no other columns than these; nothing is copied, and what the others took can go."""
        places = [place for place, name in enumerate(self.batch.schema.names) if name in columns]
        return self if len(places) == self.batch.num_columns else replace(self, batch=self.batch.select(places))

    def numbers(self) -> npt.NDArray[np.int64]:
        if self.row_numbers is not None:
            return self.row_numbers
        return np.arange(self.first_row, self.first_row + self.batch.num_rows, dtype=np.int64)

    def number(self, index: int) -> int:
        return self.first_row + index if self.row_numbers is None else int(self.row_numbers[index])


class InputObject(Protocol):
    """One object, open for reading. Every row of it comes exactly once, in a batch or as rejected."""

    @property
    def key(self) -> str: ...

    @property
    def schema(self) -> pa.Schema:
        """Of the batches, whichever of its columns they have. Names may come twice; then none of both can be read."""

    @property
    def rows(self) -> int | None:
        """All rows, also those that cannot be read; None: not known before all batches were read once."""

    def __enter__(self) -> "InputObject": ...

    def __exit__(self, *_: object) -> None: ...

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        """Batches of at most `rows` rows with at least these columns, in the object's order.

        `groups` reads a part of the object: from the first of these parts of `group_rows` up to, not including, the
        second. Raises DataError when the object cannot be read any further.
        """

    def group_rows(self) -> list[int]:
        """Rows of each part that can be read by itself; empty where there are none."""

    def null_counts(self, names: list[str]) -> dict[str, int]:
        """Nulls of those of these columns where they are known, or where their number decides how models see them."""

    def text_columns(self) -> list[str]:
        """Paths of the columns that hold text or bytes, as Parquet spells them."""

    def stored_bytes(self) -> dict[str, int]:
        """Of each column, uncompressed, as far as known before reading."""
