"""Events of our own services on the default bus, and scheduled rules on the embedded AWS's clock."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from embedded.ministack.errors import MinistackChangedError
from embedded.threads import start_thread

_logger = logging.getLogger("embedded.events")

_EVALUATION_SECONDS = 1.0
"""Time between two evaluations of the rules with a schedule, in seconds of the clock. Schedules are in minutes."""


def put_service_event(source: str, detail_type: str, resource: str, detail: dict[str, Any]) -> None:
    """Send an event of a service to the rules of the default bus, in the caller's account and Region."""
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import eventbridge

    eventbridge._dispatch_event(
        {
            "EventId": str(uuid.uuid4()),
            "Source": source,
            "DetailType": detail_type,
            # Patterns are compared with it as it is; ministack writes JSON for each target.
            "Detail": detail,
            "EventBusName": "default",
            "Time": time.time(),
            "Resources": [resource],
            "Account": get_account_id(),
            "Region": get_region(),
        }
    )


def install_no_event_log() -> None:
    """Keep no events on the buses: ministack keeps all of them, and reads none."""
    from ministack.services import eventbridge

    if not callable(getattr(eventbridge, "_events_log_list", None)):
        raise MinistackChangedError("ministack's EventBridge has no _events_log_list: install the pinned version")
    # Each event is appended to a new list, which nothing keeps.
    eventbridge._events_log_list = list


def install_function_targets() -> None:
    """Call the functions of rules in threads that are kept for the next event."""
    from ministack.services import eventbridge, lambda_svc

    if not callable(getattr(eventbridge, "_dispatch_to_lambda", None)):
        raise MinistackChangedError("ministack's EventBridge has no _dispatch_to_lambda: install the pinned version")

    def dispatch(arn: str, payload: str) -> None:
        # Input of a target may be any text.
        try:
            event = json.loads(payload)
        except ValueError:
            event = {"body": payload}
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            _logger.warning("the function %s of a rule does not exist", name)
            return
        record = lambda_svc._execution_record_for_config(function, config)
        start_thread(lambda_svc._execute_function_with_config_scope, record, event, name="event")

    eventbridge._dispatch_to_lambda = dispatch


def install_scheduled_rules(now: Callable[[], datetime]) -> Callable[[], None]:
    """Fire rules with a schedule by `now()`. Return a function that looks for due ones, for `install_scheduler`.

    So a test sets one clock, and both rules and EventBridge Scheduler follow it. When the clock is set
    back, a rule that has fired fires next one interval after the new time. While the clock goes on, rules are
    evaluated once per second.
    """
    from ministack.services import eventbridge

    ministack_now, ministack_tick = eventbridge._now_ts, eventbridge._tick_scheduled_rules
    ticking = threading.local()
    evaluated = 0.0

    def now_of_caller() -> float:
        return now().timestamp() if getattr(ticking, "is_tick", False) else float(ministack_now())

    def tick() -> None:
        nonlocal evaluated
        latest = now().timestamp()
        if 0 <= latest - evaluated < _EVALUATION_SECONDS:
            return
        evaluated, ticking.is_tick = latest, True
        for rule, fired in list(eventbridge._rule_last_fired.items()):
            eventbridge._rule_last_fired[rule] = min(fired, latest)
        try:
            ministack_tick()
        finally:
            ticking.is_tick = False

    if not callable(getattr(eventbridge, "start_scheduler", None)):
        raise MinistackChangedError("ministack's EventBridge has no start_scheduler: install the pinned version")
    eventbridge._now_ts, eventbridge.start_scheduler = now_of_caller, lambda: None
    return tick
