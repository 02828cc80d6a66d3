"""Checks of requests by the plan of a deployed stage, without starting anything."""

from typing import Any

from cli.failures import CommandError, ExitStatus
from cli.stage.connection import Connection
from cli.stage.deployment import stack_outputs
from contract import codec
from contract.json_text import JsonError, dump_json, parse_json
from contract.status import ExecutionKind
from contract.workflow.request_check import CheckInput, RequestCheck, from_answer

_READ_TIMEOUT_SECONDS = 930.0
"""Longest wait for the function, in seconds; longer than its timeout."""


class RequestChecks:
    """The function of a stage that checks requests. May be called by several threads."""

    def __init__(self, connection: Connection, stage: str) -> None:
        """Find the function.

        Raises:
            CommandError: when the stage has none.
        """
        outputs = stack_outputs(connection.client("cloudformation"), stage, "workflow", ("CheckFunctionArn",))
        self._function = outputs["CheckFunctionArn"]
        self._lambda = connection.client("lambda", read_timeout=_READ_TIMEOUT_SECONDS)

    def check(self, kind: ExecutionKind, request: Any, *, all_jobs: bool = False) -> RequestCheck:
        """Return the jobs that an execution with this request would run, or its problems.

        Nothing is written. Without `all_jobs`, only the first jobs are listed.

        Raises:
            CommandError: when the function failed.
            InvalidInputError: when the function is of another release.
        """
        event = codec.to_json(CheckInput(kind, request, all_jobs))
        answer = self._lambda.invoke(FunctionName=self._function, Payload=dump_json(event).encode())
        body = answer["Payload"].read()
        if "FunctionError" in answer:
            raise CommandError(f"The function that checks requests failed: {_error_text(body)}", ExitStatus.AWS)
        return from_answer(body)


def check_on_stage(
    connection: Connection, stage: str, kind: ExecutionKind, request_json: str, *, all_jobs: bool = False
) -> RequestCheck:
    """Return the result of one check: see `RequestChecks.check`."""
    request = parse_json(request_json, keep_surrogates=True)
    return RequestChecks(connection, stage).check(kind, request, all_jobs=all_jobs)


def _error_text(body: bytes) -> str:
    """Return type and message of the function's error."""
    try:
        error: Any = parse_json(body, keep_surrogates=True)
    except JsonError:
        error = None
    if not isinstance(error, dict):
        return "it gave no reason."
    named = [str(error[name]) for name in ("errorType", "errorMessage") if error.get(name)]
    return f"{': '.join(named).rstrip('.')}. Its log group has the details."
