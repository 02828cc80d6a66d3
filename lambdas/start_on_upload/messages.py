"""Read the messages of the uploads' queue: an uploaded object, or a reminder to end a window."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.utilities.data_classes.event_bridge_event import EventBridgeEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from contract.json_text import JsonError, parse_json
from contract.triggers.uploads import ObjectVersion
from lambdas.errors import UnreadableMessageError
from lambdas.shown_text import shorten

_WINDOW_END = "fleetscore.window_end"


@dataclass(frozen=True)
class Upload:
    """An object was written to the datasets bucket. `dataset` is empty when the object is in no
    folder."""

    dataset: str
    version: ObjectVersion


@dataclass(frozen=True)
class WindowEnd:
    """A reminder to end this window when its time is over."""

    dataset: str
    window: int


def window_end_text(end: WindowEnd) -> str:
    """Return the message body that `read_message` reads as this reminder."""
    return json.dumps({"type": _WINDOW_END, "dataset": end.dataset, "window": end.window})


def read_message(message: SQSRecord, datasets_bucket: str) -> Upload | WindowEnd:
    """Return the upload or the reminder in a message.

    Raises:
        UnreadableMessageError: when the message is neither a reminder nor S3's "Object Created"
            event.
    """
    try:
        data = parse_json(message.body)
    except JsonError as error:
        shown = shorten(message.body, 200)
        raise UnreadableMessageError(f"the message is unreadable, because {error}: {shown}") from error
    if not isinstance(data, dict):
        raise UnreadableMessageError(f"the message is not a JSON object: {shorten(message.body, 200)}")
    if data.get("type") == _WINDOW_END:
        return WindowEnd(_text(data, "dataset"), _count(data, "window"))
    return _read_upload(EventBridgeEvent(data), datasets_bucket)


def _read_upload(event: EventBridgeEvent, datasets_bucket: str) -> Upload:
    """Read S3's "Object Created" event.

    Not with Powertools' S3EventBridgeNotificationEvent: it decodes the key like a query string, but
    EventBridge sends it as it is, so an object `a+b.csv` would become `a b.csv`.
    """
    if (event.get("source"), event.get("detail-type")) != ("aws.s3", "Object Created"):
        kind = f"source {event.get('source')!r} and detail-type {event.get('detail-type')!r}"
        raise UnreadableMessageError(f"the message is another event, of {kind}")
    detail = _object(event, "detail")
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
        raise UnreadableMessageError(
            "the event has neither version-id nor sequencer, so two uploads of one key cannot be distinguished"
        )
    return Upload(folder if slash else "", version)


def _object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise UnreadableMessageError(f"{name} is {shorten(repr(value), 100)}, not an object")
    return value


def _text(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = data.get(name, default)
    if not isinstance(value, str) or (not value and default is None):
        raise UnreadableMessageError(f"{name} is {shorten(repr(value), 100)}, not a string")
    return value


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnreadableMessageError(f"{name} is {shorten(repr(value), 100)}, not a whole number")
    return value
