"""Reading the queue: news of an upload, or our own reminder that a window has to end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.triggers.uploads import ObjectVersion
from lambdas.errors import UnreadableMessageError, shorten

_WINDOW_END = "fleetscore.window_end"


@dataclass(frozen=True)
class Upload:
    """An object was put into the datasets bucket. `dataset` is empty for one that lies in no folder."""

    dataset: str
    version: ObjectVersion


@dataclass(frozen=True)
class WindowEnd:
    """A window is to be ended, now or at its time."""

    dataset: str
    window: int


def window_end_text(end: WindowEnd) -> str:
    return json.dumps({"type": _WINDOW_END, "dataset": end.dataset, "window": end.window})


def read_message(text: str, datasets_bucket: str) -> Upload | WindowEnd:
    """Take a message's body apart.

    Raises:
        UnreadableMessageError: when it is none that anything of ours or EventBridge would send.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableMessageError(f"the message is no JSON ({error}): {shorten(text, 200)}") from error
    if not isinstance(data, Mapping):
        raise UnreadableMessageError(f"the message is no JSON object: {shorten(text, 200)}")
    if data.get("type") == _WINDOW_END:
        return WindowEnd(_text(data, "dataset"), _count(data, "window"))
    if (data.get("source"), data.get("detail-type")) != ("aws.s3", "Object Created"):
        kind = f"source {data.get('source')!r} and detail-type {data.get('detail-type')!r}"
        raise UnreadableMessageError(f"the message is another event, of {kind}")
    detail = _object(data, "detail")
    bucket = _text(_object(detail, "bucket"), "name")
    if bucket != datasets_bucket:
        raise UnreadableMessageError(f"the message is about the bucket {bucket!r}")
    found = _object(detail, "object")
    folder, slash, key = _text(found, "key").partition("/")
    version = ObjectVersion(
        key=key if slash else folder,
        version_id=_text(found, "version-id", ""),
        etag=_text(found, "etag", "").strip('"'),
        size=_count(found, "size"),
        sequencer=_text(found, "sequencer", ""),
    )
    if not (version.version_id or version.sequencer):
        raise UnreadableMessageError("the event tells neither version-id nor sequencer, so one upload reads as another")
    return Upload(folder if slash else "", version)


def _object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise UnreadableMessageError(f"{name} is {shorten(repr(value), 100)}, not an object")
    return value


def _text(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = data.get(name, default)
    if not isinstance(value, str) or (not value and default is None):
        raise UnreadableMessageError(f"{name} is {shorten(repr(value), 100)}, not a text")
    return value


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnreadableMessageError(f"{name} is {shorten(repr(value), 100)}, not a whole number")
    return value
