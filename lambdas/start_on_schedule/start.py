"""Start the execution of a scheduled time."""

from dataclasses import dataclass

from contract.triggers.schedules import ScheduledStart, execution_name
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

    Raises:
        InvalidInputError: when the schedule's name or time cannot be part of an execution's name.
    """
    name = execution_name(start)
    started = starter.start(name, sent_request(start.request))
    return StartResult(name, name_was_used=not started)
