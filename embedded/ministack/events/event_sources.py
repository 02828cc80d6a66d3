"""Lambda's polling of SQS queues and S3's events to EventBridge, with the rules of AWS."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import contextvars
import json
import time
from typing import Any

from embedded.ministack.events.polling import wake_after
from embedded.ministack.iam.identity import authorize

POLLING_ACTIONS = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
"""SQS actions that Lambda's poller performs with the function's role."""

_LARGEST_BATCH_BYTES = 6 * 1024 * 1024
_RECORD_BYTES = 1_000
"""Estimated size of an event record without its body, in bytes."""
_LARGEST_PLAIN_BATCH = 10
_CHECK_SECONDS = 1.0
"""Time between two checks of the role of a mapping that takes no messages, in seconds."""


def install_object_versions() -> None:
    """Add the object's version to S3's EventBridge events, as AWS does."""
    from ministack.services import eventbridge, s3

    version: contextvars.ContextVar[str | None] = contextvars.ContextVar("version", default=None)
    ministack_fire, ministack_dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def fire(*arguments: Any, version_id: str | None = None, **named: Any) -> None:
        token = version.set(version_id)
        try:
            ministack_fire(*arguments, version_id=version_id, **named)
        finally:
            version.reset(token)

    def dispatch(event: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        version_id = version.get()
        if event.get("Source") == "aws.s3" and version_id:
            detail = json.loads(event["Detail"])
            detail["object"].setdefault("version-id", version_id)
            event = {**event, "Detail": json.dumps(detail)}
        return ministack_dispatch(event, *arguments, **named)

    s3._fire_s3_event = fire
    eventbridge._dispatch_event = dispatch


def install_batch_actions() -> None:
    """Authorize an SQS batch operation by its single action: IAM has no `sqs:SendMessageBatch`."""
    from ministack.core import iam_actions

    ministack_action = iam_actions.extract_iam_action

    def extract_iam_action(service: str, *arguments: Any, **named: Any) -> Any:
        action = ministack_action(service, *arguments, **named)
        return action.removesuffix("Batch") if isinstance(action, str) and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = extract_iam_action


def install_queue_polling(time_scale: float) -> None:
    """Make event source mappings of queues honor the batching window, batch size and role.

    ministack itself takes at most ten messages as soon as there are any, and does not check the
    role. `time_scale` multiplies the seconds of the window.
    """
    from ministack.services import lambda_svc, sqs
    from ministack.services.cloudformation import provisioners

    ministack_concurrency, ministack_create = lambda_svc._sqs_esm_concurrency, lambda_svc._create_esm
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    ministack_provision = handlers["create"]
    first_seen: dict[str, float] = {}
    next_check: dict[str, float] = {}

    def is_denied(esm: dict[str, Any], config: dict[str, Any]) -> bool:
        next_check[esm["UUID"]] = time.monotonic() + _CHECK_SECONDS
        denied = _denied(config.get("Role", ""), esm["EventSourceArn"])
        if denied:
            esm["LastProcessingResult"] = f"PROBLEM: {denied}"
        return bool(denied)

    def concurrency(esm: dict[str, Any], function: Any, config: dict[str, Any], queue: Any = None) -> int:
        # The poller of all mappings looks at each queue whenever a record of a stream is written.
        if next_check.get(esm["UUID"], 0.0) <= time.monotonic() and is_denied(esm, config):
            return 0
        waiting, now = _visible(queue or {}), time.monotonic()
        if not waiting:
            first_seen.pop(esm["UUID"], None)
            return 0
        seconds = int(esm.get("MaximumBatchingWindowInSeconds") or 0) * time_scale
        begin = first_seen.get(esm["UUID"])
        if len(waiting) < int(esm.get("BatchSize", 10)) and (now if begin is None else begin) + seconds > now:
            if begin is None:
                first_seen[esm["UUID"]] = now
                wake_after(seconds)
            return 0
        first_seen.pop(esm["UUID"], None)
        return 0 if is_denied(esm, config) else int(ministack_concurrency(esm, function, config, queue))

    def receive(queue_url: str, most: int) -> list[dict[str, Any]]:
        with sqs._queues_lock:
            queue = sqs._get_q(queue_url)
            sqs._expire_retained(queue)
            sqs._dlq_sweep(queue)
            size = count = 0
            for message in _visible(queue):
                size += len(json.dumps(message["body"])) + _RECORD_BYTES
                if count == most or (count and size > _LARGEST_BATCH_BYTES):
                    break
                count += 1
            seconds = int(queue["attributes"].get("VisibilityTimeout", "30"))
            return list(sqs._collect_msgs(queue, count, seconds))

    def create(request: dict[str, Any]) -> Any:
        problem = _problem(request)
        if problem:
            return lambda_svc.error_response_json("InvalidParameterValueException", problem, 400)
        return ministack_create(request)

    def provision(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        problem = _problem(properties)
        if problem:
            raise ValueError(f"Resource handler returned message: {problem} (Service: Lambda, Status Code: 400)")
        return ministack_provision(logical_id, properties, stack_name)

    lambda_svc._sqs_esm_concurrency = concurrency
    sqs._receive_messages_for_esm = receive
    lambda_svc._create_esm = create
    handlers["create"] = provision


def _problem(mapping: dict[str, Any]) -> str:
    """Return why Lambda would refuse the mapping of a queue; empty when it would accept it."""
    from ministack.services import lambda_svc

    source = str(mapping.get("EventSourceArn", ""))
    if ":sqs:" not in source:
        return ""
    window = int(mapping.get("MaximumBatchingWindowInSeconds") or 0)
    if int(mapping.get("BatchSize") or 10) > _LARGEST_PLAIN_BATCH and window < 1:
        return (
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than "
            f"{_LARGEST_PLAIN_BATCH}"
        )
    name, qualifier = lambda_svc._resolve_name_and_qualifier(mapping.get("FunctionName", ""))
    _record, config = lambda_svc._get_func_record_for_qualifier(name, qualifier)
    return _denied((config or {}).get("Role", ""), source)


def _denied(role_arn: str, queue_arn: str) -> str:
    if ":role/" not in role_arn:
        return ""
    for action in POLLING_ACTIONS:
        if not authorize(role_arn, f"sqs:{action}", queue_arn):
            return f"The provided execution role does not have permissions to call {action} on SQS"
    return ""


def _visible(queue: dict[str, Any]) -> list[dict[str, Any]]:
    now = time.time()
    return [message for message in list(queue.get("messages", ())) if message.get("visible_at", 0) <= now]
