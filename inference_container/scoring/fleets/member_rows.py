"""The rows of a call, sorted by member, so that each member gets a slice of one matrix.

A member's last row is repeated until its last block is complete (see `row_blocks`). So a prediction
has the same bits whichever rows are in the call.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scoring.columns.features import FeatureBatch, width_of
from scoring.columns.predictions import numeric_column
from scoring.columns.row_blocks import ROWS_PER_BLOCK, rows_in_blocks

_ROWS_IN_CACHE = 2_048


class Share(NamedTuple):
    """The rows of one member in a call."""

    place: int
    """Place of the member."""
    start: int
    """First of its rows among the sorted rows."""
    rows: int
    padded_start: int
    """First of its rows among those with the repeated ones."""


class SortedRows:
    """The rows of batches with the same columns, sorted by member."""

    def __init__(self, batches: Sequence[FeatureBatch], features: int, members: npt.NDArray[np.int32]) -> None:
        """`features` is the number of columns that the members take, `members` has the member of each row."""
        self._batches = batches
        self._features = features
        self.names = batches[0].names[:features]
        self.with_nulls = batches[0].with_nulls.intersection(self.names)
        # NumPy sorts 16-bit integers in linear time.
        small = members.astype(np.int16) if len(members) and members.max() < np.iinfo(np.int16).max else members
        self.order = np.argsort(small, kind="stable")
        """Number of each sorted row."""
        ordered = members[self.order]
        starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1)).astype(np.int64)
        counts = np.diff(starts, append=len(ordered))
        padded = -(-counts // ROWS_PER_BLOCK) * ROWS_PER_BLOCK
        padded_starts = np.cumsum(padded) - padded
        self.shares = [
            Share(*found)
            for found in zip(
                ordered[starts].tolist(), starts.tolist(), counts.tolist(), padded_starts.tolist(), strict=True
            )
        ]
        # Places within a member's share, of which those after its last row repeat it.
        within = np.arange(int(padded.sum())) - np.repeat(padded_starts, padded)
        self._taken = self.order[np.repeat(starts, padded) + np.minimum(within, np.repeat(counts - 1, padded))]
        """Number of each row with the repeated ones."""
        self._matrices: dict[tuple[str, type[Any]], npt.NDArray[Any]] = {}

    def in_blocks(self, share: Share) -> "MemberRows":
        """Return a member's rows in complete blocks."""
        return MemberRows(self, share.padded_start, rows_in_blocks(share.rows))

    def rows_of(self, share: Share, first: int, stop: int) -> "MemberRows":
        """Return a range of a member's rows."""
        return MemberRows(self, share.padded_start + first, stop - first)

    def matrix(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        return self._cached("matrix", dtype)

    def block(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        """Return the transposed matrix."""
        return self._cached("block", dtype)

    @property
    def types(self) -> tuple[pa.DataType, ...]:
        return self._batches[0].types[: self._features]

    @functools.cached_property
    def arrays(self) -> tuple[pa.Array, ...]:
        taken = numeric_column(self._taken)
        columns = zip(*(batch.arrays[: self._features] for batch in self._batches), strict=True)
        return tuple(pa.concat_arrays(list(column)).take(taken) for column in columns)

    @functools.cached_property
    def frame(self) -> Any:
        return FeatureBatch(self.names, self.arrays, self.with_nulls).frame()

    def _cached(self, form: str, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        found = self._matrices.get((form, dtype))
        if found is None:
            found = self._matrices[form, dtype] = self._block(dtype) if form == "block" else self._matrix(dtype)
        return found

    def _block(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        block = np.empty((sum(map(width_of, self.types)), len(self._taken)), dtype=dtype)
        start = 0
        for index, kind in enumerate(self.types):
            stop = start + width_of(kind)
            self._column(index, dtype).take(self._taken, axis=1, out=block[start:stop], mode="clip")
            start = stop
        return block

    def _matrix(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        # By a few rows at a time, whose columns stay in the processor's cache until they are rows.
        columns = [self._column(index, dtype) for index in range(len(self.types))]
        matrix = np.empty((len(self._taken), sum(map(len, columns))), dtype=dtype)
        for first in range(0, len(matrix), _ROWS_IN_CACHE):
            taken = self._taken[first : first + _ROWS_IN_CACHE]
            start = 0
            for column in columns:
                matrix[first : first + len(taken), start : start + len(column)] = column.take(taken, axis=1).T
                start += len(column)
        return matrix

    def _column(self, index: int, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        """Return a feature of all batches, or the several columns of a list, transposed."""
        parts = [FeatureBatch(batch.names[:1], (batch.arrays[index],), batch.with_nulls) for batch in self._batches]
        if len(parts) == 1:
            return parts[0].block(dtype).T
        return np.concatenate([part.block(dtype).T for part in parts], axis=1)


class MemberRows(FeatureBatch):
    """The rows of one member, as views of the sorted rows where possible."""

    _parent: SortedRows
    _start: int
    _count: int

    def __init__(self, parent: SortedRows, start: int, count: int) -> None:
        # Not with the fields of a FeatureBatch, because most models need a matrix and no arrays.
        values = {
            "names": parent.names,
            "with_nulls": parent.with_nulls,
            "shared": None,
            "_parent": parent,
            "_start": start,
            "_count": count,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @functools.cached_property
    def arrays(self) -> tuple[pa.Array, ...]:
        return tuple(array.slice(self._start, self._count) for array in self._parent.arrays)

    @property
    def types(self) -> tuple[pa.DataType, ...]:
        return self._parent.types

    @property
    def rows(self) -> int:
        return self._count

    def matrix(self, dtype: type[np.floating[Any]], *, read_only: bool = False) -> npt.NDArray[Any]:
        # No other member has these rows.
        return self._parent.matrix(dtype)[self._start : self._start + self._count]

    def block(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        # A copy, because the rows of a column must be contiguous.
        return self._parent.block(dtype)[:, self._start : self._start + self._count].copy().T

    def frame(self) -> Any:
        return self._parent.frame.iloc[self._start : self._start + self._count].reset_index(drop=True)
