"""Checks which units hold the timestamps of INT96 columns.

INT96 has a day and the nanoseconds of that day. Its range is larger than that of 64-bit
nanoseconds, from 1677 to 2262, in which Arrow reads it by default: other times wrap around without
an error (https://github.com/apache/arrow/issues/44112). Writers' statistics of INT96 are not
reliable, so the values are read.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scoring.errors import DataError

Int96Unit = Literal["s", "us", "ns"]
OpenFile = Callable[[Int96Unit], Any]
"""Opens a Parquet file with a unit for INT96."""
_BATCH_ROWS = 65_536
_NANOSECONDS_END = 9_223_372_036
"""Seconds before and after 1970 of which 64-bit nanoseconds hold every nanosecond."""
_MICROSECONDS_END = 9_223_372_036_854
"""The same for 64-bit microseconds: about 290,000 years."""


def int96_columns(schema: pa.Schema, parquet: Any) -> frozenset[str]:
    """Return the top-level columns that contain INT96, from a file's Arrow and Parquet schemas."""
    nanoseconds = pa.timestamp("ns")
    if not any(kind == nanoseconds or pa.types.is_nested(kind) for kind in schema.types):
        return frozenset()
    leaves = (parquet.column(index) for index in range(len(parquet)))
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    names = frozenset(schema.names)
    # A path with dots may be the name of a top-level column.
    return frozenset(path if path in names else path.partition(".")[0] for path in paths)


class Int96Times:
    """Chooses the unit in which a Parquet file's INT96 columns are read.

    Nanoseconds as long as they hold every value, because other readers take them too, else
    microseconds.
    """

    def __init__(self, key: str, open_file: OpenFile) -> None:
        self.unit: Int96Unit = "ns"
        self._key = key
        self._open = open_file
        self._seconds: dict[str, int] = {}
        """Largest distance from 1970 of each column that is decoded, in seconds."""
        self._whole_microseconds: frozenset[str] = frozenset()
        """Columns that microseconds hold without loss."""

    def choose(self, columns: Iterable[str]) -> bool:
        """Choose the unit for these and all earlier columns; return whether it has changed.

        Raises DataError if no unit holds all values.
        """
        new = {name: self._largest_seconds(name) for name in sorted(columns) if name not in self._seconds}
        seconds = self._seconds | new
        beyond = [name for name, largest in seconds.items() if largest >= _NANOSECONDS_END]
        if beyond:
            exact = [name for name in seconds if name not in self._whole_microseconds and self._has_nanoseconds(name)]
            if exact or max(seconds.values()) >= _MICROSECONDS_END:
                raise self._no_unit(beyond, exact)
            self._whole_microseconds = frozenset(seconds)
        self._seconds = seconds
        changed = bool(beyond) and self.unit == "ns"
        self.unit = "us" if beyond else "ns"
        return changed

    def _largest_seconds(self, column: str) -> int:
        ends = ((int(seconds.min()), int(seconds.max())) for seconds in self._values("s", column))
        return max((max(-low, high) for low, high in ends), default=0)

    def _has_nanoseconds(self, column: str) -> bool:
        both = zip(self._values("s", column), self._values("ns", column), strict=True)
        # Nanoseconds may wrap around, but so does the product: the difference is exact.
        return any(bool(((nanoseconds - seconds * 1_000_000_000) % 1_000).any()) for seconds, nanoseconds in both)

    def _values(self, unit: Int96Unit, column: str) -> Iterator[npt.NDArray[np.int64]]:
        file = self._open(unit)
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=[column], use_threads=False):
                for array in batch.columns:
                    yield from _timestamps(array)
        finally:
            file.close(force=True)

    def _no_unit(self, beyond: list[str], exact: list[str]) -> DataError:
        problem = f"the INT96 columns {beyond} have times outside the years 1677 to 2262"
        problem += f" and the columns {exact} have nanoseconds" if exact else ", and some outside 290,000 years"
        return DataError(
            f"object {self._key!r}: {problem}, expected times that one unit of 64 bits can hold (nanoseconds or "
            "microseconds): write these columns again with a logical timestamp type"
        )


def _timestamps(array: Any) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the integers of all timestamps in a possibly nested array, without nulls."""
    kind = array.type
    if pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _timestamps(child)
    elif pa.types.is_map(kind):
        yield from _timestamps(array.keys)
        yield from _timestamps(array.items)
    elif pa.types.is_nested(kind):
        yield from _timestamps(array.flatten())
    elif pa.types.is_timestamp(kind):
        values = array.drop_null().view(pa.int64())
        if len(values):
            yield np.from_dlpack(values).astype(np.int64, copy=False)
