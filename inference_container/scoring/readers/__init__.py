"""Readers of input objects: Parquet, and CSV and JSON Lines, which may be compressed."""

from pathlib import Path

from contract.dataset.formats import EXTENSIONS_TEXT, contradiction, format_of
from contract.job.job_input import JobInput
from scoring.errors import ConfigurationError, DataError, describe_error
from scoring.readers.input_object import InputBatch, InputObject, Reading, RejectedRow
from scoring.readers.parquet_object import ParquetObject
from scoring.readers.partitions import PartitionedObject

__all__ = ["InputBatch", "InputObject", "Reading", "RejectedRow", "open_object"]

_FIRST_BYTES = 64


def open_object(key: str, path: Path, wanted: JobInput | None = None) -> InputObject:
    """Return an object opened for reading, a context manager. The key's suffix gives its format.

    Raises:
        DataError: The object cannot be read or has another format.
        ConfigurationError: The models of the job need different options for reading it.
    """
    wanted = wanted or JobInput()
    kind = format_of(key)
    if kind is None:
        raise DataError(f"object {key!r} has no known format: its key must end in {EXTENSIONS_TEXT}")
    try:
        with path.open("rb") as file:
            first = file.read(_FIRST_BYTES)
    except OSError as error:
        raise DataError(f"object {key!r} cannot be read ({describe_error(error)})") from error
    if not first:
        raise DataError(f"object {key!r} is empty (0 bytes), expected {kind}: write it again or remove it")
    if found := contradiction(first, kind, wanted.options.csv_encoding):
        raise DataError(
            f"object {key!r} is not {kind} as its name says, it looks like {found}: "
            "rename it to match its format, or write it again"
        )
    if wanted.conflicts and (kind.name != "parquet" or wanted.partition_columns):
        raise ConfigurationError(
            f"object {key!r} cannot be read once for all models of the job: {'; '.join(wanted.conflicts)}; "
            "score them in separate jobs (models_per_job: 1)"
        )
    opened: InputObject
    if kind.name == "parquet":
        opened = ParquetObject(key, path)
    elif kind.name == "csv":
        # Imported late, because jobs of Parquet do not need it.
        from scoring.readers.text.csv_object import CsvObject  # noqa: PLC0415

        opened = CsvObject(key, path, kind, wanted)
    else:
        from scoring.readers.text.jsonl_object import JsonLinesObject  # noqa: PLC0415

        opened = JsonLinesObject(key, path, kind, wanted)
    return PartitionedObject(opened, wanted) if wanted.partition_columns else opened
