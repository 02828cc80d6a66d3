"""The state machines of docs/extend.md wait for executions, and take no partial failure for a success."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from contract import layout
from embedded.faults import KillInstance
from tests.e2e.clients.test_documented_clients import blocks
from tests.e2e.failing_models import failing_graph
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

WAITING_FOR_TOKEN, TOKEN_ROLE, WAITING_FOR_EXECUTION, EXECUTION_ROLE = blocks("docs/extend.md", "json")


class Workflow:
    """A documented state machine, deployed with its documented role."""

    def __init__(self, stage: Stage, name: str, definition: str, policy: str) -> None:
        self.stage, self.states = stage, stage.client("stepfunctions")
        self.queue = stage.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        account, region = stage.aws.endpoint.account_id, stage.aws.endpoint.region
        machine = stage.deployment.state_machine_arn
        names = {
            "STATE_MACHINE_ARN": machine,
            "EXECUTIONS_ARN": f"{machine.replace(':stateMachine:', ':execution:')}:*",
            "QUEUE_URL": self.queue,
            "QUEUE_ARN": f"arn:aws:sqs:{region}:{account}:{name}",
            "REGION": region,
            "ACCOUNT": account,
        }
        for word, value in names.items():
            definition, policy = definition.replace(word, value), policy.replace(word, value)
        trust = {"Principal": {"Service": "states.amazonaws.com"}, "Effect": "Allow", "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam = stage.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="documented", PolicyDocument=policy)
        created = self.states.create_state_machine(name=name, definition=definition, roleArn=role)
        self.machine = created["stateMachineArn"]
        self._taken: set[str] = set()

    def run(self, name: str, *models: str) -> dict[str, Any]:
        """Run the workflow to its end, and return its description."""
        started = self.states.start_execution(
            stateMachineArn=self.machine, name=name, input=json.dumps({"models": models})
        )

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.states.describe_execution(executionArn=started["executionArn"])
            return None if found["status"] == "RUNNING" else found

        found: dict[str, Any] = wait_for(look, "the workflow has ended")
        return found

    def published(self) -> list[str]:
        """Take what the workflow has published since the last call. A queue may deliver a message twice."""
        sqs = self.stage.client("sqs")
        messages = sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", ())
        for message in messages:
            sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        bodies = {message["MessageId"]: message["Body"] for message in messages}
        new = [body for message_id, body in bodies.items() if message_id not in self._taken]
        self._taken |= bodies.keys()
        return new


@pytest.fixture(scope="module")
def models(stage: Stage) -> Iterator[tuple[str, str]]:
    """Register one model that scores and one that never does."""
    stage.put_dataset("orchestrated", {"a.parquet": people(20, 1)})
    stage.register("orchestrated", train_xgboost(1), dataset="orchestrated")
    stage.register("orchestrated-2", train_xgboost(2), dataset="orchestrated", max_attempts=1)
    stage.register("orchestrated-bad", failing_graph(), dataset="orchestrated")
    yield "orchestrated", "orchestrated-bad"
    for name in ("orchestrated", "orchestrated-2", "orchestrated-bad"):
        stage.catalog.set_enabled(name, enabled=False)


@pytest.fixture(scope="module")
def by_token(stage: Stage) -> Workflow:
    return Workflow(stage, "around-by-token", WAITING_FOR_TOKEN, TOKEN_ROLE)


def test_what_is_complete_is_published(stage: Stage, models: tuple[str, str], by_token: Workflow) -> None:
    assert by_token.run("around-good", models[0])["status"] == "SUCCEEDED"
    summary = layout.s3_uri(stage.deployment.results_bucket, layout.summary_key("around-good"))
    assert by_token.published() == [summary]


def test_a_lasting_partial_failure_publishes_nothing(models: tuple[str, str], by_token: Workflow) -> None:
    ended = by_token.run("around-bad", *models)
    # The rest is only the model that fails again, beside what is kept.
    assert (ended["status"], ended["error"]) == ("FAILED", "Fleetscore.PartlyFailed")
    assert "orchestrated-bad" in ended["cause"]
    assert by_token.published() == []


def test_after_a_passing_partial_failure_the_rest_is_scored_and_published(
    stage: Stage, models: tuple[str, str], by_token: Workflow
) -> None:
    stage.aws.faults.add(KillInstance(job="dev-orchestrated-2-*"))
    try:
        ended = by_token.run("around-rest", models[0], "orchestrated-2")
    finally:
        stage.aws.faults.clear()
    assert ended["status"] == "SUCCEEDED"
    assert [job.commits_kept for job in stage.executions.snapshot("around-rest-rest").jobs] == [1, 0]
    summary = layout.s3_uri(stage.deployment.results_bucket, layout.summary_key("around-rest-rest"))
    assert by_token.published() == [summary]


def test_a_refused_request_fails_the_workflow(models: tuple[str, str], by_token: Workflow) -> None:
    ended = by_token.run("around-refused", "no-such-model")
    assert (ended["status"], ended["error"]) == ("FAILED", "Fleetscore.Failed")
    assert "no-such-model" in ended["cause"]


def test_waiting_for_the_execution_tells_partial_from_complete_failure(stage: Stage, models: tuple[str, str]) -> None:
    workflow = Workflow(stage, "around-by-execution", WAITING_FOR_EXECUTION, EXECUTION_ROLE)
    ended = workflow.run("good", models[0])
    assert json.loads(ended["output"])["summary_uri"].endswith("/summary.json")
    partly, failed = workflow.run("partly", *models), workflow.run("failed", models[1])
    assert [(found["status"], found["error"]) for found in (partly, failed)] == [
        ("FAILED", "PartlyScored"),
        ("FAILED", "NotScored"),
    ]
    assert "orchestrated-bad" in partly["cause"]
