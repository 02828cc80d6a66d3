"""`fleetscore resume --uploads` scores uploads whose executions were refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cli.main import main
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.request_check import RequestChecks
from contract.status import ExecutionStatus
from contract.table import records
from contract.triggers.uploads import execution_name
from contract.workflow.request_check import RequestCheck
from tests.unit.cli.builders import any_execution

Captured = pytest.CaptureFixture[str]
FIRST, SECOND, THIRD = (execution_name("orders", digit * 32) for digit in "123")
WORDS = ["resume", "--uploads", "orders"]


@pytest.fixture
def table(account: Connection, deployment: Deployment) -> Any:
    """Return the table with refused executions of two uploads, a planned one, and one of another dataset."""
    table = account.resource("dynamodb").Table(deployment.table_name)

    def put(execution_id: str, dataset: str = "orders", **fields: Any) -> None:
        request = json.dumps({"dataset": dataset, "objects_manifest": f"uploads/{dataset}/{execution_id[-32:]}.json"})
        refused = any_execution(status=ExecutionStatus.FAILED, plan=None)
        record = replace(refused, execution_id=execution_id, request_json=request, **fields)
        table.put_item(Item=records.execution_item(record))

    put(FIRST)
    put(SECOND)
    put(THIRD, plan=any_execution().plan)
    put(execution_name("orders-eu", "4" * 32), "orders-eu")
    put("nightly")
    return table


@pytest.fixture
def reasons(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return reasons why the stage's plan refuses a manifest, by the manifest's key; there are none yet."""
    found: dict[str, str] = {}

    def check(_checks: Any, _kind: Any, request: Any) -> RequestCheck:
        why = found.get(request["objects_manifest"])
        return RequestCheck(problems=(why,), problem_count=1) if why else RequestCheck(job_count=1)

    monkeypatch.setattr(RequestChecks, "__init__", lambda *_: None)
    monkeypatch.setattr(RequestChecks, "check", check)
    return found


def started(account: Connection, deployment: Deployment) -> dict[str, Any]:
    client = account.client("stepfunctions")
    found = client.list_executions(stateMachineArn=deployment.state_machine_arn)["executions"]
    described = (client.describe_execution(executionArn=item["executionArn"]) for item in found)
    return {item["name"]: json.loads(item["input"]) for item in described}


@pytest.mark.usefixtures("table", "reasons")
def test_each_refused_upload_gets_one_new_execution(
    account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    assert main([*WORDS, "--input", '{"instance_type": "ml.m5.large"}']) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "Started 2 executions over uploads to orders that were refused before."
    expected = {
        f"{name}-2": {
            "dataset": "orders",
            "objects_manifest": f"uploads/orders/{name[-32:]}.json",
            "instance_type": "ml.m5.large",
        }
        for name in (FIRST, SECOND)
    }
    assert started(account, deployment) == expected


def test_uploads_that_would_be_refused_again_start_nothing(
    account: Connection, deployment: Deployment, table: Any, reasons: dict[str, str], capsys: Captured
) -> None:
    reasons[f"uploads/orders/{'1' * 32}.json"] = "models: got no enabled model"
    assert main([*WORDS, "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {
        "started": [f"{SECOND}-2"],
        "refused": [{"execution_id": FIRST, "reason": "models: got no enabled model"}],
    }
    assert list(started(account, deployment)) == [f"{SECOND}-2"]
    # The second one is planned meanwhile, and the first one is accepted now.
    planned = replace(any_execution(), execution_id=f"{SECOND}-2")
    table.put_item(Item=records.execution_item(planned))
    reasons.clear()
    assert main(WORDS) == 0
    assert sorted(started(account, deployment)) == [f"{FIRST}-2", f"{SECOND}-2"]


def test_a_refused_second_execution_is_followed_by_a_third(
    account: Connection, deployment: Deployment, table: Any, reasons: dict[str, str]
) -> None:
    item = table.get_item(Key=records.execution_key(FIRST))["Item"]
    table.put_item(
        Item={**item, **records.execution_key(f"{FIRST}-2"), "execution_id": f"{FIRST}-2", "index_sk": f"x#{FIRST}-2"}
    )
    assert main(WORDS) == 0
    assert sorted(started(account, deployment)) == [f"{FIRST}-3", f"{SECOND}-2"]


@pytest.mark.usefixtures("table", "reasons")
def test_nothing_to_do_and_mistakes_are_named(account: Connection, deployment: Deployment, capsys: Captured) -> None:
    assert main(["resume", "--uploads", "flights"]) == 0
    assert capsys.readouterr().out.startswith("No uploads to flights are left over from a refused execution.")
    for words, said in (
        ([*WORDS, "--wait"], "--uploads: leave out --wait."),
        (["resume", "e", "--uploads", "orders"], "--uploads: leave out EXECUTION."),
        (["resume"], "Name the execution to continue, or a dataset with --uploads."),
        ([*WORDS, "--input", '{"dataset": "x"}'], "--input: leave out dataset. The uploads decide it."),
        ([*WORDS, "--input", "[]"], "expected a JSON object"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    assert started(account, deployment) == {}
