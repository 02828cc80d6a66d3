"""`states:startExecution`: start another execution and optionally wait for it."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from embedded.ministack.step_functions import workflows
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import dump
from embedded.step_functions.executions import redrive, running
from embedded.step_functions.executions.cancellation import Cancellation

_PREFIX = "arn:aws:states:::states:startExecution"
_DATES = ("StartDate", "StopDate", "RedriveDate")


def serves(resource: str) -> bool:
    """Return whether a Task's Resource starts an execution."""
    return resource in (_PREFIX, f"{_PREFIX}.sync", f"{_PREFIX}.sync:2")


def start(
    resource: str,
    parameters: dict[str, Any],
    parent_arn: str,
    token: Cancellation,
    submitted: Callable[[Any], object],
) -> dict[str, Any]:
    """Start the execution and return the result of the task.

    With `.sync`, call `submitted` with StartExecution's answer, wait for its end, and stop it if
    `token` is cancelled. `.sync:2` returns its output as JSON instead of as text.

    Raises:
        TaskError: The execution could not start, or did not succeed.
    """
    given = {} if parameters.get("Input") is None else parameters["Input"]
    request = {
        "stateMachineArn": parameters["StateMachineArn"],
        "input": given if isinstance(given, str) else dump(given),
    }
    if "Name" in parameters:
        request["name"] = parameters["Name"]
    answer = workflows.start_execution(request)
    if "executionArn" not in answer:
        error = f"StepFunctions.{answer.get('__type', 'AWSStepFunctions')}".removesuffix("Exception") + "Exception"
        raise TaskError(error, str(answer.get("message", "")))
    started = {"ExecutionArn": answer["executionArn"], "StartDate": _epoch_milliseconds(answer["startDate"])}
    if resource == _PREFIX:
        return started
    submitted(started)
    execution = running.find_started(answer["executionArn"])
    if execution is not None:
        arn = execution.arn
        remove_callback = token.on_cancel(
            lambda: running.stop(arn, cause=f"Stopped with its parent execution {parent_arn}")
        )
        execution.done.wait()
        remove_callback()
    record = workflows.execution_record(answer["executionArn"]) or {}
    described = _describe(record, as_json=resource.endswith(":2"))
    if record.get("status") != "SUCCEEDED":
        raise TaskError("States.TaskFailed", dump(described))
    return described


def _describe(record: workflows.Record, *, as_json: bool) -> dict[str, Any]:
    names = {
        "ExecutionArn": "executionArn",
        "StateMachineArn": "stateMachineArn",
        "Name": "name",
        "Status": "status",
        "StartDate": "startDate",
        "StopDate": "stopDate",
        "Input": "input",
        "Output": "output",
        "Error": "error",
        "Cause": "cause",
    }
    described: dict[str, Any] = {name: record[key] for name, key in names.items() if record.get(key)}
    described |= {"InputDetails": {"Included": True}}
    described |= {f"{key[0].upper()}{key[1:]}": value for key, value in redrive.described(record).items()}
    if "Output" in described:
        described |= {"OutputDetails": {"Included": True}}
    described.update({key: _epoch_milliseconds(described[key]) for key in _DATES if key in described})
    if as_json:
        described.update({key: json.loads(described[key]) for key in ("Input", "Output") if key in described})
    return described


def _epoch_milliseconds(moment: str) -> int:
    """Return a timestamp as Step Functions writes it into the results of its integrations."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
