"""One batch of messages: each either done, so that it may go, or to be delivered again."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from contract.triggers.uploads import ObjectVersion, UploadRule
from lambdas.errors import UnreadableMessageError
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger, publish_counts
from lambdas.start_on_upload.decisions import is_scored, listed
from lambdas.start_on_upload.markers import is_marker, start_marked
from lambdas.start_on_upload.messages import Upload, WindowEnd, read_message
from lambdas.start_on_upload.windows import end_window, gather
from lambdas.stage.upload_queue import Outside

_FIRST_WAIT_SECONDS = 30
_LONGEST_WAIT_SECONDS = 3_600


@dataclass(frozen=True)
class Message:
    """One record of the event."""

    id: str
    receipt: str
    received: int
    """How often it was delivered, this time included."""
    body: str


@dataclass
class _Work:
    """What a batch asks for: the same thing once, with the messages that ask for it."""

    gathered: dict[str, list[tuple[ObjectVersion, Message]]] = field(default_factory=lambda: defaultdict(list))
    """By dataset."""
    markers: dict[tuple[str, ObjectVersion], list[Message]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[WindowEnd, list[Message]] = field(default_factory=lambda: defaultdict(list))
    unreadable: list[Message] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Keys by why nobody wants them."""


def start_on_upload(
    messages: Sequence[Message], rules: Mapping[str, UploadRule], deployment: Deployment, outside: Outside
) -> list[str]:
    """Do what the messages ask for. Returns the ids of those that have to be delivered again.

    Nothing that one of them does keeps another from being done. A message that cannot be read comes back at once, until
    the queue gives it to its dead-letter queue; others wait longer each time.
    """
    work = _sort(messages, rules, deployment.settings.datasets_bucket)
    for why, keys in work.ignored.items():
        logger.warning("uploads start nothing", reason=why, count=len(keys), keys=listed(keys))
    again: list[tuple[Message, int]] = [(message, 0) for message in work.unreadable]
    started = 0

    def attempt(asking: Sequence[Message], call: Callable[[], bool | None]) -> None:
        nonlocal started
        try:
            started += bool(call())
        except UnreadableMessageError as error:
            logger.error(str(error))
            again.extend((message, 0) for message in asking)
        except Exception:
            logger.exception("messages are to be delivered again", count=len(asking))
            again.extend((message, _wait(message)) for message in asking)

    for dataset, pairs in work.gathered.items():
        uploads = [upload for upload, _ in pairs]
        attempt([message for _, message in pairs], partial(gather, rules[dataset], uploads, deployment, outside))
    for (dataset, marker), asking in work.markers.items():
        attempt(asking, partial(start_marked, rules[dataset], marker, deployment, outside))
    for end, asking in work.ends.items():
        attempt(asking, partial(end_window, end, deployment, outside))

    outside.show_again([(message.receipt, seconds) for message, seconds in again])
    counts = {
        "UploadsGathered": sum(map(len, work.gathered.values())),
        "UploadsIgnored": sum(map(len, work.ignored.values())),
        "UploadMessagesUnreadable": sum(seconds == 0 for _, seconds in again),
        "UploadMessagesDelayed": sum(seconds > 0 for _, seconds in again),
        "UploadExecutionsStarted": started,
    }
    publish_counts(deployment.settings.stage, counts)
    return [message.id for message, _ in again]


def _sort(messages: Sequence[Message], rules: Mapping[str, UploadRule], datasets_bucket: str) -> _Work:
    work = _Work()
    for message in messages:
        try:
            found = read_message(message.body, datasets_bucket)
        except UnreadableMessageError as error:
            logger.error(str(error), message_id=message.id)
            work.unreadable.append(message)
            continue
        if isinstance(found, WindowEnd):
            work.ends[found].append(message)
        else:
            _sort_upload(found, message, rules, work)
    return work


def _sort_upload(upload: Upload, message: Message, rules: Mapping[str, UploadRule], work: _Work) -> None:
    version = upload.version
    rule = rules.get(upload.dataset)
    if not upload.dataset:
        work.ignored["the object lies in no dataset's folder"].append(version.key)
    elif rule is None:
        work.ignored[f"no rule of the setting `uploads` names the dataset {upload.dataset!r}"].append(version.key)
    elif rule.mode == "marker":
        # Everything else in the dataset waits for its marker, and needs no news of its own.
        if is_marker(version.key):
            work.markers[rule.dataset, version].append(message)
    elif is_scored(version.key):
        work.gathered[rule.dataset].append((version, message))
    else:
        work.ignored[f"dataset {upload.dataset!r}: the object is no data"].append(version.key)


def _wait(message: Message) -> int:
    """Seconds, doubled each time: whatever refuses us should not be asked more often the longer it does."""
    return int(min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(message.received - 1, 10)))


def read_records(event: Mapping[str, Any]) -> list[Message]:
    """The event of an SQS event source mapping."""
    return [
        Message(
            id=record["messageId"],
            receipt=record["receiptHandle"],
            received=int(record["attributes"]["ApproximateReceiveCount"]),
            body=record["body"],
        )
        for record in event["Records"]
    ]
