"""Stops executions of both workflows."""

from dataclasses import dataclass

from cli.failures import CommandError
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions

MAX_CAUSE_CHARACTERS = 1_000
"""Longest cause, in characters. It is part of the reason of every job that is stopped."""


@dataclass(frozen=True)
class StopRequest:
    """The answer to the request that an execution ends."""

    before: Snapshot
    """The execution before it was stopped."""
    sent: bool
    """Whether Step Functions was asked; not for an execution that had ended."""


def request_stop(executions: Executions, execution: str, cause: str) -> StopRequest:
    """Have Step Functions stop an execution with its jobs, unless it has ended. Idempotent.

    Raises:
        CommandError: when the execution does not exist.
    """
    before = executions.snapshot(execution, count_committed=False)
    if before.workflow is None and not before.ended:
        raise CommandError(f"Execution {before.execution_id} cannot be stopped. {before.note}")
    if before.ended or before.workflow is None:
        return StopRequest(before, sent=False)
    executions.stop(before.workflow.arn, cause)
    return StopRequest(before, sent=True)
