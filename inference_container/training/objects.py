"""Opening an object to train on, and its rows: the one place where training touches scoring's readers."""

from collections.abc import Iterator

import pyarrow as pa

from contract.spec import Feature
from scoring.columns import declared_array
from scoring.parquet_object import ParquetObject
from training.channel import Source


def open_source(source: Source) -> ParquetObject:
    """Use as a context manager. Raises DataError."""
    return ParquetObject(source.key, source.path)


def rows_of(
    opened: ParquetObject, rows: int, columns: frozenset[str], *, use_threads: bool
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of at most `rows` rows, each with the number of its first. Raises DataError for what cannot be read."""
    first_row = 0
    for batch in opened.batches(rows, columns, use_threads=use_threads):
        yield first_row, batch
        first_row += batch.num_rows


def feature_array(key: str, feature: Feature, column: pa.Array, first_row: int) -> pa.Array:
    """A batch's column in the declared type. Raises DataError for a value that it cannot hold, or a null too many."""
    return declared_array(key, feature, column, first_row)
