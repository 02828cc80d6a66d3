"""Joins the rows of objects for one call of a model, so that each prediction has the same bits.

Libraries of linear algebra compute rows in blocks, and those after the last complete block in
another way, which can change a prediction's last digits. So every object begins a block, and its
last row is repeated until its last block is complete. Then a row is computed in the same way
whether its object is alone or not.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import ReadyColumns, numeric_column

ROWS_PER_BLOCK = 32
"""A multiple of the rows that the kernels of OpenBLAS compute together: 4, 8 or 16, or 32 for
single precision."""


def rows_in_blocks(rows: int) -> int:
    """Return the number of rows with those that complete the last block.

    >>> [rows_in_blocks(rows) for rows in (1, 32, 33)]
    [32, 32, 64]
    """
    return -(-rows // ROWS_PER_BLOCK) * ROWS_PER_BLOCK


class RowBlocks(FeatureBatch):
    """The rows of batches with the same columns and nulls, each batch in blocks of its own."""

    _batches: Sequence[FeatureBatch]

    def __init__(self, batches: Sequence[FeatureBatch], shared: dict[object, npt.NDArray[Any]] | None) -> None:
        # Not with the fields of a FeatureBatch, because most models need a matrix and no arrays.
        for name, value in {"names": batches[0].names, "with_nulls": batches[0].with_nulls, "shared": shared}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_batches", batches)

    @functools.cached_property
    def arrays(self) -> tuple[pa.Array, ...]:
        columns = zip(*(batch.arrays for batch in self._batches), strict=True)
        return tuple(pa.concat_arrays([piece for array in column for piece in _in_blocks(array)]) for column in columns)

    @property
    def batches(self) -> Sequence[FeatureBatch]:
        """The batches, without the repeated rows."""
        return self._batches

    @property
    def types(self) -> tuple[pa.DataType, ...]:
        return self._batches[0].types

    @property
    def rows(self) -> int:
        return sum(rows_in_blocks(batch.rows) for batch in self._batches)

    def fill(self, matrix: npt.NDArray[Any]) -> None:
        start = 0
        for batch in self._batches:
            stop = start + batch.rows
            batch.fill(matrix[start:stop])
            start += rows_in_blocks(batch.rows)
            matrix[stop:start] = matrix[stop - 1]


def join_in_blocks(batches: Sequence[FeatureBatch], shared: dict[object, npt.NDArray[Any]] | None) -> FeatureBatch:
    """Return the rows of batches with the same columns and nulls, each batch in blocks of its own."""
    is_complete = len(batches) == 1 and batches[0].rows == rows_in_blocks(batches[0].rows)
    return batches[0] if is_complete else RowBlocks(batches, shared)


def first_rows(values: Any, rows: int, given: int) -> Any:
    """Return the first `rows` of a model's predictions for `given` rows.

    Predictions of another shape are returned as they are; `prediction_columns` explains them.
    """
    if rows == given:
        return values
    if isinstance(values, ReadyColumns):
        return values.first(rows)
    try:
        array = np.asarray(values)
    except ValueError:
        return values
    return array[:rows] if array.ndim and len(array) == given else values


def _in_blocks(array: pa.Array) -> Iterator[pa.Array]:
    yield array
    if missing := rows_in_blocks(len(array)) - len(array):
        yield array.take(numeric_column(np.full(missing, len(array) - 1)))
