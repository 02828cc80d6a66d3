"""A batch's feature columns in the forms that models take: a matrix, or a pandas DataFrame.

In a matrix, a date is its number of days since 1970-01-01, a timestamp its number of units since
then (UTC if it has a zone), and a list as many columns as it has values.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# pa.scalar and Array.to_numpy would import pandas only to check for its types; tests of the loaders
# assert that it is not imported.
_NAN = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(np.array([np.nan]))])[0]


@dataclass(frozen=True)
class FeatureBatch:
    """Feature columns in the model's order and in their declared types.

    `with_nulls` names the columns with a null anywhere in their object, not only in this batch.
    pandas gives such a column another dtype, and a model must see the same dtypes for every batch
    size.
    """

    names: tuple[str, ...]
    arrays: tuple[pa.Array, ...]
    with_nulls: frozenset[str]
    shared: dict[object, npt.NDArray[Any]] | None = field(default=None, compare=False)
    """Cache of read-only matrices of the same rows, shared between models; None for a single
    model."""

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    def slice(self, start: int, rows: int) -> "FeatureBatch":
        """Return `rows` rows from `start`, without a copy."""
        return FeatureBatch(self.names, tuple(array.slice(start, rows) for array in self.arrays), self.with_nulls)

    def matrix(self, dtype: type[np.floating[Any]], *, read_only: bool = False) -> npt.NDArray[Any]:
        """Return a C-contiguous matrix, rows x features, with nulls as NaN.

        A `read_only` matrix may be shared with other models.
        """
        return self._cached("matrix", dtype, self._matrix) if read_only else self._matrix(dtype)

    def block(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        """Return a read-only matrix in column-major order, the memory layout of a DataFrame.

        Summing in another order changes the last digits, so models trained on frames get this
        layout.
        """
        return self._cached("block", dtype, self._block)

    def with_times_as_numbers(self) -> "FeatureBatch":
        """Return the batch with the integers of its times, for frames of models without times."""
        return FeatureBatch(self.names, tuple(map(as_numbers, self.arrays)), self.with_nulls, self.shared)

    def _cached(
        self, form: str, dtype: type[np.floating[Any]], make: Callable[[type[np.floating[Any]]], npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        if self.shared is None:
            return make(dtype)
        key = (form, dtype, self.rows, self.names, self.types)
        found = self.shared.get(key)
        if found is None:
            found = self.shared[key] = make(dtype)
            found.flags.writeable = False
        return found

    @property
    def width(self) -> int:
        """The number of a matrix's columns."""
        return sum(map(width_of, self.types))

    @property
    def types(self) -> tuple[pa.DataType, ...]:
        return tuple(array.type for array in self.arrays)

    def fill(self, matrix: npt.NDArray[Any]) -> None:
        """Write the rows into a matrix of the same shape."""
        start = 0
        for array in self.arrays:
            stop = start + width_of(array.type)
            places = slice(start, stop) if pa.types.is_fixed_size_list(array.type) else start
            matrix[:, places] = _to_numpy(array)
            start = stop

    def _matrix(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        block = np.empty((self.rows, self.width), dtype=dtype)
        self.fill(block)
        return block

    def _block(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        block = np.empty((self.width, self.rows), dtype=dtype).T
        self.fill(block)
        return block

    def frame(self) -> Any:
        """Return a DataFrame with the dtypes that `pandas.read_parquet` gives the whole object."""
        columns = [self._as_pandas_reads(name, array) for name, array in zip(self.names, self.arrays, strict=True)]
        frame = pa.Table.from_arrays(columns, names=list(self.names)).to_pandas()
        for name, array in zip(self.names, self.arrays, strict=True):
            if name in self.with_nulls and pa.types.is_boolean(array.type):
                frame[name] = frame[name].astype(object)
        return frame

    def _as_pandas_reads(self, name: str, array: pa.Array) -> pa.Array:
        if name in self.with_nulls and pa.types.is_integer(array.type):
            return array.cast(pa.float64(), safe=False)
        return array


def width_of(kind: pa.DataType) -> int:
    """Return the number of columns that a feature's type has in a matrix."""
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 1


def as_numbers(array: pa.Array) -> pa.Array:
    """Return a column with the integers of its times; other columns are unchanged."""
    if not pa.types.is_temporal(array.type):
        return array
    return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())


def _to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """Return a column as numbers, or rows of numbers for lists, with nulls as NaN."""
    if pa.types.is_fixed_size_list(array.type):
        return _rows_of_lists(array)
    array = as_numbers(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if array.null_count:
        if not pa.types.is_floating(array.type):
            array = array.cast(pa.float64(), safe=False)
        array = pc.fill_null(array, _NAN.cast(array.type))
    return np.from_dlpack(array)


def _rows_of_lists(array: pa.Array) -> npt.NDArray[Any]:
    size = array.type.list_size
    # `flatten` would leave out the values of null lists.
    values = array.values.slice(array.offset * size, len(array) * size)
    if values.null_count:
        # Arrow's kernels may leave nulls in null lists.
        values = pc.fill_null(values, _NAN.cast(values.type))
    rows = np.from_dlpack(values).reshape(-1, size)
    if array.null_count:
        rows = rows.copy()
        rows[~np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=bool)] = np.nan
    return rows
