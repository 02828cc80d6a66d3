"""SQS's message move tasks, which return dead letters to their source queues."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import base64
import json
import time
import uuid
from typing import Any

Record = dict[str, Any]
_NO_SOURCE = "CouldNotDetermineMessageSource"
_MAX_LISTED_TASKS = 10


def install_message_moves() -> None:
    """Serve StartMessageMoveTask and ListMessageMoveTasks, which ministack lacks.

    A task completes before its request returns. Messages without a source queue stay, as on AWS.
    """
    from ministack.services import sqs

    tasks: dict[str, list[Record]] = {}

    def start(request: Record, _url: str) -> Record:
        for name in request.keys() - {"SourceArn", "DestinationArn", "QueueUrl"}:
            raise sqs._Err("UnsupportedOperation", f"The embedded AWS does not support {name} of message move tasks.")
        source_arn = request.get("SourceArn", "")
        source = _queue(source_arn)
        if not any(_sends_to(queue, source_arn) for queue in sqs._queues.values()):
            raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        task: Record = {"SourceArn": source_arn, "StartedTimestamp": int(time.time() * 1000), "Status": "COMPLETED"}
        task["ApproximateNumberOfMessagesToMove"] = len(source["messages"])
        kept, moved = [], 0
        for message in source["messages"]:
            target_arn = request.get("DestinationArn") or message["sys"].get("DeadLetterQueueSourceArn")
            if not target_arn:
                kept.append(message)
                continue
            _queue(target_arn)["messages"].append(_as_new(message))
            moved += 1
        source["messages"] = kept
        sqs.esm_wake.set()
        task["ApproximateNumberOfMessagesMoved"] = moved
        if kept:
            task |= {"Status": "FAILED", "FailureReason": _NO_SOURCE}
        if request.get("DestinationArn"):
            task["DestinationArn"] = request["DestinationArn"]
        tasks.setdefault(source_arn, []).insert(0, task)
        handle = json.dumps({"taskId": str(uuid.uuid4()), "sourceArn": source_arn})
        return {"TaskHandle": base64.b64encode(handle.encode()).decode()}

    def list_tasks(request: Record, _url: str) -> Record:
        _queue(request.get("SourceArn", ""))
        limit = min(int(request.get("MaxResults") or 1), _MAX_LISTED_TASKS)
        return {"Results": tasks.get(request["SourceArn"], [])[:limit]}

    sqs._HANDLERS.update({"StartMessageMoveTask": start, "ListMessageMoveTasks": list_tasks})


def _queue(arn: str) -> Record:
    from ministack.services import sqs

    queue: Record | None = sqs._queue_by_arn(arn)
    if queue is None:
        raise sqs._Err("ResourceNotFoundException", "The resource that you specified for the SourceArn doesn't exist.")
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
