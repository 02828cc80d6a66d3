"""Finds the format of an object: as its record or key says, or by its content."""

from pathlib import Path

from contract.dataset.detection import FormatUnknownError, stored_format, text_format
from contract.dataset.formats import (
    FIRST_BYTES,
    HEAD_BYTES,
    ObjectFormat,
    contradiction,
    format_of,
    other_format,
    with_compression,
)
from contract.job.job_input import JobInput
from scoring.errors import DataError, describe_error
from scoring.readers.text.text_stream import TextStream


def find_format(key: str, path: Path, wanted: JobInput) -> tuple[ObjectFormat | None, bool]:
    """Return the format, None if the object holds no data; and whether only the content shows it.

    Raises:
        DataError: The object cannot be read, has another format, or does not show its format.
    """
    declared = wanted.options.format
    if other := other_format(key):
        raise DataError(f"object {key!r} is {other} by its name, which cannot be read: convert or remove it")
    kind = format_of(key, declared)
    first = _first_bytes(key, path)
    if kind is None:
        return _detect(key, path, first, wanted), True
    if not first and (kind.name == "parquet" or wanted.options.csv_header):
        return None, False
    if first and (found := contradiction(first, kind, wanted.options.csv_encoding)):
        source = "the record (input.format)" if declared else "its name"
        raise DataError(
            f"object {key!r} is not {kind} as {source} says, it looks like {found}: "
            f"{'correct the record' if declared else 'rename it to match its format'}, or write it again"
        )
    return with_compression(kind, first), False


def _first_bytes(key: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FIRST_BYTES)
    except OSError as error:
        raise DataError(f"object {key!r} cannot be read ({describe_error(error)})") from error


def _detect(key: str, path: Path, first: bytes, wanted: JobInput) -> ObjectFormat | None:
    try:
        encoding = wanted.options.csv_encoding
        if (stored := stored_format(first, encoding)) is not None:
            return stored
        text = with_compression(ObjectFormat("csv"), first)
        with TextStream(key, path, text, encoding) as stream:
            head = stream.read(HEAD_BYTES)
        found = text_format(head, wanted.options, wanted.needed, whole=len(head) < HEAD_BYTES)
    except FormatUnknownError as error:
        raise DataError(f"object {key!r}: {error}") from error
    return None if found is None else with_compression(found, first)
