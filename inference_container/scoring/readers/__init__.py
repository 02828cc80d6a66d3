"""Readers of input objects: Parquet, CSV and JSON Lines, the latter two also compressed."""

from pathlib import Path

from contract.dataset.formats import EXTENSIONS_TEXT, contradiction, format_of
from contract.job.job_input import JobInput
from scoring.errors import ConfigurationError, DataError, one_line
from scoring.readers.input_object import InputBatch, InputObject, RejectedRow
from scoring.readers.parquet_object import ParquetObject
from scoring.readers.partitions import PartitionedObject

__all__ = ["InputBatch", "InputObject", "RejectedRow", "open_object"]

_FIRST_BYTES = 64


def open_object(key: str, path: Path, wanted: JobInput | None = None) -> InputObject:
    """Open an object in the format that its key's end says. Use as a context manager.

    Raises DataError when it is something else, and ConfigurationError when the models cannot share one reading of it.
    """
    wanted = wanted or JobInput()
    kind = format_of(key)
    if kind is None:
        raise DataError(f"object {key!r} has no known format: its key must end in {EXTENSIONS_TEXT}")
    try:
        with path.open("rb") as file:
            first = file.read(_FIRST_BYTES)
    except OSError as error:
        raise DataError(f"object {key!r} cannot be read ({one_line(error)})") from error
    if not first:
        raise DataError(
            f"object {key!r} is empty (0 bytes), and {kind} has at least its columns: write it again or remove it"
        )
    if found := contradiction(first, kind):
        raise DataError(
            f"object {key!r} is not {kind} as its name says, it looks like {found} (first bytes {first[:8].hex(' ')}): "
            "give it the name of what it is, or write it again"
        )
    if wanted.disputes and (kind.name != "parquet" or wanted.partition_columns):
        raise ConfigurationError(
            f"object {key!r} cannot be read once for all models of the job: {'; '.join(wanted.disputes)}; "
            "score them in jobs of their own (models_per_job: 1)"
        )
    opened: InputObject
    if kind.name == "parquet":
        opened = ParquetObject(key, path)
    elif kind.name == "csv":
        # Late: what only text needs would cost every job of Parquet its time.
        from scoring.readers.text.csv_object import CsvObject  # noqa: PLC0415

        opened = CsvObject(key, path, kind, wanted)
    else:
        from scoring.readers.text.jsonl_object import JsonLinesObject  # noqa: PLC0415

        opened = JsonLinesObject(key, path, kind, wanted)
    return PartitionedObject(opened, wanted) if wanted.partition_columns else opened
