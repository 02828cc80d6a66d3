"""Start the execution of a scheduled time."""

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil import zoneinfo as bundled_zones

from contract.problems import InvalidInputError, Problem
from contract.triggers.schedules import (
    ScheduledStart,
    execution_name,
    fill_placeholders,
    has_placeholders,
    scheduled_time,
)
from contract.workflow.request_size import sent_request
from lambdas.stage.messaging.execution_starter import ExecutionStarter


@dataclass(frozen=True)
class StartResult:
    """The execution of a delivery."""

    execution_id: str
    name_was_used: bool
    """Whether an earlier delivery started the execution and it has ended.

    While it runs, Step Functions responds as if this delivery had started it.
    """


def start_on_schedule(start: ScheduledStart, starter: ExecutionStarter) -> StartResult:
    """Start the execution of this schedule and time. Idempotent.

    The execution's name prevents duplicates: Step Functions accepts a name only once, so a repeated
    delivery starts no execution, even after the first one has ended.

    Placeholders of the request's dataset are filled from the scheduled time in the schedule's zone.
    A repeated or late delivery has the same time, so it names the same dataset.

    Raises:
        InvalidInputError: when the schedule's name or time cannot be part of an execution's name, or its zone is
            unknown.
    """
    name = execution_name(start)
    started = starter.start(name, sent_request(_request(start)))
    return StartResult(name, name_was_used=not started)


def _request(start: ScheduledStart) -> Any:
    if not has_placeholders(start.request):
        return start.request
    return fill_placeholders(start.request, scheduled_time(start).astimezone(_zone(start.time_zone)))


def _zone(name: str) -> tzinfo:
    """Return a time zone, of the runtime's database or else of that of dateutil, which boto3 requires.

    AWS does not document that Lambda's Python has a time zone database.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found: tzinfo | None = bundled_zones.get_zonefile_instance().get(name)
        if found is None:
            remedy = "Choose one with `fleetscore schedules update`, or in the setting `schedules`."
            raise InvalidInputError(
                "ScheduledStart", [Problem("time_zone", name, "a known time zone", remedy)]
            ) from None
        return found
