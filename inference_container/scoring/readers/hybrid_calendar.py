"""Counts times that a writer stored in the hybrid calendar: Julian before 15 October 1582.

Parquet's dates are Gregorian at all times. Spark before version 3, Spark's modes LEGACY, and Hive
store older dates in the hybrid calendar, and say so in the footer. Spark shifts them on reading; no
other library does, and neither does this one: 0001-01-01 is then read as 0000-12-30.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from scoring.readers.input_object import Reading

_DAYS = -141_427
"""15 October 1582, in days from 1970."""
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_SPARK_VERSION = b"org.apache.spark.version"
_SPARK_MODES = frozenset({b"org.apache.spark.legacyDateTime", b"org.apache.spark.legacyINT96"})
_HIVE_MODE = b"writer.date.proleptic"
_WAY = (
    "has times before 15 October 1582 that their writer stored in the hybrid calendar; they are read as Parquet "
    "defines them, days apart from what Spark or Hive show"
)


class HybridCalendar:
    """Whether a Parquet file's metadata says that old dates are in the hybrid calendar."""

    def __init__(self, metadata: Mapping[bytes, bytes]) -> None:
        # Files of Spark before 2.4.6 do not name the version; Spark itself reads them as Gregorian.
        version = metadata.get(_SPARK_VERSION, b"")
        self._used = (
            bool(_SPARK_MODES & metadata.keys())
            or version.startswith((b"1.", b"2."))
            or metadata.get(_HIVE_MODE, b"true").lower() == b"false"
        )

    def counts(self, batch: pa.RecordBatch) -> dict[Reading, int]:
        """Return the number of old dates and timestamps per top-level column."""
        if not self._used:
            return {}
        found = {
            Reading(name, _WAY): _old_times(column)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        return {reading: count for reading, count in found.items() if count}


def _old_times(column: Any) -> int:
    kind = column.type
    if pa.types.is_date32(kind):
        values, limit = column.drop_null().view(pa.int32()), _DAYS
    elif pa.types.is_timestamp(kind):
        values, limit = column.drop_null().view(pa.int64()), _DAYS * _PER_DAY[kind.unit]
    else:
        return 0
    return int(np.count_nonzero(np.from_dlpack(values) < limit)) if len(values) else 0
