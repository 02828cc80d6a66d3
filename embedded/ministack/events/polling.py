"""Lambda's poller of queues and streams, which looks for messages before ministack goes through all mappings."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import logging
import time
from collections.abc import Callable
from typing import Any

from embedded.ministack.errors import MinistackChangedError

_QUEUE_SECONDS = 1.0
"""Longest time between two passes over the queues, whose roles a pass checks, in seconds."""
_LONGEST_WAIT_SECONDS = 1.0
"""Longest wait for a record or a message, in seconds. A message may become visible without notice."""
_POLLERS = ("_poll_sqs", "_poll_kinesis", "_poll_dynamodb_streams")
_NEEDED = ("_poll_loop", "_esms", "_esm_wake", "_ESM_IDLE_WAKE_GAP_SECONDS")

_logger = logging.getLogger("embedded.events")
_wake_times: list[float] = []
"""Times of `time.monotonic` at which the poller continues."""


def wake_after(seconds: float) -> None:
    """Let the poller continue after some seconds. Call it in the poller's thread."""
    _wake_times.append(time.monotonic() + seconds)


def install_idle_polling() -> None:
    """Let the poller skip queues without messages, and continue at the end of batching windows.

    ministack wakes it whenever a record or a message is written, and it then reads the ARNs, functions and sources of
    all mappings. Install it before anything that opens batching windows.
    """
    from ministack.services import lambda_svc

    if missing := [name for name in (*_POLLERS, *_NEEDED) if not hasattr(lambda_svc, name)]:
        raise MinistackChangedError(f"ministack's Lambda has no {missing[0]}: install the pinned version")
    poll_kinesis = lambda_svc._poll_kinesis
    lambda_svc._poll_sqs = _queue_poller(lambda_svc._poll_sqs)
    lambda_svc._poll_kinesis = lambda: any(_mappings(":kinesis:")) and poll_kinesis()
    lambda_svc._poll_loop = _poll_forever


def _poll_forever() -> None:
    from ministack.services import lambda_svc

    is_woken = False
    while True:
        lambda_svc._esm_wake.clear()
        # All of them, however many find something. There is often more behind it.
        if sum(map(_poll, _POLLERS)):
            is_woken = False
            continue
        if is_woken:
            time.sleep(lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS)
        is_woken = lambda_svc._esm_wake.wait(_seconds_to_wait())


def _poll(name: str) -> bool:
    """Call one poller. Return whether it has found something."""
    from ministack.services import lambda_svc

    try:
        return bool(getattr(lambda_svc, name)())
    except Exception:
        _logger.exception("%s failed", name)
        return False


def _seconds_to_wait() -> float:
    """Return the seconds until the poller continues, and forget the times that have passed."""
    now = time.monotonic()
    seconds = [max(0.0, moment - now) for moment in _wake_times]
    _wake_times[:] = [moment for moment in _wake_times if moment > now]
    return min([_LONGEST_WAIT_SECONDS, *seconds])


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
