"""Joins the rows of objects for one call of a model, so that each prediction has the same bits.

Libraries of linear algebra compute rows in blocks, and those after the last complete block in
another way, which can change a prediction's last digits. So every object begins a block, and its
last row is repeated until its last block is complete. Then a row is computed in the same way
whether its object is alone or not.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scoring.columns.features import FeatureBatch

ROWS_PER_BLOCK = 32
"""A multiple of the rows that the kernels of OpenBLAS compute together: 4, 8 or 16, or 32 for
single precision."""


def rows_in_blocks(rows: int) -> int:
    """Return the number of rows with those that complete the last block.

    >>> [rows_in_blocks(rows) for rows in (1, 32, 33)]
    [32, 32, 64]
    """
    return -(-rows // ROWS_PER_BLOCK) * ROWS_PER_BLOCK


def join_in_blocks(batches: Sequence[FeatureBatch], shared: dict[object, npt.NDArray[Any]] | None) -> FeatureBatch:
    """Return the rows of batches with the same columns and nulls, each batch in blocks of its own."""
    first = batches[0]
    if len(batches) == 1 and first.rows == rows_in_blocks(first.rows):
        return first
    arrays = [
        pa.concat_arrays([piece for array in column for piece in _in_blocks(array)])
        for column in zip(*(batch.arrays for batch in batches), strict=True)
    ]
    return FeatureBatch(first.names, tuple(arrays), first.with_nulls, shared)


def first_rows(values: Any, rows: int, given: int) -> Any:
    """Return the first `rows` of a model's predictions for `given` rows.

    Predictions of another shape are returned as they are; `prediction_columns` explains them.
    """
    if rows == given:
        return values
    try:
        array = np.asarray(values)
    except ValueError:
        return values
    return array[:rows] if array.ndim and len(array) == given else values


def _in_blocks(array: pa.Array) -> Iterator[pa.Array]:
    yield array
    last = array.slice(len(array) - 1)
    for _ in range(rows_in_blocks(len(array)) - len(array)):
        yield last
