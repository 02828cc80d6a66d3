"""Read executions. The only module of the functions that calls DescribeExecution."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EndedExecution:
    """Input, error and cause of an execution that has ended.

    Each is empty when the execution has none, or does not exist any more.
    """

    request_json: str
    error: str
    cause: str


class ExecutionReader:
    """Reads what Step Functions leaves out of its events when it encrypts executions with a key."""

    def __init__(self, stepfunctions: Any) -> None:
        self._stepfunctions = stepfunctions

    def read(self, execution_arn: str) -> EndedExecution:
        try:
            found = self._stepfunctions.describe_execution(executionArn=execution_arn)
        except self._stepfunctions.exceptions.ExecutionDoesNotExist:
            found = {}
        return EndedExecution(found.get("input") or "", found.get("error") or "", found.get("cause") or "")
