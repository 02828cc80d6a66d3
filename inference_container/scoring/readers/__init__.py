"""Readers of input objects: Parquet, and CSV and JSON Lines, which may be compressed."""

from collections.abc import Callable
from pathlib import Path

from contract.dataset.detection import format_note
from contract.dataset.formats import ObjectFormat
from contract.dataset.text_head import NoDataError
from contract.job.job_input import JobInput
from scoring.errors import ConfigurationError
from scoring.readers.empty_object import EmptyObject
from scoring.readers.input_object import InputBatch, InputObject, Reading, RejectedRow, UnfitCell, describe_readings
from scoring.readers.object_format import find_format
from scoring.readers.parquet_object import ParquetObject
from scoring.readers.partitions import PartitionedObject

__all__ = [
    "EmptyObject",
    "InputBatch",
    "InputObject",
    "Reading",
    "RejectedRow",
    "UnfitCell",
    "describe_readings",
    "open_object",
]


def open_object(
    key: str, path: Path, wanted: JobInput | None = None, *, content: Callable[[], bytes] | None = None
) -> InputObject:
    """Return an object opened for reading, a context manager; an `EmptyObject` if it has no data.

    The format is that of the record, else of the key's extension, else of the content. `content`
    returns the whole file from memory; a Parquet object is then read from there.

    Raises:
        DataError: The object cannot be read, has another format, or does not show its format.
        ConfigurationError: The models of the job need different options for reading it.
    """
    wanted = wanted or JobInput()
    kind, is_detected = find_format(key, path, wanted)
    if kind is None:
        return EmptyObject(key)
    if wanted.conflicts and (kind.name != "parquet" or wanted.partition_columns):
        raise ConfigurationError(
            f"object {key!r} cannot be read once for all models of the job: {'; '.join(wanted.conflicts)}; "
            "score them in separate jobs (models_per_job: 1)"
        )
    try:
        opened = _open(key, path, kind, wanted, content)
    except NoDataError:
        return EmptyObject(key)
    if is_detected:
        opened.notes = (format_note(kind),)
    return PartitionedObject(opened, wanted) if wanted.partition_columns else opened


def _open(
    key: str, path: Path, kind: ObjectFormat, wanted: JobInput, content: Callable[[], bytes] | None
) -> InputObject:
    if kind.name == "parquet":
        return ParquetObject(key, path, content)
    # Imported late, because jobs of Parquet do not need them.
    if kind.name == "csv":
        from scoring.readers.text.csv_object import CsvObject  # noqa: PLC0415

        return CsvObject(key, path, kind, wanted)
    from scoring.readers.text.jsonl_object import JsonLinesObject  # noqa: PLC0415

    return JsonLinesObject(key, path, kind, wanted)
