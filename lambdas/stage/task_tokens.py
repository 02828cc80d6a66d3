"""Answering whoever waits for an execution with a task token. The only code that calls SendTaskSuccess and -Failure."""

import json
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract.codec import to_json
from contract.status import ExecutionStatus
from contract.workflow.messages import ExecutionOutcome
from contract.workflow.scoring_request import TASK_TOKEN_FIELD
from lambdas.stage.observability import logger

ERRORS = {
    ExecutionStatus.PARTLY_FAILED: "Fleetscore.PartlyFailed",
    ExecutionStatus.FAILED: "Fleetscore.Failed",
}
"""The error that a waiting task gets, by how the execution ended."""


class TaskTokens:
    """Tells waiting tasks how an execution ended. Never raises: whoever waits must not fail what it waits for."""

    def __init__(self, stepfunctions: Any) -> None:
        self._stepfunctions = stepfunctions

    def answer(self, execution_id: str, request_json: str, outcome: ExecutionOutcome) -> bool:
        """Answer the request's task token, if it has one; says whether Step Functions took the answer.

        A second answer, and one that comes when nobody waits any more, is refused by Step Functions and only logged.
        """
        token = token_of(request_json)
        if not token:
            return False
        try:
            if outcome.status is ExecutionStatus.SUCCEEDED:
                output = json.dumps({"execution_id": execution_id, **to_json(outcome)}, ensure_ascii=False)
                self._stepfunctions.send_task_success(taskToken=token, output=output)
            else:
                self._stepfunctions.send_task_failure(
                    taskToken=token, error=ERRORS[outcome.status], cause=outcome.cause
                )
        except (ClientError, BotoCoreError) as error:
            logger.warning("nobody took the answer to the task token", error=str(error))
            return False
        return True


def token_of(request_json: str) -> str:
    """The task token of a request, which may be one that was refused; empty without one."""
    try:
        request = json.loads(request_json)
    except (ValueError, RecursionError):
        return ""
    token = request.get(TASK_TOKEN_FIELD) if isinstance(request, dict) else None
    return token if isinstance(token, str) else ""


@cache
def this_task_tokens() -> TaskTokens:
    return TaskTokens(boto3.client("stepfunctions", config=Config(retries={"mode": "standard", "max_attempts": 8})))
