"""Tasks that wait for their work, nested executions, and what is known to differ."""

import asyncio
import json
from typing import Any

import pytest
from ministack.services import sqs

from tests.unit.embedded.step_functions.recorded.engine import Engine, one_state

RESOURCE = "arn:aws:states:::states:startExecution"
DONE = one_state({"Type": "Pass", "Result": {"n": 7}})
BROKEN = one_state({"Type": "Fail", "Error": "No", "Cause": "because"})
TIMED_OUT = {"StartAt": "W", "States": {"W": {"Type": "Fail", "Error": "States.Timeout"}}}
SUBMITTED = [
    "ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded",
    "TaskStateExited", "ExecutionSucceeded",
]  # fmt: skip


def nesting(engine: Engine, inner: dict[str, Any], suffix: str, **parameters: Any) -> dict[str, Any]:
    parameters = {"StateMachineArn": engine.create(inner), "Input": None, **parameters}
    return one_state({"Type": "Task", "Resource": f"{RESOURCE}{suffix}", "Parameters": parameters})


def details(engine: Engine, arn: str, kind: str) -> dict[str, Any]:
    event = next(event for event in engine.history(arn) if event["type"] == kind)
    found: dict[str, Any] = event[f"{kind[0].lower()}{kind[1:]}EventDetails"]
    return found


@pytest.mark.parametrize("suffix", [".sync", ".sync:2"])
def test_a_sync_task_reports_the_answer_and_then_the_result(engine: Engine, suffix: str) -> None:
    arn = engine.run(nesting(engine, DONE, suffix, Name="Nested"), {})
    assert [event["type"] for event in engine.history(arn)] == SUBMITTED
    submitted = details(engine, arn, "TaskSubmitted")
    assert (submitted["resourceType"], submitted["resource"]) == ("states", f"startExecution{suffix}")
    assert submitted["outputDetails"] == {"truncated": False}
    nested = json.loads(submitted["output"])["ExecutionArn"]
    result = json.loads(engine.described(arn)["output"])
    is_json = suffix == ".sync:2"
    machine = result.pop("StateMachineArn")
    dates = [result.pop("StartDate"), result.pop("StopDate")]
    assert nested == f"{machine.replace(':stateMachine:', ':execution:')}:Nested"
    assert all(isinstance(date, int) for date in dates)
    # An Input of null becomes {}.
    assert result == {
        "ExecutionArn": nested, "Name": "Nested", "Status": "SUCCEEDED",
        "Input": {} if is_json else "{}", "InputDetails": {"Included": True},
        "Output": {"n": 7} if is_json else '{"n":7}', "OutputDetails": {"Included": True},
        "RedriveCount": 0, "RedriveStatus": "NOT_REDRIVABLE",
        "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
    }  # fmt: skip


def test_the_failure_of_a_nested_execution_is_described(engine: Engine) -> None:
    arn = engine.run(nesting(engine, BROKEN, ".sync:2"), {})
    failed = engine.described(arn)
    assert failed["error"] == "States.TaskFailed"
    cause = json.loads(failed["cause"])
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "No", "because")
    assert cause["InputDetails"] == {"Included": True}
    assert "OutputDetails" not in cause
    assert details(engine, arn, "TaskFailed")["cause"] == failed["cause"]


def test_a_nested_execution_without_a_cause_has_no_such_field(engine: Engine) -> None:
    cause = json.loads(engine.described(engine.run(nesting(engine, TIMED_OUT, ".sync"), {}))["cause"])
    assert (cause["Error"], "Cause" in cause) == ("States.Timeout", False)


def test_an_unknown_state_machine_fails_the_task(engine: Engine) -> None:
    machine = nesting(engine, DONE, "", StateMachineArn="arn:aws:states:us-east-1:000000000000:stateMachine:gone")
    arn = engine.run(machine, {})
    assert engine.described(arn)["error"] == "StepFunctions.StateMachineDoesNotExistException"


@pytest.mark.xfail(reason="results of integrations have no metadata of the HTTP answer", strict=True)
def test_results_have_the_metadata_of_the_http_answer(engine: Engine) -> None:
    output = json.loads(engine.described(engine.run(nesting(engine, DONE, ""), {}))["output"])
    assert {"SdkHttpMetadata", "SdkResponseMetadata"} <= output.keys()


@pytest.mark.xfail(reason="the cause lacks the service's suffix with status and error code", strict=True)
def test_the_cause_of_a_refused_call_names_the_service(engine: Engine) -> None:
    machine = nesting(engine, DONE, "", StateMachineArn="arn:aws:states:us-east-1:000000000000:stateMachine:gone")
    cause = engine.described(engine.run(machine, {}))["cause"]
    assert cause.startswith("State Machine Does Not Exist: 'arn:aws:states:us-east-1:000000000000:stateMachine:gone'")
    assert "(Service: AWSStepFunctions; Status Code: 400; Error Code: StateMachineDoesNotExist;" in cause


@pytest.mark.xfail(reason="JSONata reports no event of its own", strict=True)
def test_a_failed_jsonata_expression_has_an_event(engine: Engine) -> None:
    state = {"Type": "Pass", "Output": "{% $undefined_function() %}"}
    arn = engine.run(one_state(state, QueryLanguage="JSONata"), {})
    assert "EvaluationFailed" in [event["type"] for event in engine.history(arn)]


@pytest.mark.xfail(reason="events after an iteration follow the branch, not the iteration", strict=True)
def test_the_end_of_a_map_follows_its_last_iteration(engine: Engine) -> None:
    inner = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    history = engine.history(engine.run(one_state({"Type": "Map", "ItemProcessor": inner}), [1]))
    before = {event["type"]: event["previousEventId"] for event in history}
    assert (before["MapStateSucceeded"], before["MapStateExited"]) == (7, 7)


@pytest.mark.xfail(reason="ministack does not report the answer of the call", strict=True)
def test_a_task_with_a_token_reports_the_answer_first(engine: Engine) -> None:
    url = queue("CreateQueue", QueueName="tokens")["QueueUrl"]
    parameters = {"QueueUrl": url, "MessageBody": {"token.$": "$$.Task.Token"}}
    state = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "TimeoutSeconds": 20}
    arn = engine.start(one_state({**state, "Parameters": parameters}), {})
    while not (messages := queue("ReceiveMessage", QueueUrl=url).get("Messages")):
        pass
    token = json.loads(messages[0]["Body"])["token"]
    assert engine.call("SendTaskSuccess", taskToken=token, output='"done"') == {}
    engine.wait(arn)
    types = [event["type"] for event in engine.history(arn)]
    assert types[-1] == "ExecutionSucceeded"
    assert "TaskSubmitted" in types


def queue(operation: str, **fields: Any) -> dict[str, Any]:
    headers = {"x-amz-target": f"AmazonSQS.{operation}", "content-type": "application/x-amz-json-1.0"}
    request = sqs.handle_request("POST", "/", headers, json.dumps(fields).encode(), {})
    answer: dict[str, Any] = json.loads(asyncio.run(request)[2])
    return answer
