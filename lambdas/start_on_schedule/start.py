"""Start the execution of a scheduled time."""

import json
from dataclasses import dataclass

from contract.triggers.schedules import ScheduledStart, execution_name
from lambdas.stage.messaging.execution_starter import ExecutionStarter


@dataclass(frozen=True)
class StartResult:
    """The execution that belongs to a delivery."""

    execution_id: str
    name_was_used: bool
    """True: an earlier delivery started it, and it has ended. While it runs, Step Functions answers
    as if this delivery had started it."""


def start_on_schedule(start: ScheduledStart, starter: ExecutionStarter) -> StartResult:
    """Start the execution of this schedule and time. Idempotent.

    The execution's name is the claim: Step Functions uses a name only once, so a repeated delivery
    starts nothing, even after the execution has ended.

    Raises:
        InvalidInputError: when the schedule's name or time cannot be part of an execution's name.
    """
    name = execution_name(start)
    started = starter.start(name, json.dumps(start.request, ensure_ascii=False))
    return StartResult(name, name_was_used=not started)
