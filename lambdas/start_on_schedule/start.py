"""Start the execution of a schedule's time, however often that time is delivered."""

import json
from dataclasses import dataclass

from contract.triggers.schedules import ScheduledStart, execution_name
from lambdas.stage.execution_starter import ExecutionStarter


@dataclass(frozen=True)
class StartResult:
    """What came of a delivery."""

    execution_id: str
    name_was_used: bool
    """An earlier delivery's execution has ended. While it runs, Step Functions answers as if this were the first."""


def start_on_schedule(start: ScheduledStart, starter: ExecutionStarter) -> StartResult:
    """Start the execution that belongs to this schedule and time.

    Its name is the claim: Step Functions gives a name to one execution only, so a doubled delivery, even one that
    comes when the execution has ended, starts nothing.

    Raises:
        InvalidInputError: when the schedule's name or time cannot name an execution.
    """
    name = execution_name(start)
    return StartResult(name, not starter.start(name, json.dumps(start.request, ensure_ascii=False)))
