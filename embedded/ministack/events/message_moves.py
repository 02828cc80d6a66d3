"""SQS's message move tasks, which return dead letters to their source queues."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import base64
import binascii
import json
import threading
import time
import uuid
from typing import Any

Record = dict[str, Any]
_NO_SOURCE = "CouldNotDetermineMessageSource"
_MAX_LISTED_TASKS = 10
_FASTEST = 500
"""Largest rate of a task, in messages per second."""
_ACTIVE = ("RUNNING", "CANCELLING")


def install_message_moves() -> None:
    """Serve StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask, which ministack lacks.

    A task with a rate runs in a thread. Any other one completes before its request returns. Messages
    without a source queue stay, as on AWS.
    """
    from ministack.services import sqs

    tasks = _Tasks()
    sqs._HANDLERS.update(
        {
            "StartMessageMoveTask": lambda request, _url: tasks.start(request),
            "ListMessageMoveTasks": lambda request, _url: tasks.list(request),
            "CancelMessageMoveTask": lambda request, _url: tasks.cancel(request),
        }
    )


class _Tasks:
    """The message move tasks of all queues."""

    def __init__(self) -> None:
        self._by_source: dict[str, list[_Task]] = {}
        """Tasks of each dead-letter queue, the newest first."""

    def start(self, request: Record) -> Record:
        from ministack.services import sqs

        for name in request.keys() - {"SourceArn", "DestinationArn", "MaxNumberOfMessagesPerSecond", "QueueUrl"}:
            raise sqs._Err("UnsupportedOperation", f"The embedded AWS does not support {name} of message move tasks.")
        source_arn = str(request.get("SourceArn", ""))
        source = _queue(source_arn)
        if not any(_sends_to(queue, source_arn) for queue in sqs._queues.values()):
            raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        rate = request.get("MaxNumberOfMessagesPerSecond")
        if rate is not None and not 1 <= int(rate) <= _FASTEST:
            raise sqs._Err(
                "InvalidParameterValue", f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid."
            )
        if any(task.status in _ACTIVE for task in self._by_source.get(source_arn, ())):
            raise sqs._Err(
                "InvalidParameterValue",
                "There is already a task running. Only one active task is allowed for a source queue arn at a given "
                "time.",
            )
        destination_arn = str(request.get("DestinationArn") or "")
        if destination_arn:
            _queue(destination_arn, "DestinationArn")
        task = _Task(source_arn, destination_arn, None if rate is None else int(rate), len(source["messages"]))
        self._by_source.setdefault(source_arn, []).insert(0, task)
        if task.rate is None:
            task.run()
        else:
            threading.Thread(target=task.run, name=f"move {source_arn}", daemon=True).start()
        return {"TaskHandle": task.handle}

    def list(self, request: Record) -> Record:
        source_arn = str(request.get("SourceArn", ""))
        _queue(source_arn)
        limit = min(int(request.get("MaxResults") or 1), _MAX_LISTED_TASKS)
        return {"Results": [task.described() for task in self._by_source.get(source_arn, [])[:limit]]}

    def cancel(self, request: Record) -> Record:
        from ministack.services import sqs

        try:
            handle = json.loads(base64.b64decode(str(request.get("TaskHandle", "")), validate=True))
            source_arn = str(handle["sourceArn"])
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise sqs._Err("InvalidParameterValue", "Value for parameter TaskHandle is invalid.") from error
        _queue(source_arn)
        found = [task for task in self._by_source.get(source_arn, ()) if task.handle == request["TaskHandle"]]
        if not found or not found[0].cancel():
            raise sqs._Err("ResourceNotFoundException", "Task does not exist.")
        return {"ApproximateNumberOfMessagesMoved": found[0].moved}


class _Task:
    """One task: moves the messages that its queue has at the start."""

    def __init__(self, source_arn: str, destination_arn: str, rate: int | None, messages: int) -> None:
        handle = json.dumps({"taskId": str(uuid.uuid4()), "sourceArn": source_arn})
        self.handle = base64.b64encode(handle.encode()).decode()
        self.status = "RUNNING"
        self.moved = 0
        self.rate = rate
        """Messages per second; None for all at once."""
        self._source_arn = source_arn
        self._destination_arn = destination_arn
        self._to_move = messages
        self._started = int(time.time() * 1000)
        self._failure = ""
        self._cancelled = threading.Event()
        self._status_lock = threading.Lock()

    def described(self) -> Record:
        """Return the task as ListMessageMoveTasks does. Only a running one has a handle."""
        optional = {
            "TaskHandle": self.handle if self.status == "RUNNING" else "",
            "DestinationArn": self._destination_arn,
            "MaxNumberOfMessagesPerSecond": self.rate,
            "FailureReason": self._failure,
        }
        return {
            "Status": self.status,
            "SourceArn": self._source_arn,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self._to_move,
            "StartedTimestamp": self._started,
            **{name: value for name, value in optional.items() if value},
        }

    def cancel(self) -> bool:
        """Move no further message. Return False if the task is not running."""
        with self._status_lock:
            if self.status != "RUNNING":
                return False
            self.status = "CANCELLING"
        self._cancelled.set()
        return True

    def run(self) -> None:
        from ministack.services import sqs

        kept: set[str] = set()
        for _ in range(self._to_move):
            if self.rate is not None and self._cancelled.wait(1 / self.rate):
                break
            with sqs._queues_lock:
                message = next((item for item in _messages(self._source_arn) if item["id"] not in kept), None)
                if message is not None and not self._move(message):
                    kept.add(message["id"])
        sqs.esm_wake.set()
        with self._status_lock:
            if self.status == "CANCELLING":
                self.status = "CANCELLED"
            elif kept:
                self.status, self._failure = "FAILED", _NO_SOURCE
            else:
                self.status = "COMPLETED"

    def _move(self, message: Record) -> bool:
        """Move a message, and return whether it has a queue to go to."""
        target_arn = self._destination_arn or message["sys"].get("DeadLetterQueueSourceArn")
        target = _find_queue(target_arn) if target_arn else None
        if target is None:
            return False
        _messages(self._source_arn).remove(message)
        target["messages"].append(_as_new(message))
        self.moved += 1
        from ministack.services import sqs

        sqs.esm_wake.set()
        return True


def _messages(arn: str) -> list[Record]:
    """Return the messages of a queue; none if it was deleted."""
    queue = _find_queue(arn)
    messages: list[Record] = [] if queue is None else queue["messages"]
    return messages


def _find_queue(arn: str) -> Record | None:
    from ministack.services import sqs

    queue: Record | None = sqs._queue_by_arn(arn)
    return queue


def _queue(arn: str, parameter: str = "SourceArn") -> Record:
    from ministack.services import sqs

    queue = _find_queue(arn)
    if queue is None:
        raise sqs._Err(
            "ResourceNotFoundException", f"The resource that you specified for the {parameter} doesn't exist."
        )
    return queue


def _sends_to(queue: Record, arn: str) -> bool:
    policy = json.loads(queue["attributes"].get("RedrivePolicy") or "{}")
    return bool(policy.get("deadLetterTargetArn") == arn)


def _as_new(message: Record) -> Record:
    """Return a copy of the message with a new id and time, not received yet."""
    now = time.time()
    system = {name: value for name, value in message["sys"].items() if name != "DeadLetterQueueSourceArn"}
    return {
        **message,
        "id": str(uuid.uuid4()),
        "receipt_handle": None,
        "sent_at": now,
        "visible_at": now,
        "receive_count": 0,
        "first_receive_at": None,
        "sys": {**system, "SentTimestamp": str(int(now * 1000))},
    }
