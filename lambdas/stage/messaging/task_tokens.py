"""Report results to workflows that wait with a task token.

The only module that calls SendTaskSuccess and SendTaskFailure.
"""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from contract.codec import to_json
from contract.json_text import JsonError, parse_json
from contract.status import ExecutionStatus
from contract.workflow.messages import ExecutionOutcome
from contract.workflow.scoring_request import TASK_TOKEN_FIELD
from lambdas.stage.observability import logger

ERRORS = {
    ExecutionStatus.PARTLY_FAILED: "Fleetscore.PartlyFailed",
    ExecutionStatus.FAILED: "Fleetscore.Failed",
}
"""Error name that a waiting task receives, by the execution's final status."""
_FINAL_REFUSALS = ("InvalidOutput", "InvalidToken", "TaskDoesNotExist", "TaskTimedOut", "ValidationException")
"""Errors that a second report would get too. Others, such as throttling, pass."""


class TaskTokens:
    """Reports the end of an execution to a waiting task.

    It never raises, because a lost report must not fail the execution itself.
    """

    def __init__(self, stepfunctions: Any) -> None:
        self._stepfunctions = stepfunctions

    def report(self, execution_id: str, request_json: str, outcome: ExecutionOutcome) -> bool:
        """Report the outcome for the request's task token, if it has one.

        Return whether nothing is left to do; otherwise the task may still wait, and another call has to
        report. Step Functions refuses a second report, and a report for which no task waits any more.
        Both refusals are only logged.
        """
        token = token_of(request_json)
        if not token:
            return True
        try:
            if outcome.status is ExecutionStatus.SUCCEEDED:
                output = json.dumps({"execution_id": execution_id, **to_json(outcome)}, ensure_ascii=False)
                self._stepfunctions.send_task_success(taskToken=token, output=output)
            else:
                self._stepfunctions.send_task_failure(
                    taskToken=token, error=ERRORS[outcome.status], cause=outcome.cause
                )
        except (ClientError, BotoCoreError) as error:
            is_final = _is_final(error)
            logger.warning("the report for the task token was refused", error=str(error), is_final=is_final)
            return is_final
        return True


def _is_final(error: ClientError | BotoCoreError) -> bool:
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code") in _FINAL_REFUSALS
    # Such as a token that is too long. All others are about the connection.
    return isinstance(error, ParamValidationError)


def token_of(request_json: str) -> str:
    """Return the task token of a request, which may be an invalid one; empty when it has none."""
    try:
        request = parse_json(request_json, keep_surrogates=True)
    except JsonError:
        return ""
    token = request.get(TASK_TOKEN_FIELD) if isinstance(request, dict) else None
    return token if isinstance(token, str) else ""
