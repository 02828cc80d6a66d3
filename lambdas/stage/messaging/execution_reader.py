"""Read executions. The only module of the functions that calls DescribeExecution."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class EndedExecution:
    """Input, error, cause and status of an execution, which may have ended.

    Each is empty when the execution has none, or does not exist any more.
    """

    request_json: str
    error: str
    cause: str
    redriven_at: datetime | None = None
    """Time of the last redrive; None without one."""
    status: str = ""
    """Status in Step Functions; empty when the execution does not exist any more."""

    @property
    def text(self) -> str:
        """Return error and cause as one text."""
        return ": ".join(text for text in (self.error, self.cause) if text)


class ExecutionReader:
    """Reads details that the events of Step Functions lack."""

    def __init__(self, stepfunctions: Any) -> None:
        self._stepfunctions = stepfunctions

    def read(self, execution_arn: str) -> EndedExecution:
        try:
            found = self._stepfunctions.describe_execution(executionArn=execution_arn)
        except self._stepfunctions.exceptions.ExecutionDoesNotExist:
            found = {}
        request_json, error, cause = (found.get(name) or "" for name in ("input", "error", "cause"))
        return EndedExecution(request_json, error, cause, found.get("redriveDate"), found.get("status", ""))

    def is_running(self, execution_arn: str) -> bool:
        """Return whether an execution runs or waits for its redrive; False if it does not exist any more."""
        try:
            found = self._stepfunctions.describe_execution(executionArn=execution_arn)
        except self._stepfunctions.exceptions.ExecutionDoesNotExist:
            return False
        return found["status"] in ("RUNNING", "PENDING_REDRIVE")
