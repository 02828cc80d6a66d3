"""The columns of an object in any format, from a part of it that fits beside the functions."""

import zlib
from collections.abc import Callable, Iterable

from contract.dataset.formats import HEAD_BYTES, ObjectFormat, contradiction, format_of
from contract.dataset.input_options import InputOptions
from contract.dataset.text_head import HeadError, head_names
from contract.job.scoring_spec import PinnedObject
from lambdas.dataset.parquet_footer import Column, FooterError, read_columns
from lambdas.stage.object_store import ObjectStore
from lambdas.stage.observability import logger

Read = Callable[[int, int], bytes | None]
"""Bytes of the object from a first to before an end; None when they cannot be had."""

_HEAD_AND_HEADERS = HEAD_BYTES + (64 << 10)
"""Of a compressed object: as much as gives the head, even where nothing could be compressed."""


class ColumnsUnknownError(ValueError):
    """The columns cannot be told here; the job that reads the object says what is the matter with
    it."""


def first_of(objects: Iterable[PinnedObject]) -> PinnedObject | None:
    """The object whose columns stand for those of its dataset; None when there is none."""
    return min(objects, key=lambda item: item.key, default=None)


def columns_or_none(
    dataset: str, item: PinnedObject, options: InputOptions, store: ObjectStore
) -> tuple[Column, ...] | None:
    """The columns of an object of a dataset; None when they cannot be told, which is left to the
    job that reads it."""
    try:
        return object_columns(item, options, lambda start, end: store.dataset_range(dataset, item, start, end))
    except ColumnsUnknownError as error:
        # Not the key, which can tell about the people whose data it holds.
        logger.debug("an object's columns cannot be told", dataset=dataset, reason=str(error))
        return None


def object_columns(item: PinnedObject, options: InputOptions, read: Read) -> tuple[Column, ...]:
    """The columns of an object; those of text have no type, because a model's record decides how
    they are read.

    Raises:
        ColumnsUnknownError: when they cannot be told.
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
        raise HeadError("an object that cannot be had")
    if found := contradiction(stored, kind):
        raise HeadError(f"it looks like {found}")
    if kind.compression == "zstd":
        raise HeadError("zstd, which Python's standard library cannot read")
    head = _gunzip(stored) if kind.compression else stored
    whole = len(stored) == item.size and len(head) <= HEAD_BYTES
    return head_names(head[:HEAD_BYTES], kind, options, whole=whole)


def _gunzip(stored: bytes) -> bytes:
    """The beginning of what was compressed, one byte more than a head at most, however far the rest
    would expand."""
    head = b""
    while stored and len(head) <= HEAD_BYTES:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            head += member.decompress(stored, HEAD_BYTES + 1 - len(head))
        except zlib.error as error:
            raise HeadError(f"gzip that is damaged ({error})") from error
        stored = member.unused_data
    return head
