"""Starting executions under names that are theirs alone. The only code of the functions that calls StartExecution."""

import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from contract import environment
from contract.problems import InvalidInputError, Problem


class ExecutionStarter:
    """Starts executions of one state machine."""

    def __init__(self, stepfunctions: Any, state_machine_arn: str) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, request_json: str) -> bool:
        """Start an execution under this name; False when one of that name has ended, or runs with another input.

        While an execution of this name and input runs, Step Functions answers as if it had been started just now.
        """
        try:
            self._stepfunctions.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=request_json)
        except self._stepfunctions.exceptions.ExecutionAlreadyExists:
            return False
        return True


@cache
def this_starter() -> ExecutionStarter:
    """The starter for the state machine that the environment names."""
    arn = os.environ.get(environment.STATE_MACHINE_ARN, "")
    if not arn:
        remedy = "The stack of the triggers sets it: deploy that stack again."
        raise InvalidInputError("environment", [Problem(environment.STATE_MACHINE_ARN, arn, "an ARN", remedy)])
    client = boto3.client("stepfunctions", config=Config(retries={"mode": "standard", "max_attempts": 8}))
    return ExecutionStarter(client, arn)
