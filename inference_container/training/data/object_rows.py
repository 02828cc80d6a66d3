"""Opening an object to train on, and its rows: the one place where training touches scoring's readers."""

from collections.abc import Iterator

import pyarrow as pa

from contract.catalog.model_fields import Feature
from scoring.columns.column_plan import cast_to_declared
from scoring.errors import DataError
from scoring.readers.parquet_object import ParquetObject
from training.data.channel_files import Source


def open_source(source: Source) -> ParquetObject:
    """Use as a context manager. Raises DataError."""
    return ParquetObject(source.key, source.path)


def rows_of(
    opened: ParquetObject, rows: int, columns: frozenset[str], *, use_threads: bool
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of at most `rows` rows, each with the number of its first. Raises DataError for what cannot be read."""
    for item in opened.batches(rows, columns, use_threads=use_threads):
        yield item.first_row, item.batch


def feature_array(key: str, feature: Feature, column: pa.Array, first_row: int) -> pa.Array:
    """A batch's column in the declared type.

    Raises DataError for the first value that it cannot hold, or a null where none may be: training has no quarantine.
    """
    array, bad = cast_to_declared(feature, column, 0)
    if bad:
        index = min(bad)
        raise DataError(f"object {key!r}, row {first_row + index:,}: {bad[index]}")
    return array
