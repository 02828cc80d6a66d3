"""A batch's feature columns in the forms that models take: a matrix, or a pandas DataFrame."""

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

    def _cached(
        self, form: str, dtype: type[np.floating[Any]], make: Callable[[type[np.floating[Any]]], npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        if self.shared is None:
            return make(dtype)
        key = (form, dtype, self.names, tuple(array.type for array in self.arrays))
        found = self.shared.get(key)
        if found is None:
            found = self.shared[key] = make(dtype)
            found.flags.writeable = False
        return found

    def _matrix(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        block = np.empty((self.rows, len(self.arrays)), dtype=dtype)
        for index, array in enumerate(self.arrays):
            block[:, index] = _to_numpy(array)
        return block

    def _block(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        block = np.empty((len(self.arrays), self.rows), dtype=dtype)
        for index, array in enumerate(self.arrays):
            block[index] = _to_numpy(array)
        return block.T

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


def _to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """Return a column as numbers, with nulls as NaN."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if array.null_count:
        if not pa.types.is_floating(array.type):
            array = array.cast(pa.float64(), safe=False)
        array = pc.fill_null(array, _NAN.cast(array.type))
    return np.from_dlpack(array)
