"""Task states that call functions: results, errors, retries, timeouts and size limits."""

import io
import json
import time
import zipfile
from typing import Any

import pytest

from tests.unit.embedded.step_functions.machines import Workflows, one_state


def test_a_function_runs_with_the_credentials_of_its_role(workflows: Workflows) -> None:
    result = workflows.run(one_state(workflows.invoke()), {"a": 1})

    output = json.loads(result["output"])
    assert output["echo"] == {"a": 1}
    assert ":assumed-role/role-" in output["role"]


def test_a_functions_exception_is_the_error_of_its_state(workflows: Workflows) -> None:
    result = workflows.run(one_state(workflows.invoke()), {"raise": "all sold"})

    assert (result["status"], result["error"]) == ("FAILED", "NoSeatsLeft")
    cause = json.loads(result["cause"])
    assert (cause["errorType"], cause["errorMessage"]) == ("NoSeatsLeft", "all sold")


def test_catch_continues_at_another_state(workflows: Workflows) -> None:
    task = workflows.invoke(Catch=[{"ErrorEquals": ["NoSeatsLeft"], "Next": "Sorry", "ResultPath": "$.failure"}])
    states = {"Only": task, "Sorry": {"Type": "Pass", "End": True}}
    result = workflows.run({"StartAt": "Only", "States": states}, {"raise": "all sold"})

    output = json.loads(result["output"])
    assert (output["raise"], output["failure"]["Error"]) == ("all sold", "NoSeatsLeft")


def test_retry_repeats_a_call_until_it_succeeds(workflows: Workflows) -> None:
    retry = {
        "ErrorEquals": ["NoSeatsLeft"], "IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 3,
        "MaxDelaySeconds": 3, "JitterStrategy": "FULL",
    }  # fmt: skip
    key = f"retry-{time.time_ns()}"
    result = workflows.run(one_state(workflows.invoke(Retry=[retry])), {"count": key, "fail_first": 3})

    assert (result["status"], result.get("output")) == ("SUCCEEDED", "4")


def test_retry_ends_after_max_attempts(workflows: Workflows) -> None:
    key = f"retry-{time.time_ns()}"
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}
    arn = workflows.start(one_state(workflows.invoke(Retry=[retry])), {"count": key, "fail_first": 9})

    assert workflows.ended(arn)["error"] == "NoSeatsLeft"
    assert workflows.event_types(arn).count("TaskFailed") == 2


def test_a_task_times_out(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    arn = workflows.start(one_state(workflows.invoke(TimeoutSecondsPath="$.limit")), {"wait_for": key, "limit": 1})
    try:
        result = workflows.ended(arn)
        assert (result["status"], result["error"]) == ("FAILED", "States.Timeout")
        # Recorded on AWS: a time-out has no cause, and a Catch gets an empty one.
        assert "cause" not in result
        *_, scheduled, _started, timed_out, failed = workflows.history(arn)
        assert scheduled["taskScheduledEventDetails"]["timeoutInSeconds"] == 1
        shown = {"resourceType": "lambda", "resource": "invoke", "error": "States.Timeout"}
        assert timed_out["taskTimedOutEventDetails"] == shown
        assert failed["executionFailedEventDetails"] == {"error": "States.Timeout"}
    finally:
        workflows.release(key)


def test_states_task_failed_does_not_catch_a_timeout(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    task = workflows.invoke(
        TimeoutSeconds=1,
        Catch=[
            {"ErrorEquals": ["States.TaskFailed"], "Next": "Wrong"},
            {"ErrorEquals": ["States.ALL"], "Next": "Right"},
        ],
    )
    states = {"Only": task, "Wrong": {"Type": "Fail"}, "Right": {"Type": "Succeed"}}
    try:
        result = workflows.run({"StartAt": "Only", "States": states}, {"wait_for": key})
        assert json.loads(result["output"]) == {"Error": "States.Timeout", "Cause": ""}
    finally:
        workflows.release(key)


def test_the_timeout_of_a_state_machine_ends_the_execution(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    arn = workflows.start(one_state(workflows.invoke(), TimeoutSeconds=1), {"wait_for": key})
    try:
        result = workflows.ended(arn)
        # Recorded on AWS: the event has neither error nor cause.
        assert (result["status"], result.get("error"), result.get("cause")) == ("TIMED_OUT", None, None)
        assert workflows.history(arn)[-1]["type"] == "ExecutionTimedOut"
    finally:
        workflows.release(key)


@pytest.mark.parametrize(
    ("fields", "name", "kind"),
    [({}, "lambda", "Task"), ({"Resource": None, "Parameters": {"big": 262_144}}, None, "LambdaFunction")],
)
def test_states_all_catches_a_result_over_256_kib(
    workflows: Workflows, fields: dict[str, Any], name: str | None, kind: str
) -> None:
    """Recorded on AWS, against the documentation, for `lambda:invoke` and for a function's ARN."""
    if "Resource" in fields:
        fields = {**fields, "Resource": workflows.function_arn, "OutputPath": "$"}
    task = workflows.invoke(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}], **fields)
    states = {"Only": task, "Caught": {"Type": "Succeed"}}
    arn = workflows.start({"StartAt": "Only", "States": states}, {"big": 262_144})
    result = workflows.ended(arn)
    who = name or workflows.function_arn
    cause = f"The state/task '{who}' returned a result with a size exceeding the maximum number of bytes service limit."
    assert json.loads(result["output"]) == {"Error": "States.DataLimitExceeded", "Cause": cause}
    assert f"{kind}Failed" in workflows.event_types(arn)


def test_states_task_failed_does_not_catch_a_result_over_256_kib(workflows: Workflows) -> None:
    task = workflows.invoke(Catch=[{"ErrorEquals": ["States.TaskFailed"], "Next": "Caught"}])
    states = {"Only": task, "Caught": {"Type": "Succeed"}}
    result = workflows.run({"StartAt": "Only", "States": states}, {"big": 262_144})
    assert (result["status"], result["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_a_task_with_a_functions_arn_has_events_of_its_own(workflows: Workflows) -> None:
    """Recorded on AWS: such a task has LambdaFunction events, and its result is the function's."""
    arn = workflows.start(one_state({"Type": "Task", "Resource": workflows.function_arn, "End": True}), {"a": 1})
    assert json.loads(workflows.ended(arn)["output"])["echo"] == {"a": 1}
    events = workflows.history(arn)
    assert [event["type"] for event in events] == [
        "ExecutionStarted", "TaskStateEntered", "LambdaFunctionScheduled", "LambdaFunctionStarted",
        "LambdaFunctionSucceeded", "TaskStateExited", "ExecutionSucceeded",
    ]  # fmt: skip
    scheduled = events[2]["lambdaFunctionScheduledEventDetails"]
    assert scheduled == {
        "resource": workflows.function_arn, "input": '{"a":1}', "inputDetails": {"truncated": False},
    }  # fmt: skip
    assert events[4]["lambdaFunctionSucceededEventDetails"]["outputDetails"] == {"truncated": False}


def test_a_result_just_under_256_kib_passes(workflows: Workflows) -> None:
    task = workflows.invoke(ResultSelector={"n.$": "$.StatusCode"}, OutputPath="$")
    assert workflows.run(one_state(task), {"big": 261_000})["status"] == "SUCCEEDED"


def test_an_execution_with_input_over_256_kib_is_refused(workflows: Workflows) -> None:
    machine = workflows.create(one_state({"Type": "Succeed"}))
    client = workflows.aws.endpoint.client("stepfunctions")
    client._serializer = client._serializer._serializer  # Without the tests' own check of requests.
    with pytest.raises(client.exceptions.ClientError, match="less than or equal to 262144"):
        client.start_execution(stateMachineArn=machine, input=json.dumps("x" * 262_144))


def test_the_same_name_and_input_start_one_execution(workflows: Workflows) -> None:
    key = f"once-{time.time_ns()}"
    machine = workflows.create(one_state(workflows.invoke()))
    request: dict[str, Any] = {"stateMachineArn": machine, "name": "one", "input": json.dumps({"wait_for": key})}
    first = workflows.client.start_execution(**request)
    assert workflows.client.start_execution(**request)["executionArn"] == first["executionArn"]
    with pytest.raises(workflows.client.exceptions.ExecutionAlreadyExists):
        workflows.client.start_execution(**{**request, "input": "{}"})
    workflows.release(key)
    assert workflows.ended(first["executionArn"])["status"] == "SUCCEEDED"


def test_stopping_an_execution_ends_its_running_task(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    arn = workflows.start(one_state(workflows.invoke()), {"wait_for": key})
    try:
        workflows.wait(lambda: workflows.event_types(arn), lambda seen: "TaskStarted" in seen)
        workflows.client.stop_execution(executionArn=arn, error="Enough", cause="The operator said so")
        result = workflows.ended(arn)
        assert (result["status"], result["error"]) == ("ABORTED", "Enough")
        workflows.wait(lambda: workflows.event_types(arn), lambda seen: "TaskStateAborted" in seen)
    finally:
        workflows.release(key)


def test_stopping_an_execution_ends_its_wait_state(workflows: Workflows) -> None:
    # 10,000 seconds are 100 with the time scale of this embedded AWS: longer than the test waits.
    arn = workflows.start(one_state({"Type": "Wait", "Seconds": 10_000, "End": True}))
    workflows.wait(lambda: workflows.event_types(arn), lambda seen: "WaitStateEntered" in seen)
    workflows.client.stop_execution(executionArn=arn)
    assert workflows.ended(arn)["status"] == "ABORTED"
    # Recorded on AWS: no event of the Wait state, and an abort that no other event caused.
    assert workflows.event_types(arn) == ["ExecutionStarted", "WaitStateEntered", "ExecutionAborted"]
    assert workflows.history(arn)[-1]["previousEventId"] == 0


def test_a_path_without_a_match_fails_the_execution(workflows: Workflows) -> None:
    state = {"Type": "Pass", "Parameters": {"a.$": "$.missing"}, "End": True}
    result = workflows.run(one_state(state), {"present": 1})

    assert (result["status"], result["error"]) == ("FAILED", "States.Runtime")
    assert "$.missing" in result["cause"]


def test_a_failed_branch_stops_the_other_branches(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    waits = workflows.invoke(Parameters={"FunctionName": workflows.function_arn, "Payload": {"wait_for": key}})
    state = {
        "Type": "Parallel",
        "End": True,
        "Branches": [one_state(waits, "Waits"), one_state({"Type": "Fail", "Error": "No"}, "Fails")],
    }
    try:
        result = workflows.run(one_state(state))
        assert (result["status"], result["error"]) == ("FAILED", "No")
    finally:
        workflows.release(key)


def test_a_nested_execution_is_stopped_with_its_parent(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    nested = workflows.create(one_state(workflows.invoke()))
    state = {
        "Type": "Task", "End": True, "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": nested, "Input": {"wait_for": key}},
    }  # fmt: skip
    arn = workflows.start(one_state(state))
    try:
        running = workflows.wait(
            lambda: workflows.client.list_executions(stateMachineArn=nested)["executions"], lambda seen: len(seen) == 1
        )
        workflows.client.stop_execution(executionArn=arn)
        assert workflows.ended(running[0]["executionArn"])["status"] == "ABORTED"
    finally:
        workflows.release(key)


def test_a_nested_execution_returns_its_output(workflows: Workflows) -> None:
    nested = workflows.create(one_state({"Type": "Pass", "Result": {"n": 7}, "End": True}))
    state = {
        "Type": "Task", "End": True, "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": nested}, "OutputPath": "$.Output",
    }  # fmt: skip
    assert json.loads(workflows.run(one_state(state))["output"]) == {"n": 7}


def test_jsonata_states_run(workflows: Workflows) -> None:
    states = {
        "Call": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Choose",
            "Arguments": {"FunctionName": workflows.function_arn, "Payload": {"n": "{% $states.input.n + 1 %}"}},
            "Assign": {"n": "{% $states.result.Payload.echo.n %}"},
        },
        "Choose": {"Type": "Choice", "Choices": [{"Condition": "{% $n = 3 %}", "Next": "Done"}]},
        "Done": {"Type": "Pass", "Output": {"n": "{% $n %}"}, "End": True},
    }  # fmt: skip
    result = workflows.run({"StartAt": "Call", "QueryLanguage": "JSONata", "States": states}, {"n": 2})
    assert json.loads(result["output"]) == {"n": 3}


def test_a_functions_own_timeout_fails_its_state(workflows: Workflows) -> None:
    functions = workflows.aws.endpoint.client("lambda")
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("slow.py", "import threading\ndef handler(event, context):\n    threading.Event().wait(60)\n")
    arn = functions.create_function(
        FunctionName="slow", Runtime="python3.13", Handler="slow.handler", Timeout=1,
        Role=workflows.role(service="lambda.amazonaws.com"), Code={"ZipFile": package.getvalue()},
    )["FunctionArn"]  # fmt: skip
    task = workflows.invoke(Parameters={"FunctionName": arn, "Payload": {}})
    result = workflows.run(one_state(task))
    assert result["error"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in result["cause"]


def test_a_missing_function_fails_its_state(workflows: Workflows) -> None:
    arn = workflows.function_arn.rpartition(":")[0] + ":missing"
    task = workflows.invoke(Parameters={"FunctionName": arn, "Payload": {}})
    result = workflows.run(one_state(task))
    assert result["error"] == "Lambda.ResourceNotFoundException"
    assert "missing" in result["cause"]
