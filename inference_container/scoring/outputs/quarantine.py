"""The quarantine file of one object and model: bad rows, each with its reason and raw values."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.bad_rows import BadRow
from scoring.files.digests import NOTHING, PrefixDigest

SCHEMA = pa.schema(
    [
        pa.field("object", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)
"""The column is `model` and not `model_id`, which is already a Hive partition of the file's key."""
_ROWS_PER_GROUP = 10_000


class QuarantineWriter:
    """Writes a Parquet file, created with the first row; row groups do not depend on batches."""

    def __init__(self, path: Path, key: str, model_id: str, model_version: str) -> None:
        self.path = path
        self.rows = 0
        self._constants = (key, model_id, model_version)
        self._waiting: list[BadRow] = []
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: Sequence[BadRow]) -> None:
        """Add rows, in the object's order."""
        self.rows += len(rows)
        self._waiting += rows
        while len(self._waiting) >= _ROWS_PER_GROUP:
            self._write_group()

    def prefix_digest(self) -> PrefixDigest:
        """Return the digest of no bytes: none is known."""
        return NOTHING

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        if self._writer is not None:
            self._writer.close()

    def discard(self) -> None:
        """Close and delete the file. Idempotent."""
        if self._writer is not None:
            with contextlib.suppress(OSError, ValueError):
                self._writer.close()
        self.path.unlink(missing_ok=True)

    def _write_group(self) -> None:
        rows, self._waiting = self._waiting[:_ROWS_PER_GROUP], self._waiting[_ROWS_PER_GROUP:]
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self.path, SCHEMA, compression="snappy")
        key, model_id, version = self._constants
        columns = [
            pa.array([key] * len(rows), pa.string()),
            pa.array([row.row for row in rows], pa.int64()),
            pa.array([model_id] * len(rows), pa.string()),
            pa.array([version] * len(rows), pa.string()),
            pa.array([row.full_reason for row in rows], pa.string()),
            pa.array([row.raw for row in rows], pa.string()),
        ]
        table = pa.Table.from_arrays(columns, schema=SCHEMA)
        self._writer.write_table(table, row_group_size=len(rows))
