"""Injection of faults into deliveries: EventBridge's targets, and batches of queues and streams."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from embedded.faults import DelayEvent, DoubleEvent, Faults, LoseEvent
from embedded.faults.delivery_faults import EventFault

_SOURCES = ("aws:sqs", "aws:dynamodb", "aws:kinesis")
"""`eventSource` of the records that Lambda's pollers give to functions."""


def install_delivery_faults(faults: Faults) -> None:
    """Let events and messages meet the faults that were added for them."""
    from ministack.services import eventbridge, lambda_svc

    invoke_target, execute_function = eventbridge._invoke_target, lambda_svc._execute_function

    def deliver(target: dict[str, Any], event: dict[str, Any], *rest: Any, **named: Any) -> None:
        deliver_event(
            faults,
            str(event.get("Source", "")),
            str(event.get("DetailType", "")),
            str(target.get("Arn", "")),
            lambda: invoke_target(target, event, *rest, **named),
        )

    def execute(function: dict[str, Any], event: Any) -> dict[str, Any]:
        source = _record_source(event)
        fault = None
        if source and faults.scheduled(EventFault):
            config = function.get("config") or function
            fault = _strike(faults, source, "", str(config.get("FunctionArn", "")))
        if isinstance(fault, LoseEvent):
            return {"body": None}
        if isinstance(fault, DelayEvent):
            time.sleep(fault.seconds)
        if isinstance(fault, DoubleEvent):
            execute_function(function, event)
        result: dict[str, Any] = execute_function(function, event)
        return result

    eventbridge._invoke_target = deliver
    lambda_svc._execute_function = execute


def deliver_event(
    faults: Faults, source: str, detail_type: str, target_arn: str, deliver: Callable[[], object], *, schedule: str = ""
) -> None:
    """Deliver an event to one target: once, or as a fault says."""
    fault = _strike(faults, source, detail_type, target_arn, schedule)
    if isinstance(fault, LoseEvent):
        return
    if isinstance(fault, DelayEvent):
        context = contextvars.copy_context()
        timer = threading.Timer(fault.seconds, context.run, (deliver,))
        timer.daemon = True
        timer.start()
        return
    deliver()
    if isinstance(fault, DoubleEvent):
        deliver()


def _strike(faults: Faults, source: str, detail_type: str, target_arn: str, schedule: str = "") -> EventFault | None:
    place = " ".join(filter(None, (source, detail_type, schedule))) + f" to {target_arn}"
    return faults.strike(EventFault, place, lambda each: each.concerns(source, detail_type, target_arn, schedule))


def _record_source(event: Any) -> str:
    """Return the source of a batch of a poller; empty for other events."""
    records = event.get("Records") if isinstance(event, dict) else None
    first = records[0] if isinstance(records, list) and records else None
    source = first.get("eventSource") if isinstance(first, dict) else None
    return source if source in _SOURCES else ""
