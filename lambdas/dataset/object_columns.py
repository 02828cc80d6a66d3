"""Read the column names and types of an object in any format from a small part of it."""

import zlib
from collections.abc import Callable, Iterable
from functools import cache, partial

from contract.dataset.formats import HEAD_BYTES, ObjectFormat, contradiction, format_of
from contract.dataset.input_options import InputOptions
from contract.dataset.text_head import HeadError, head_names
from contract.job.scoring_spec import PinnedObject
from lambdas.dataset.parquet_footer import Column, FooterError, read_columns
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.observability import logger

Read = Callable[[int, int], bytes | None]
"""Returns the bytes of the object from a start to an end (exclusive); None when they cannot be
read.
"""

_HEAD_AND_HEADERS = HEAD_BYTES + (64 << 10)
"""Bytes to read from a compressed object: enough for the head of incompressible content."""


class ColumnsUnknownError(ValueError):
    """The columns cannot be read here.

    The job that reads the whole object reports what is wrong.
    """


def first_of(objects: Iterable[PinnedObject]) -> PinnedObject | None:
    """Return the object with the first key, whose columns represent the dataset; None if there are
    no objects.
    """
    return min(objects, key=lambda item: item.key, default=None)


def reader_of(dataset: str, item: PinnedObject, store: ObjectStore) -> Read:
    """Return a function that reads each range of an object once."""
    return cache(partial(store.dataset_range, dataset, item))


def columns_or_none(dataset: str, item: PinnedObject, options: InputOptions, read: Read) -> tuple[Column, ...] | None:
    """Return the columns of an object; None when they cannot be read.

    The job that reads the object reports the reason.
    """
    try:
        return object_columns(item, options, read)
    except ColumnsUnknownError as error:
        # The key is not logged, because it may contain personal data.
        logger.debug("an object's columns cannot be read", dataset=dataset, reason=str(error))
        return None


def object_columns(item: PinnedObject, options: InputOptions, read: Read) -> tuple[Column, ...]:
    """Return the columns of an object. Columns of text have no type, because the model's record
    declares it.

    Raises:
        ColumnsUnknownError: when they cannot be read.
    """
    kind = format_of(item.key)
    try:
        if kind is not None and kind.name == "parquet":
            return read_columns(read, item.size)
        if kind is not None:
            return tuple(Column(name, None) for name in _text_columns(item, kind, options, read))
    except (FooterError, HeadError) as error:
        raise ColumnsUnknownError(str(error)) from error
    raise ColumnsUnknownError("an unknown format")


def _text_columns(item: PinnedObject, kind: ObjectFormat, options: InputOptions, read: Read) -> tuple[str, ...]:
    stored = read(0, min(item.size, _HEAD_AND_HEADERS)) if item.size else b""
    if stored is None:
        raise HeadError("an object that cannot be read")
    if found := contradiction(stored, kind):
        raise HeadError(f"it looks like {found}")
    if kind.compression == "zstd":
        raise HeadError("zstd, which Python's standard library cannot read")
    head = _gunzip(stored) if kind.compression else stored
    whole = len(stored) == item.size and len(head) <= HEAD_BYTES
    return head_names(head[:HEAD_BYTES], kind, options, whole=whole)


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
