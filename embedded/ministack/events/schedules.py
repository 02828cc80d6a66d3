"""EventBridge Scheduler: ministack's stored schedules, and hooks for our own scheduler."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from embedded.ministack.errors import MinistackChangedError

_logger = logging.getLogger("embedded.events")

Record = dict[str, Any]
Refusal = tuple[str, str]
"""Error code and message."""


def all_schedules() -> list[Record]:
    """Return ministack's record of every schedule, as CreateSchedule received it."""
    return list(_scheduler()._schedules._data.values())


def remove_schedule(record: Record) -> None:
    """Delete a schedule whose ActionAfterCompletion is DELETE."""
    stored = _scheduler()._schedules._data
    for key, value in list(stored.items()):
        if value is record:
            del stored[key]


def install_scheduler(sweeps: Sequence[Callable[[], None]], seconds: float) -> None:
    """Call all of `sweeps` every `seconds` to fire schedules and rules, instead of ministack's own loop.

    ministack evaluates cron expressions in UTC only, and supports no flexible time windows, context
    attributes or dead-letter queues.
    """
    scheduler = _scheduler()
    if not callable(getattr(scheduler, "_tick_schedules", None)) or not scheduler._SCHEDULE_TICK_INTERVAL:
        raise MinistackChangedError("ministack's scheduler has no _tick_schedules: install the pinned version")

    def tick() -> None:
        for sweep in sweeps:
            try:
                sweep()
            except Exception:
                _logger.exception("schedules or rules could not be evaluated")

    scheduler._tick_schedules = tick
    scheduler._SCHEDULE_TICK_INTERVAL = seconds


def install_schedule_check(check: Callable[[Record], Refusal | None]) -> None:
    """Let `check(request)` refuse schedules, in the API and in stacks.

    Stacks then also keep a schedule's time zone and dates, which ministack drops.
    """
    from ministack.services.cloudformation import provisioners

    scheduler = _scheduler()
    ministack_create, ministack_update = scheduler._create_schedule, scheduler._update_schedule

    def create(name: str, request: Record) -> Any:
        refusal = check(request)
        return scheduler._error(400, *refusal) if refusal else ministack_create(name, request)

    def update(name: str, request: Record) -> Any:
        refusal = check(request)
        return scheduler._error(400, *refusal) if refusal else ministack_update(name, request)

    def provision(logical_id: str, properties: Record, stack_name: str) -> Any:
        name = properties.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=64)
        return name, {"Arn": _arn_or_error(create(name, _numbers(properties)))}

    def provision_update(physical_id: str, old: Record, new: Record, stack_name: str) -> Any:
        same_place = new.get("Name", physical_id) == physical_id and new.get("GroupName") == old.get("GroupName")
        if not same_place:
            return provision(physical_id, new, stack_name)
        return physical_id, {"Arn": _arn_or_error(update(physical_id, _numbers(new)))}

    scheduler._create_schedule, scheduler._update_schedule = create, update
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"]
    handlers["create"], handlers["update"] = provision, provision_update


def _arn_or_error(response: Any) -> str:
    status, _headers, body = response
    answer = json.loads(body)
    if status != 200:
        raise ValueError(f"{answer['__type']}: {answer['Message']}")
    return str(answer["ScheduleArn"])


def _numbers(value: Any) -> Any:
    """Convert a template's properties to the API's types: a template may write a number as text."""
    if not isinstance(value, dict):
        return value
    named = ("MaximumWindowInMinutes", "MaximumEventAgeInSeconds", "MaximumRetryAttempts")
    return {key: int(item) if key in named else _numbers(item) for key, item in value.items()}


def _scheduler() -> Any:
    from ministack.services import scheduler

    return scheduler
