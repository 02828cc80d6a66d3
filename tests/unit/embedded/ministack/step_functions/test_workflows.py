import asyncio
import json
import threading
from typing import Any

import pytest
from ministack.core.responses import get_account_id, set_request_account_id
from ministack.services import cloudwatch_logs, eventbridge, s3
from ministack.services.cloudformation import provisioners

from embedded.ministack.monitoring.logs import append_log
from embedded.ministack.s3.objects import encryption_key
from embedded.ministack.step_functions import workflows
from tests.unit.embedded.ministack.conftest import Call

DEFINITION = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
ROLE = "arn:aws:iam::000000000000:role/r"


def machine(engine: Any, call: Call, name: str = "m") -> str:
    return str(call(engine, "CreateStateMachine", name=name, definition=DEFINITION, roleArn=ROLE)["stateMachineArn"])


def test_every_execution_runs_in_our_interpreter(engine: Any, call: Call) -> None:
    handed = threading.Event()
    stopped: list[str] = []
    seen: list[dict[str, Any] | None] = []

    def run(execution_arn: str) -> None:
        seen.append(workflows.execution_record(execution_arn))
        handed.set()

    workflows.install_interpreter(run, stopped.append)
    started = call(engine, "StartExecution", stateMachineArn=machine(engine, call), input='{"a": 1}')

    assert handed.wait(10)
    record = seen[0]
    assert record is not None
    assert (record["executionArn"], record["status"], record["input"]) == (
        started["executionArn"], "RUNNING", '{"a": 1}',
    )  # fmt: skip
    call(engine, "StopExecution", executionArn=started["executionArn"])
    assert (record["status"], stopped) == ("ABORTED", [started["executionArn"]])
    assert record["events"][-1]["type"] == "ExecutionAborted"


def test_start_check_can_refuse_or_answer(engine: Any, call: Call) -> None:
    workflows.install_interpreter(lambda _arn: None, lambda _arn: None)
    arn = machine(engine, call)
    first = call(engine, "StartExecution", stateMachineArn=arn, name="one")
    record = workflows.execution_record(first["executionArn"])

    def check(request: dict[str, Any]) -> Any:
        return record if request.get("name") == "one" else ("ValidationException", "no")

    workflows.install_start_check(check)
    assert call(engine, "StartExecution", stateMachineArn=arn, name="one")["executionArn"] == first["executionArn"]
    assert "ValidationException" in str(call(engine, "StartExecution", stateMachineArn=arn, name="two"))
    assert workflows.start_execution({"stateMachineArn": arn, "name": "two"})["__type"] == "ValidationException"


def test_history_events_get_ids_and_predecessors(engine: Any) -> None:
    record: dict[str, Any] = {"executionArn": "e", "events": []}
    assert workflows.add_event(record, "ExecutionStarted", {}, 0) == 1
    assert workflows.add_event(record, "PassStateEntered", {"stateEnteredEventDetails": {"name": "A"}}, 1) == 2
    assert record["events"][1]["previousEventId"] == 1
    assert record["events"][1]["stateEnteredEventDetails"] == {"name": "A"}


def test_api_shows_stored_executions_and_map_runs(engine: Any, call: Call) -> None:
    workflows.install_interpreter(lambda _arn: None, lambda _arn: None)
    parent = call(engine, "StartExecution", stateMachineArn=machine(engine, call))["executionArn"]
    now = workflows.timestamp()
    map_run = {
        "mapRunArn": "run",
        "executionArn": parent,
        "_stateMachineArn": "m/l",
        "startDate": now,
        "status": "RUNNING",
    }
    workflows.store_map_run(map_run)
    child: dict[str, Any] = {
        "executionArn": "child", "stateMachineArn": "m/l", "name": "c", "status": "RUNNING", "startDate": now,
        "stopDate": None, "input": "{}", "output": None, "mapRunArn": "run", "events": [],
    }  # fmt: skip
    workflows.store_execution(child)

    assert [run["mapRunArn"] for run in call(engine, "ListMapRuns", executionArn=parent)["mapRuns"]] == ["run"]
    listed = call(engine, "ListExecutions", mapRunArn="run")["executions"]
    assert [execution["executionArn"] for execution in listed] == ["child"]
    call(engine, "UpdateMapRun", mapRunArn="run", maxConcurrency=7)
    assert map_run["maxConcurrency"] == 7
    described = call(engine, "DescribeMapRun", mapRunArn="run")
    assert "_stateMachineArn" not in described


def test_status_changes_reach_the_event_bus(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(eventbridge, "_put_events", lambda request, **_options: sent.append(request))
    workflows.announce_status(
        {
            "executionArn": "e",
            "stateMachineArn": "m",
            "name": "n",
            "status": "TIMED_OUT",
            "startDate": workflows.timestamp(),
        }
    )
    (entry,) = sent[0]["Entries"]
    assert json.loads(entry["Detail"])["status"] == "TIMED_OUT"


def test_definitions_are_checked_in_api_and_stacks(engine: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    monkeypatch.setitem(handlers, "create", handlers["create"])
    monkeypatch.setattr(provisioners, "_sfn_state_machine_create", provisioners._sfn_state_machine_create)
    arn = machine(engine, call)
    checked: list[tuple[str, str, Any, str]] = []

    def check(definition: str, role_arn: str, logging: dict[str, Any], kind: str) -> list[str]:
        checked.append((definition, role_arn, logging, kind))
        return ["AccessDeniedException: no"] if "bad" in definition else []

    workflows.install_definition_check(check)
    refused = call(engine, "CreateStateMachine", name="b", definition="bad", roleArn=ROLE)
    assert (refused["__type"], refused["message"]) == ("AccessDeniedException", "no")
    assert (
        call(engine, "UpdateStateMachine", stateMachineArn=arn, definition="bad")["__type"] == "AccessDeniedException"
    )
    with pytest.raises(ValueError, match="no"):
        handlers["create"]("Logical", {"DefinitionString": "bad", "RoleArn": ROLE}, "stack")
    logging = {"Level": "ALL", "IncludeExecutionData": "true"}
    made, _attributes = handlers["create"](
        "Logical", {"DefinitionString": DEFINITION, "RoleArn": ROLE, "LoggingConfiguration": logging}, "stack"
    )
    assert checked[-1] == (DEFINITION, ROLE, {"level": "ALL", "includeExecutionData": True}, "STANDARD")
    record = workflows.state_machine_record(made)
    assert record is not None
    assert record["loggingConfiguration"]["level"] == "ALL"


def test_another_thread_keeps_the_requests_account() -> None:
    seen: list[str] = []
    before = get_account_id()
    set_request_account_id("222222222222")
    scoped = workflows.in_this_scope(lambda: seen.append(get_account_id()))
    set_request_account_id(before)
    thread = threading.Thread(target=scoped)
    thread.start()
    thread.join()
    assert seen == ["222222222222"]


def test_logs_are_appended_by_log_group_arn(call: Call) -> None:
    call(cloudwatch_logs, "CreateLogGroup", logGroupName="/group")
    arn = "arn:aws:logs:us-east-1:000000000000:log-group:/group:*"
    assert append_log(arn, "stream", ["one"])
    assert append_log(arn, "stream", ["two"])
    assert not append_log("arn:aws:logs:us-east-1:000000000000:log-group:/missing", "stream", ["x"])
    events = call(cloudwatch_logs, "GetLogEvents", logGroupName="/group", logStreamName="stream")["events"]
    assert [event["message"] for event in events] == ["one", "two"]
    cloudwatch_logs.reset()


def test_encryption_key_of_an_object_is_returned() -> None:
    def put(path: str, headers: dict[str, str]) -> None:
        assert asyncio.run(s3.handle_request("PUT", path, headers, b"body", {}))[0] == 200

    put("/keys", {})
    key = "arn:aws:kms:us-east-1:000000000000:key/k"
    put("/keys/a", {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": key})
    put("/keys/b", {})
    assert (encryption_key("keys", "a"), encryption_key("keys", "b"), encryption_key("keys", "c")) == (key, "", "")
    s3.reset()


@pytest.mark.parametrize(("encryption", "data"), [({"type": "AWS_OWNED_KEY"}, '{"a": 1}'), (None, None)])
def test_events_about_encrypted_executions_have_no_data(
    engine: Any, call: Call, monkeypatch: pytest.MonkeyPatch, encryption: dict[str, str] | None, data: str | None
) -> None:
    key = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "arn:aws:kms:us-east-1:000000000000:key/1"}
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(eventbridge, "_put_events", lambda request, **_: sent.extend(request["Entries"]))
    workflows.install_interpreter(lambda _arn: None, lambda _arn: None)
    created = call(
        engine,
        "CreateStateMachine",
        name="e",
        definition=DEFINITION,
        roleArn=ROLE,
        encryptionConfiguration=encryption or key,
    )
    started = call(engine, "StartExecution", stateMachineArn=created["stateMachineArn"], input='{"a": 1}')
    call(engine, "StopExecution", executionArn=started["executionArn"], cause="enough")
    details = [json.loads(entry["Detail"]) for entry in sent]
    assert [detail["status"] for detail in details] == ["RUNNING", "ABORTED"]
    assert [detail["input"] for detail in details] == [data, data]
    assert call(engine, "DescribeExecution", executionArn=started["executionArn"])["input"] == '{"a": 1}'
