"""A batch's feature columns in the shapes that models take: a matrix, or a pandas DataFrame."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Not by pa.scalar, which imports pandas only to look for its types; so does Array.to_numpy. See the loaders' tests.
_NAN = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(np.array([np.nan]))])[0]


@dataclass(frozen=True)
class FeatureBatch:
    """Columns in the model's order and in their declared types.

    `with_nulls` names the columns that have a null anywhere in their object, in this batch or not: pandas gives
    such a column another dtype, and a model must see the same dtypes whatever the size of a batch.
    """

    names: tuple[str, ...]
    arrays: tuple[pa.Array, ...]
    with_nulls: frozenset[str]
    shared: dict[object, npt.NDArray[Any]] | None = field(default=None, compare=False)
    """Where the read-only matrices lie that other models were given of the same rows. None: nobody else asks."""

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    def slice(self, start: int, rows: int) -> "FeatureBatch":
        """`rows` rows from `start`; nothing is copied."""
        return FeatureBatch(self.names, tuple(array.slice(start, rows) for array in self.arrays), self.with_nulls)

    def matrix(self, dtype: type[np.floating[Any]], *, read_only: bool = False) -> npt.NDArray[Any]:
        """C-contiguous, rows by features; nulls are NaN. `read_only`, it may be one that other models get too."""
        return self._once("matrix", dtype, self._matrix) if read_only else self._matrix(dtype)

    def block(self, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
        """As a read-only `matrix`, but column after column: what lies below a frame of these columns.

        Sums in another order have other last digits, so a model that was given frames is given this.
        """
        return self._once("block", dtype, self._block)

    def _once(
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
        """A pandas DataFrame with the dtypes that `pandas.read_parquet` would give the whole object."""
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
    """Numbers of a column, nulls as NaN."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if array.null_count:
        if not pa.types.is_floating(array.type):
            array = array.cast(pa.float64(), safe=False)
        array = pc.fill_null(array, _NAN.cast(array.type))
    return np.from_dlpack(array)
