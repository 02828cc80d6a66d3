"""Checks whether an object's key columns identify its rows, so that outputs can be joined."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.job.ledger import KeyReport

_MAX_ROWS = 2_000_000
"""Rows per object whose keys are compared, at 8 bytes of memory each: 16 MB."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


class KeyCheck:
    """Counts duplicate and null keys of one object, batch by batch, in bounded memory.

    Keys are compared by 8 bytes each: a single column of numbers or times by its value, anything
    else by a hash, which gives a false duplicate about once in a million objects.
    """

    def __init__(self, columns: tuple[str, ...], max_rows: int = _MAX_ROWS) -> None:
        self.columns = columns
        self._max_rows = max_rows
        # A bytearray grows in place; joining chunks at the end would take twice the memory.
        self._digests = bytearray()
        self._seen = 0
        self._nulls = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch; rows after the object's first `max_rows` are ignored."""
        arrays = [batch.column(batch.schema.names.index(name)) for name in self.columns]
        rows = min(batch.num_rows, self._max_rows - self._seen)
        if rows <= 0:
            return
        arrays = [array.slice(0, rows) for array in arrays]
        self._seen += rows
        digests = _digest(arrays[0])
        if len(arrays) > 1:
            digests = _mixed(digests)
            for array in arrays[1:]:
                digests = _mixed(digests ^ _digest(array))
        if any(array.null_count for array in arrays):
            complete = np.ones(rows, dtype=bool)
            for array in arrays:
                complete &= ~np.array(array.is_null().to_pylist(), dtype=bool)
            self._nulls += rows - int(complete.sum())
            digests = digests[complete]
        self._digests += digests.tobytes()

    def report(self) -> KeyReport:
        digests = np.frombuffer(self._digests, dtype=np.uint64)
        # Most keys are already sorted.
        if len(digests) < 2 or bool((digests[1:] > digests[:-1]).all()):
            return KeyReport(self._seen, 0, self._nulls)
        digests.sort()
        duplicates = int((digests[1:] == digests[:-1]).sum())
        return KeyReport(self._seen, duplicates, self._nulls)


def _digest(array: Any) -> npt.NDArray[np.uint64]:
    """Return a 64-bit digest per value; arbitrary for nulls."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_integer(array.type) or pa.types.is_temporal(array.type):
        return _integers(array).view(np.uint64)
    if pa.types.is_floating(array.type):
        return _floats(array).view(np.uint64)
    # Python's hashes differ between processes, but are compared only within this one. Those of
    # numbers collide systematically (-1 and -2), so other values than texts are hashed as text.
    texts = array.to_pylist() if _is_text(array.type) else map(repr, _python_values(array))
    return np.fromiter(map(hash, texts), dtype=np.int64, count=len(array)).view(np.uint64)


def _is_text(kind: pa.DataType) -> bool:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _integers(array: Any) -> npt.NDArray[np.int64]:
    width = array.type.bit_width
    raw = array.view({8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[width])
    if raw.null_count:
        # The bits of a null are arbitrary but readable; null rows are filtered out later.
        raw = pa.Array.from_buffers(raw.type, len(raw), [None, raw.buffers()[1]], offset=raw.offset)
    return np.from_dlpack(raw).astype(np.int64)


def _floats(array: Any) -> npt.NDArray[np.float64]:
    """Return the values as doubles in which equal values have equal bits: one zero, one NaN."""
    values = array.cast(pa.float64()).fill_null(0.0).to_numpy() + 0.0
    values[np.isnan(values)] = np.nan
    return np.asarray(values, dtype=np.float64)


def _python_values(array: Any) -> list[Any]:
    try:
        values: list[Any] = array.to_pylist()
    # Dates outside Python's range have no Python value.
    except (ValueError, OverflowError):
        values = [str(value) for value in array]
    return values


def _mixed(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread digests over all 64 bits (SplitMix64's finalizer), so that they can be combined."""
    mixed = digests + _MIX
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
