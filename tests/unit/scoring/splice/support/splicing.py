"""Prediction columns, and functions that splice them in batches."""

from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa

from scoring.splice import SplicedWriter, SpliceSource, prediction_chunks

PREDICTIONS = (
    pa.field("score", pa.float64()),
    pa.field("label", pa.string()),
    pa.field("class", pa.int64(), nullable=False),
)


def predictions(rows: int) -> pa.Table:
    """Return predictions that differ from row to row, with nulls in nullable columns."""
    scores = [None if row % 7 == 3 else row / 4 for row in range(rows)]
    labels = [None if row % 5 == 4 else f"label {row % 3}" for row in range(rows)]
    arrays = [pa.array(scores, pa.float64()), pa.array(labels, pa.string()), pa.array(range(rows), pa.int64())]
    return pa.Table.from_arrays(arrays, schema=pa.schema(PREDICTIONS))


def refusal(source: Path, columns: Sequence[pa.Field]) -> str | None:
    with SpliceSource(source) as opened:
        return opened.refusal(columns)


def splice(
    source: Path, path: Path, columns: pa.Table, batch_sizes: Iterable[int] = (1 << 16,), rows_per_part: int = 1 << 16
) -> Path:
    """Splice these columns in batches whose sizes repeat.

    Predictions of an even number of rows are encoded in a file, as for large objects, others in
    memory.
    """
    in_memory = prediction_chunks._MAX_BYTES_IN_MEMORY if columns.num_rows % 2 else -1
    with SpliceSource(source) as opened:
        with (
            patch.object(prediction_chunks, "_MAX_ROWS", rows_per_part),
            patch.object(prediction_chunks, "_MAX_BYTES_IN_MEMORY", in_memory),
        ):
            writer = SplicedWriter(path, opened, list(columns.schema))
        return _written(writer, columns, batch_sizes)


def _written(writer: SplicedWriter, columns: pa.Table, batch_sizes: Iterable[int]) -> Path:
    try:
        at = 0
        for size in cycle(batch_sizes):
            if at >= columns.num_rows:
                break
            writer.write([column.slice(at, size).combine_chunks() for column in columns.columns])
            at += size
        writer.close()
    except BaseException:
        writer.discard()
        raise
    return writer.path
