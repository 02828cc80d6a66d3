"""Read the column names and types of an object in any format from a small part of it."""

import zlib
from collections.abc import Callable

from contract.dataset.csv_header import header_problem, width_problem
from contract.dataset.detection import stored_format, text_format
from contract.dataset.formats import (
    FIRST_BYTES,
    HEAD_BYTES,
    ObjectFormat,
    contradiction,
    format_of,
    looks_like,
    with_compression,
)
from contract.dataset.text_encoding import to_utf8
from contract.dataset.text_head import HeadError, NoDataError, head_names
from contract.job.job_input import JobInput
from contract.job.scoring_spec import PinnedObject
from lambdas.dataset.parquet_footer import Column, FooterError, read_columns

Read = Callable[[int, int], bytes | None]
"""Returns bytes of the object from a start to an end (exclusive); None if unreadable."""

_HEAD_AND_HEADERS = HEAD_BYTES + (64 << 10)
"""Bytes to read from a compressed object: enough for the head of incompressible content."""


class RecordMistakeError(ValueError):
    """The object contradicts the options of the record, so that each of its rows would be bad.

    `expected` is what the record says about it; the text is the reason and what to do.
    """

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(text)
        self.expected = expected


class ColumnsUnknownError(ValueError):
    """The columns cannot be read here.

    The job that reads the whole object reports what is wrong.
    """


def object_columns(item: PinnedObject, wanted: JobInput, read: Read) -> tuple[Column, ...]:
    """Return the columns of an object.

    Columns of text have no type, because the model's record declares it.

    Raises:
        NoDataError: The object holds no data, and so has no columns.
        FormatUnknownError: Neither the record, the key nor the content show the format.
        RecordMistakeError: The object is not what the record says.
        ColumnsUnknownError: The columns cannot be read.
    """
    kind = format_of(item.key, wanted.options.format)
    try:
        if not item.size:
            raise NoDataError
        if kind is None:
            kind = stored_format(_stored(item, read, FIRST_BYTES), wanted.options.csv_encoding)
        if kind is not None and kind.name == "parquet":
            return read_columns(read, item.size)
        return _text_columns(item, kind, wanted, read)
    except NoDataError:
        raise
    except (FooterError, HeadError) as error:
        raise ColumnsUnknownError(str(error)) from error


def _text_columns(item: PinnedObject, kind: ObjectFormat | None, wanted: JobInput, read: Read) -> tuple[Column, ...]:
    """Return the columns of text; `kind` is None if the format follows from the content only."""
    stored = _stored(item, read, _HEAD_AND_HEADERS)
    if kind is not None and (found := contradiction(stored, kind, wanted.options.csv_encoding)):
        if wanted.options.format and looks_like(stored) == found:
            text = f"it looks like {found}: correct input.format of the record, or write the object again"
            raise RecordMistakeError(text, f"an object that is {kind}, as the record says (input.format)")
        # A damaged object; others may be whole.
        raise HeadError(f"it looks like {found}")
    compression = with_compression(kind or ObjectFormat("csv"), stored).compression
    if compression == "zstd":
        raise HeadError("zstd, which Python's standard library cannot read")
    head = _gunzip(stored) if compression else stored
    whole = len(stored) == item.size and len(head) <= HEAD_BYTES
    head = head[:HEAD_BYTES]
    if kind is None or kind.name == "csv":
        head = to_utf8(head, wanted.options.csv_encoding, whole=whole)
    kind = kind or text_format(head, wanted.options, wanted.needed, whole=whole)
    if kind is None:
        raise NoDataError
    if kind.name == "csv":
        delimiter = kind.delimiter or wanted.options.csv_delimiter
        if problem := header_problem(head, delimiter, wanted.options, wanted.types, whole=whole):
            raise RecordMistakeError(problem, "an object whose first line is what csv_header says")
    names = head_names(head, kind, wanted.options, whole=whole)
    if kind.name == "csv" and (problem := width_problem(head, delimiter, wanted.options, len(names), whole=whole)):
        raise RecordMistakeError(problem, "an object whose rows have a cell per column")
    return tuple(Column(name, None, is_field=kind.name == "jsonl") for name in names)


def _stored(item: PinnedObject, read: Read, size: int) -> bytes:
    """Return the first stored bytes of an object."""
    stored = read(0, min(item.size, size))
    if stored is None:
        raise HeadError("an object that cannot be read")
    return stored


def _gunzip(stored: bytes) -> bytes:
    """Return the decompressed beginning: at most one byte more than a head, to limit memory."""
    head = b""
    while stored and len(head) <= HEAD_BYTES:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            head += member.decompress(stored, HEAD_BYTES + 1 - len(head))
        except zlib.error as error:
            raise HeadError(f"gzip that is damaged ({error})") from error
        stored = member.unused_data
    return head
