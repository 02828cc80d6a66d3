"""RedriveExecution: unsuccessful executions continue from where they ended.

Tasks send messages to queues. A queue that does not exist yet is the outage.
"""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ministack.services import sqs

from embedded.ministack.step_functions import workflows
from embedded.step_functions.executions import redrive
from tests.unit.embedded.step_functions.recorded.engine import BUCKET, Engine, one_state

SEND = {
    "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True, "ResultPath": "$.sent",
    "Parameters": {"QueueUrl.$": "$.queue", "MessageBody": "hello"}, "OutputPath": "$.queue",
}  # fmt: skip
SENDING = {"StartAt": "Send", "States": {"Send": SEND}}
DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
PERIOD_IS_OVER = "Execution redrivable period exceeded"


def url(name: str) -> str:
    return f"http://localhost:4566/000000000000/{name}"


def repair(name: str) -> None:
    """Create a queue."""
    headers = {"x-amz-target": "AmazonSQS.CreateQueue", "content-type": "application/x-amz-json-1.0"}
    body = json.dumps({"QueueName": name}).encode()
    status, _headers, answer = asyncio.run(sqs.handle_request("POST", "/", headers, body, {}))
    assert status == 200, answer


def messages(name: str) -> int:
    """Return how many messages a queue holds."""
    headers = {"x-amz-target": "AmazonSQS.GetQueueAttributes", "content-type": "application/x-amz-json-1.0"}
    body = json.dumps({"QueueUrl": url(name), "AttributeNames": ["ApproximateNumberOfMessages"]}).encode()
    _status, _headers, answer = asyncio.run(sqs.handle_request("POST", "/", headers, body, {}))
    return int(json.loads(answer)["Attributes"]["ApproximateNumberOfMessages"])


def redriven(engine: Engine, arn: str) -> dict[str, Any]:
    """Redrive an execution, wait for its end, and return its description."""
    answer = engine.call("RedriveExecution", executionArn=arn)
    assert "redriveDate" in answer, answer
    engine.wait(arn)
    return engine.described(arn)


def refused(engine: Engine, arn: str) -> tuple[str, str]:
    answer = engine.call("RedriveExecution", executionArn=arn)
    return answer["__type"], answer["message"]


def types(engine: Engine, arn: str) -> list[str]:
    return [event["type"] for event in engine.history(arn)]


def test_a_failed_state_runs_again_with_the_same_input(engine: Engine) -> None:
    states = {
        "First": {"Type": "Pass", "Parameters": {"queue.$": "$.queue", "id.$": "$$.Execution.Id"}, "Next": "Send"},
        "Send": {**SEND, "OutputPath": "$", "Next": "Last"},
        "Last": {"Type": "Pass", "Parameters": {"count.$": "$$.Execution.RedriveCount", "id.$": "$.id"}, "End": True},
    }
    del states["Send"]["End"]
    arn = engine.run({"StartAt": "First", "States": states}, {"queue": url("single")})
    failed = engine.described(arn)
    assert (failed["status"], failed["redriveStatus"], failed["redriveCount"]) == ("FAILED", "REDRIVABLE", 0)
    before = types(engine, arn)

    repair("single")
    ended = redriven(engine, arn)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", {"count": 1, "id": arn})
    assert (ended["redriveCount"], ended["redriveStatus"]) == (1, "NOT_REDRIVABLE")
    assert ended["redriveStatusReason"] == "Execution is SUCCEEDED and cannot be redriven"
    assert ended["startDate"] == failed["startDate"]
    assert "error" not in ended
    # The history continues: the state is not entered again.
    assert types(engine, arn) == [
        *before, "ExecutionRedriven", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited",
        "PassStateEntered", "PassStateExited", "ExecutionSucceeded",
    ]  # fmt: skip
    redrive_event = engine.history(arn)[len(before)]
    assert redrive_event["executionRedrivenEventDetails"] == {"redriveCount": 1}
    [listed] = engine.call("ListExecutions", stateMachineArn=ended["stateMachineArn"])["executions"]
    assert (listed["redriveCount"], listed["redriveDate"]) == (1, ended["redriveDate"])


def test_an_execution_can_be_redriven_again(engine: Engine) -> None:
    arn = engine.run(SENDING, {"queue": url("again")})
    assert redriven(engine, arn)["status"] == "FAILED"
    repair("again")
    ended = redriven(engine, arn)
    assert (ended["status"], ended["redriveCount"]) == ("SUCCEEDED", 2)


def test_the_definition_of_the_first_run_is_used(engine: Engine) -> None:
    arn = engine.run(SENDING, {"queue": url("definition")})
    machine = engine.described(arn)["stateMachineArn"]
    changed = one_state({"Type": "Fail", "Error": "Changed"})
    engine.call("UpdateStateMachine", stateMachineArn=machine, definition=json.dumps(changed))
    repair("definition")
    assert redriven(engine, arn)["status"] == "SUCCEEDED"


def test_retries_are_counted_from_zero_again(engine: Engine) -> None:
    retried = {**SEND, "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]}
    arn = engine.run({"StartAt": "Send", "States": {"Send": retried}}, {"queue": url("retries")})
    redriven(engine, arn)
    assert types(engine, arn).count("TaskFailed") == 4


def test_only_iterations_that_did_not_succeed_run_again(engine: Engine) -> None:
    repair("map-good")
    data = [{"queue": url(f"map-{name}")} for name in ("good", "bad", "good")]
    arn = engine.run(one_state({"Type": "Map", "ItemProcessor": SENDING, "MaxConcurrency": 1}), data)
    assert (engine.described(arn)["status"], messages("map-good")) == ("FAILED", 1)
    repair("map-bad")
    ended = redriven(engine, arn)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", [item["queue"] for item in data])
    assert (messages("map-good"), messages("map-bad")) == (2, 1)


def test_only_branches_that_did_not_succeed_run_again(engine: Engine) -> None:
    good = {"StartAt": "Good", "States": {"Good": {"Type": "Pass", "Result": 1, "End": True}}}
    arn = engine.run(one_state({"Type": "Parallel", "Branches": [good, SENDING]}), {"queue": url("parallel")})
    assert engine.described(arn)["status"] == "FAILED"
    repair("parallel")
    ended = redriven(engine, arn)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", [1, url("parallel")])
    # The good branch may have been stopped before it began, but it has never run twice.
    assert types(engine, arn).count("PassStateExited") == 1


def test_a_map_run_redrives_its_unsuccessful_children_only(engine: Engine) -> None:
    repair("children-good")
    items = [{"queue": url(f"children-{name}")} for name in ("good", "bad", "good")]
    state = {"Type": "Map", "ItemProcessor": {**DISTRIBUTED, **SENDING}, "Label": "Fan", "MaxConcurrency": 1}
    arn = engine.run(one_state(state), items)
    assert engine.described(arn)["error"] == "States.ExceedToleratedFailureThreshold"
    [listed] = engine.call("ListMapRuns", executionArn=arn)["mapRuns"]
    children = engine.call("ListExecutions", mapRunArn=listed["mapRunArn"])["executions"]
    [failed] = [child for child in children if child["status"] == "FAILED"]
    described = engine.described(failed["executionArn"])
    assert described["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
    assert refused(engine, failed["executionArn"])[0] == "ExecutionNotRedrivable"

    repair("children-bad")
    ended = redriven(engine, arn)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", [item["queue"] for item in items])
    assert (messages("children-good"), messages("children-bad")) == (2, 1)
    assert types(engine, arn)[-6:] == [
        "ExecutionRedriven", "MapRunRedriven", "MapRunSucceeded", "MapStateSucceeded", "MapStateExited",
        "ExecutionSucceeded",
    ]  # fmt: skip
    [again] = engine.call("ListMapRuns", executionArn=arn)["mapRuns"]
    run = engine.call("DescribeMapRun", mapRunArn=again["mapRunArn"])
    assert (again["mapRunArn"], run["status"], run["redriveCount"]) == (listed["mapRunArn"], "SUCCEEDED", 1)
    counts = {"total": 3, "succeeded": 3, "failed": 0, "pending": 0, "pendingRedrive": 0, "running": 0}
    assert {key: run["itemCounts"][key] for key in counts} == counts
    child = engine.described(failed["executionArn"])
    assert (child["status"], child["redriveCount"]) == ("SUCCEEDED", 1)
    assert types(engine, failed["executionArn"])[4:8] == [
        "TaskFailed", "ExecutionFailed", "ExecutionRedriven", "TaskScheduled",
    ]  # fmt: skip
    event = next(each for each in engine.history(arn) if each["type"] == "MapRunRedriven")
    assert event["mapRunRedrivenEventDetails"] == {"mapRunArn": run["mapRunArn"], "redriveCount": 1}


def test_a_map_run_that_fails_again_keeps_its_successful_children(engine: Engine) -> None:
    repair("twice-a")
    items = [{"queue": url(f"twice-{name}")} for name in ("a", "b", "c")]
    state = {"Type": "Map", "ItemProcessor": {**DISTRIBUTED, **SENDING}, "MaxConcurrency": 1}
    arn = engine.run(one_state(state), items)
    repair("twice-b")
    assert redriven(engine, arn)["status"] == "FAILED"
    repair("twice-c")
    assert redriven(engine, arn)["status"] == "SUCCEEDED"
    assert [messages(f"twice-{name}") for name in ("a", "b", "c")] == [1, 1, 1]


def test_a_map_run_without_items_is_repeated(engine: Engine) -> None:
    reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": BUCKET, "Key": "late.json"}}
    passing = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    state = {"Type": "Map", "ItemProcessor": {**DISTRIBUTED, **passing}, "ItemReader": reader}
    arn = engine.run(one_state(state), {})
    assert engine.described(arn)["error"] == "States.ItemReaderFailed"
    engine.put_object("late.json", "[1, 2]")
    assert json.loads(redriven(engine, arn)["output"]) == [1, 2]
    assert len(engine.call("ListMapRuns", executionArn=arn)["mapRuns"]) == 2


def test_a_fail_state_fails_again(engine: Engine) -> None:
    arn = engine.run(one_state({"Type": "Fail", "Error": "No"}), {})
    ended = redriven(engine, arn)
    assert (ended["status"], ended["error"], ended["redriveCount"]) == ("FAILED", "No", 1)


def test_a_successful_execution_cannot_be_redriven(engine: Engine) -> None:
    arn = engine.run(one_state({"Type": "Pass"}), {})
    reason = "Execution is SUCCEEDED and cannot be redriven"
    assert refused(engine, arn) == ("ExecutionNotRedrivable", reason)


def test_an_unknown_execution_cannot_be_redriven(engine: Engine) -> None:
    arn = "arn:aws:states:us-east-1:000000000000:execution:m:unknown"
    assert refused(engine, arn)[0] == "ExecutionDoesNotExist"


def test_the_period_for_redrives_ends_after_14_days(engine: Engine) -> None:
    arn = engine.run(one_state({"Type": "Fail"}), {})
    record = workflows.execution_record(arn)
    assert record is not None
    record["stopDate"] = (datetime.now(UTC) - timedelta(days=14, minutes=1)).isoformat()
    described = engine.described(arn)
    assert (described["redriveStatus"], described["redriveStatusReason"]) == ("NOT_REDRIVABLE", PERIOD_IS_OVER)
    assert refused(engine, arn) == ("ExecutionNotRedrivable", PERIOD_IS_OVER)


def test_a_repeated_request_with_the_same_token_redrives_once(engine: Engine) -> None:
    arn = engine.run(one_state({"Type": "Fail"}), {})
    first = engine.call("RedriveExecution", executionArn=arn, clientToken="t")
    engine.wait(arn)
    assert engine.call("RedriveExecution", executionArn=arn, clientToken="t") == first
    assert engine.described(arn)["redriveCount"] == 1


def test_an_execution_of_an_earlier_process_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = engine.run(one_state({"Type": "Fail"}), {})
    monkeypatch.setattr(redrive, "_ended", {})
    assert "The embedded AWS was restarted" in refused(engine, arn)[1]
