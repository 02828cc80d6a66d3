"""Start executions. The only module of the functions that calls StartExecution."""

from typing import Any


class ExecutionStarter:
    """Starts executions of one state machine. Starts are idempotent, because a name is used only
    once."""

    def __init__(self, stepfunctions: Any, state_machine_arn: str) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, request_json: str) -> bool:
        """Start an execution; return False when its name was used by one that ended, or that runs
        with another input.

        While an execution with this name and input runs, Step Functions answers as if it had just
        been started.

        Raises:
            ClientError: when Step Functions refuses, for example with ThrottlingException or
                ExecutionLimitExceeded.
        """
        try:
            self._stepfunctions.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=request_json)
        except self._stepfunctions.exceptions.ExecutionAlreadyExists:
            return False
        return True
