"""Lambda's poller of queues and streams: a look at what waits, before ministack goes through all mappings."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import time
from collections.abc import Callable
from typing import Any

from embedded.ministack.errors import MinistackChangedError

_QUEUE_SECONDS = 1.0
"""Longest time between two passes over the queues, whose roles a pass checks, in seconds."""
_POLLERS = ("_poll_sqs", "_poll_kinesis", "_poll_dynamodb_streams")


def install_idle_polling() -> None:
    """Let the poller skip the services of which nothing waits.

    ministack wakes it whenever a record or a message is written, and it then reads the ARNs, functions and sources of
    all mappings. Install it before anything that opens batching windows.
    """
    from ministack.services import lambda_svc

    if missing := [name for name in (*_POLLERS, "_esms", "_esm_backoff_until") if not hasattr(lambda_svc, name)]:
        raise MinistackChangedError(f"ministack's Lambda has no {missing[0]}: install the pinned version")
    poll_queues, poll_kinesis, poll_streams = (getattr(lambda_svc, name) for name in _POLLERS)
    lambda_svc._poll_sqs = _queue_poller(poll_queues)
    lambda_svc._poll_kinesis = lambda: any(_mappings(":kinesis:")) and poll_kinesis()
    lambda_svc._poll_dynamodb_streams = lambda: any(map(_has_records, _mappings(":dynamodb:"))) and poll_streams()


def _mappings(service: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return account, Region and record of the mappings whose source belongs to a service."""
    from ministack.services import lambda_svc

    return [
        (account_id, region, mapping)
        for account_id, region, mapping in lambda_svc._iter_all_esms()
        if service in mapping.get("EventSourceArn", "")
    ]


def _queue_poller(poll: Callable[[], bool]) -> Callable[[], bool]:
    next_pass = 0.0

    def poll_queues() -> bool:
        nonlocal next_pass
        now = time.monotonic()
        if now < next_pass and not any(map(_has_messages, _mappings(":sqs:"))):
            return False
        next_pass = now + _QUEUE_SECONDS
        return poll()

    return poll_queues


def _has_messages(found: tuple[str, str, dict[str, Any]]) -> bool:
    from ministack.services import sqs

    account_id, region, mapping = found
    url = sqs._queue_url_for_account(account_id, mapping["EventSourceArn"].rpartition(":")[2])
    queue = sqs._queues.get_scoped(account_id, region, url)
    return bool(queue and queue.get("messages"))


def _has_records(found: tuple[str, str, dict[str, Any]]) -> bool:
    """Return whether a function may receive records of a stream now."""
    from ministack.services import dynamodb, lambda_svc

    account_id, region, mapping = found
    if lambda_svc._esm_backoff_until.get_scoped(account_id, region, mapping["UUID"], 0.0) > time.time():
        return False
    table = mapping["EventSourceArn"].partition(":table/")[2].partition("/")[0]
    position = lambda_svc._dynamodb_stream_positions.get_scoped(account_id, region, mapping["UUID"], -1)
    return bool(position < dynamodb.stream_end_position(table, account_id=account_id, region=region))
