"""Opens training objects and reads their rows; no other training module uses scoring's readers."""

from collections.abc import Iterator

import pyarrow as pa

from contract.catalog.model_fields import Feature
from scoring.columns.feature_casts import cast_to_declared
from scoring.errors import DataError
from scoring.readers.parquet_object import ParquetObject
from training.data.channel_files import LocalObject


def open_object(source: LocalObject) -> ParquetObject:
    """Return an opened object, a context manager. Raises DataError if it is not Parquet."""
    return ParquetObject(source.key, source.path)


def rows_of(
    opened: ParquetObject, rows: int, columns: frozenset[str], *, use_threads: bool
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield batches of at most `rows` rows, each with the number of its first row.

    Raises DataError when the object cannot be read.
    """
    for item in opened.batches(rows, columns, use_threads=use_threads):
        yield item.first_row, item.batch


def feature_array(key: str, feature: Feature, column: pa.Array, first_row: int) -> pa.Array:
    """Convert a batch's column to the declared type of the feature.

    Raises DataError for the first value that does not fit, or a null that is not allowed: training
    has no quarantine.
    """
    cast = cast_to_declared(feature, column, 0)
    if cast.bad:
        index = min(cast.bad)
        reason = cast.bad[index]
        raise DataError(f"object {key!r}, row {first_row + index:,}: {reason.text}", reason.detail)
    return cast.array
