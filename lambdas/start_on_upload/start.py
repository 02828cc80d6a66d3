"""Process one batch of messages. Failed messages are delivered again, others leave the queue."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from contract.triggers.uploads import MARKER_NAME, ObjectVersion, UploadRule, marks_data
from lambdas.errors import UnreadableMessageError
from lambdas.stage.deployment import Deployment
from lambdas.stage.messaging.execution_starter import ExecutionStarter
from lambdas.stage.messaging.upload_queue import UploadQueue
from lambdas.stage.observability import logger, publish_counts
from lambdas.start_on_upload.decisions import is_scored, list_names
from lambdas.start_on_upload.markers import start_marked
from lambdas.start_on_upload.messages import Upload, WindowEnd, read_message
from lambdas.start_on_upload.windows import end_window, gather

_FIRST_WAIT_SECONDS = 30
_MAX_WAIT_SECONDS = 3_600


@dataclass
class _Work:
    """The work of a batch of messages. Equal requests are merged, each with all of its messages."""

    gathered: dict[str, list[tuple[ObjectVersion, SQSRecord]]] = field(default_factory=lambda: defaultdict(list))
    """Uploads to windows, by dataset."""
    markers: dict[tuple[str, ObjectVersion], list[SQSRecord]] = field(default_factory=lambda: defaultdict(list))
    """Messages by dataset and marker."""
    ends: dict[WindowEnd, list[SQSRecord]] = field(default_factory=lambda: defaultdict(list))
    unreadable: list[SQSRecord] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Keys of ignored uploads, by reason."""


def start_on_upload(
    messages: Sequence[SQSRecord],
    rules: Mapping[str, UploadRule],
    deployment: Deployment,
    starter: ExecutionStarter,
    queue: UploadQueue,
) -> list[str]:
    """Process the messages, and return the ids of messages that must be delivered again.

    A failure of one message does not affect others. An unreadable message is delivered again at
    once, until the queue moves it to its dead-letter queue. Other failed messages wait longer each
    time.
    """
    work = _sort(messages, rules, deployment.settings.datasets_bucket)
    for reason, keys in work.ignored.items():
        logger.warning("uploads are ignored", reason=reason, count=len(keys), keys=list_names(keys))
    failed: list[tuple[SQSRecord, int]] = [(message, 0) for message in work.unreadable]
    started = 0

    def attempt(senders: Sequence[SQSRecord], call: Callable[[], bool | None]) -> None:
        nonlocal started
        try:
            started += bool(call())
        except UnreadableMessageError as error:
            logger.error(str(error))
            failed.extend((message, 0) for message in senders)
        except Exception:
            logger.exception("messages will be delivered again", count=len(senders))
            failed.extend((message, _wait_seconds(message)) for message in senders)

    for dataset, pairs in work.gathered.items():
        uploads = [upload for upload, _ in pairs]
        attempt([message for _, message in pairs], partial(gather, rules[dataset], uploads, deployment, queue))
    for (dataset, marker), senders in work.markers.items():
        attempt(senders, partial(start_marked, rules[dataset], marker, deployment, starter))
    for end, senders in work.ends.items():
        attempt(senders, partial(end_window, end, deployment, starter, queue))

    queue.retry_after([(message.receipt_handle, seconds) for message, seconds in failed])
    counts = {
        "UploadsGathered": sum(map(len, work.gathered.values())),
        "UploadsIgnored": sum(map(len, work.ignored.values())),
        "UploadMessagesUnreadable": sum(seconds == 0 for _, seconds in failed),
        "UploadMessagesDelayed": sum(seconds > 0 for _, seconds in failed),
        "UploadExecutionsStarted": started,
    }
    publish_counts(deployment.settings.stage, counts)
    return [message.message_id for message, _ in failed]


def _sort(messages: Sequence[SQSRecord], rules: Mapping[str, UploadRule], datasets_bucket: str) -> _Work:
    work = _Work()
    for message in messages:
        try:
            found = read_message(message, datasets_bucket)
        except UnreadableMessageError as error:
            logger.error(str(error), message_id=message.message_id)
            work.unreadable.append(message)
            continue
        if isinstance(found, WindowEnd):
            work.ends[found].append(message)
        else:
            _sort_upload(found, message, rules, work)
    return work


def _sort_upload(upload: Upload, message: SQSRecord, rules: Mapping[str, UploadRule], work: _Work) -> None:
    version = upload.version
    rule = rules.get(upload.dataset)
    if not upload.dataset:
        work.ignored["the object is in no dataset's folder"].append(version.key)
    elif rule is None:
        work.ignored[f"no rule of the setting `uploads` names the dataset {upload.dataset!r}"].append(version.key)
    elif rule.mode == "marker":
        # Other objects of the dataset need no action: the marker that follows them names them.
        if marks_data(version.key):
            work.markers[rule.dataset, version].append(message)
        elif version.key.rpartition("/")[2] == MARKER_NAME:
            work.ignored[f"dataset {upload.dataset!r}: the marker is in a hidden folder"].append(version.key)
    elif is_scored(version.key):
        work.gathered[rule.dataset].append((version, message))
    else:
        work.ignored[f"dataset {upload.dataset!r}: the object is not data"].append(version.key)


def _wait_seconds(message: SQSRecord) -> int:
    """Return a wait that doubles with each delivery."""
    received = int(message.attributes.approximate_receive_count)
    return int(min(_MAX_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(received - 1, 10)))
