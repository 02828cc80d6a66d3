"""Start executions. The only module of the functions that calls StartExecution."""

from typing import Any


class ExecutionStarter:
    """Starts executions of one state machine. Idempotent, because a name can be used only once."""

    def __init__(self, stepfunctions: Any, state_machine_arn: str) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, request_json: str) -> bool:
        """Start an execution, and return whether it was started or runs with this name and input.

        The result is False when an execution with this name has ended or runs with another input.

        Raises:
            ClientError: when Step Functions refuses, for example with ThrottlingException or
                ExecutionLimitExceeded.
        """
        try:
            self._stepfunctions.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=request_json)
        except self._stepfunctions.exceptions.ExecutionAlreadyExists:
            return False
        return True
