"""Every change of status is announced, and a workflow that waits with a task token is answered."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli.main import main
from contract.table.events import DEADLINE_DETAIL_TYPE, EXECUTION_DETAIL_TYPE, JOB_DETAIL_TYPE
from embedded.cdk.deploy import stack_outputs
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

RULE = "everything"


class Listener:
    """A queue that receives all events of the stage's bus, as another team would set it up."""

    def __init__(self, stage: Stage) -> None:
        self.queues, self.events = stage.client("sqs"), stage.client("events")
        bus = stack_outputs("fleetscore-dev-workflow", stage.aws.endpoint)["EventBusName"]
        self.bus = bus
        self.url = self.queues.create_queue(QueueName="listener")["QueueUrl"]
        attributes = self.queues.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        pattern = json.dumps({"source": ["fleetscore"]})
        self.events.put_rule(Name=RULE, EventBusName=bus, EventPattern=pattern)
        targets = [{"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}]
        self.events.put_targets(Rule=RULE, EventBusName=bus, Targets=targets)
        self.heard: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)

    def listen(self, execution_id: str) -> dict[str, dict[str, Any]]:
        """Return the events of an execution so far, by event id and so without duplicates."""
        while messages := self.queues.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                event = json.loads(message["Body"])
                detail = event["detail"]
                self.heard[detail["execution_id"]][detail["event_id"]] = {**detail, "type": event["detail-type"]}
                self.queues.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return self.heard[execution_id]

    def close(self) -> None:
        self.events.remove_targets(Rule=RULE, EventBusName=self.bus, Ids=["queue"])
        self.events.delete_rule(Name=RULE, EventBusName=self.bus)
        self.queues.delete_queue(QueueUrl=self.url)


@pytest.fixture(scope="module")
def listener(stage: Stage) -> Iterator[Listener]:
    found = Listener(stage)
    yield found
    found.close()


@pytest.fixture(scope="module")
def catalog(stage: Stage) -> None:
    stage.put_dataset("heard", {"a.parquet": people(20, 1)})
    stage.register("heard", train_xgboost(1), dataset="heard", version="1")


def in_order(events: dict[str, dict[str, Any]], kind: str) -> list[str]:
    found = [event for event in events.values() if event["type"] == kind]
    return [event["status"] for event in sorted(found, key=lambda event: event["sequence"])]


def test_every_change_of_status_is_announced(stage: Stage, catalog: None, listener: Listener) -> None:
    snapshot = stage.run({"models": ["heard"], "execution_label": "told"}, "announced")
    assert snapshot.status == "SUCCEEDED"
    events = wait_for(lambda: (found := listener.listen("announced")) and len(found) >= 5 and found, "five events")
    assert in_order(events, EXECUTION_DETAIL_TYPE) == ["RUNNING", "SUCCEEDED"]
    assert in_order(events, JOB_DETAIL_TYPE) == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert all(event["schema_version"] == 2 and event["stage"] == "dev" for event in events.values())
    ended = next(event for event in events.values() if event["status"] == "SUCCEEDED" and "job_id" in event)
    assert (ended["rows_in"], ended["model_ids"], ended["model_versions"]) == (20, ["heard"], ["1"])


def test_a_deadline_that_will_be_missed_is_announced_once(
    stage: Stage, listener: Listener, shared_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.put_dataset("due", {"a.parquet": people(20, 1)})
    stage.register("due", Gate(shared_folder), dataset="due")
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    request = {"models": ["due"], "deadline": deadline.isoformat()}
    execution_id = stage.executions.start(json.dumps(request), "due")
    wait_for((shared_folder / "waiting").exists, "the model waits")

    def announced() -> list[dict[str, Any]]:
        return [event for event in listener.listen("due").values() if event["type"] == DEADLINE_DETAIL_TYPE]

    def announced_on_schedule() -> list[dict[str, Any]]:
        stage.aws.clock.set(stage.aws.clock.now() + timedelta(minutes=15))
        return [event for event in announced() if event["lateness"] == "CERTAIN"]

    [event] = wait_for(announced_on_schedule, "the schedule predicts the lateness")
    record = stage.executions.snapshot(execution_id).record
    assert record is not None
    assert (event["lateness"], event["deadline_at"]) == (record.lateness, record.deadline_at) != (None, "")

    def alarm_states() -> dict[str, str]:
        alarms = stage.client("cloudwatch").describe_alarms()["MetricAlarms"]
        return {alarm["MetricName"]: alarm["StateValue"] for alarm in alarms}

    wait_for(lambda: alarm_states()["DeadlinesMissed"] == "ALARM", "the alarm goes off")

    # The command has a clock of its own.
    wait_for(lambda: datetime.now(UTC) > deadline, "the deadline passes")
    assert main(["status", "due"]) == 0
    assert "it is missed" in capsys.readouterr().out
    (shared_folder / "open").touch()
    assert stage.watch("due").status == "SUCCEEDED"
    assert main(["status", "due"]) == 0
    assert ": missed by " in capsys.readouterr().out
    # Once when it was likely, unless it was certain at once, and once when it was certain.
    assert [event["lateness"] for event in announced()].count("CERTAIN") == 1
    assert len(announced()) <= 2
    # `{}` in other tests scores every enabled model.
    stage.catalog.set_enabled("due", False)


def waiting(stage: Stage, name: str, request: dict[str, Any]) -> str:
    """Start a workflow that starts Fleetscore's and waits; return its execution's ARN."""
    workflow = stage.client("stepfunctions")
    iam = stage.client("iam")
    trust = {"Principal": {"Service": "states.amazonaws.com"}, "Effect": "Allow", "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": stage.deployment.state_machine_arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName=name, PolicyName="start", PolicyDocument=policy)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.waitForTaskToken",
        "Parameters": {
            "StateMachineArn": stage.deployment.state_machine_arn,
            "Name": name,
            "Input": {**request, "task_token.$": "$$.Task.Token"},
        },
        "End": True,
    }
    definition = json.dumps({"StartAt": "Score", "States": {"Score": task}})
    machine = workflow.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"]
    arn: str = workflow.start_execution(stateMachineArn=machine)["executionArn"]
    return arn


def ended(stage: Stage, arn: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = stage.client("stepfunctions").describe_execution(executionArn=arn)
        return None if found["status"] == "RUNNING" else found

    found: dict[str, Any] = wait_for(look, "the waiting workflow has ended")
    return found


def test_a_waiting_workflow_gets_the_outcome(stage: Stage, catalog: None) -> None:
    found = ended(stage, waiting(stage, "waits-well", {"models": ["heard"]}))
    assert found["status"] == "SUCCEEDED"
    output = json.loads(found["output"])
    assert (output["execution_id"], output["status"]) == ("waits-well", "SUCCEEDED")
    assert stage.summary("waits-well").request["task_token"] == "(hidden)"


def test_a_waiting_workflow_fails_with_the_reason_of_a_refused_request(stage: Stage) -> None:
    found = ended(stage, waiting(stage, "waits-in-vain", {"modles": ["heard"]}))
    assert (found["status"], found["error"]) == ("FAILED", "Fleetscore.Failed")
    assert "modles" in found["cause"]


def test_an_unknown_task_token_does_not_fail_the_execution(stage: Stage, catalog: None) -> None:
    assert stage.run({"models": ["heard"], "task_token": "nobody"}, "dead-token").status == "SUCCEEDED"


def test_nobody_else_puts_events_on_the_bus(stage: Stage, listener: Listener) -> None:
    """Not even an administrator, whose own policy allows everything."""
    forged = {"Source": "fleetscore", "DetailType": JOB_DETAIL_TYPE, "Detail": "{}", "EventBusName": listener.bus}
    with pytest.raises(ClientError, match="PutEvents"):
        stage.client("events").put_events(Entries=[forged])
    other = {"Source": "other", "DetailType": "any", "Detail": "{}"}
    with pytest.raises(ClientError, match="PutEvents"):
        stage.client("events").put_events(Entries=[other, forged])
    assert stage.client("events").put_events(Entries=[other])["FailedEntryCount"] == 0
