"""`fleetscore resume` and `retry` start an execution that continues another one."""

import json
from typing import Any

import pytest

from cli.main import main
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.fleets import Fleets
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions
from cli.views.executions.executions import resume_lines
from cli.views.executions.request_check import check_json
from contract.catalog.models import Model, ModelVersion
from contract.job.parts import JobPart
from contract.status import ExecutionStatus
from contract.table import catalog_items, records
from contract.workflow.request_check import RequestCheck, ResumeCounts
from tests.unit.cli.builders import NOW, any_execution, any_job
from tests.unit.lambdas.builders import any_model_spec

Captured = pytest.CaptureFixture[str]
ARN = "arn:aws:states:eu-central-1:123456789012:execution:fleetscore-dev:nightly-1"


@pytest.fixture
def ended(account: Connection, deployment: Deployment) -> Executions:
    """Return executions with the records of one that has ended: a job, one of two parts, and a fleet."""
    table = account.resource("dynamodb").Table(deployment.table_name)
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.PARTLY_FAILED)))
    part = any_job("upsell.and-1-more.part-1-of-2", model_ids=("upsell", "visits"), model_versions=("1", "1"))
    part = any_job(**{**vars(part), "part": JobPart("upsell.and-1-more", 1, 2)})
    for job in (any_job("churn"), part, any_job("delays.fleet", model_ids=("delays",), fleet="delays")):
        table.put_item(Item=records.job_item(job))
    for model_id in ("churn", "upsell", "visits", "delays-aa"):
        fields = {"fleet": "delays", "route": ("AA",)} if model_id == "delays-aa" else {}
        version = ModelVersion(spec=any_model_spec(model_id, version="1"), dataset="flights", **fields)
        table.put_item(Item=catalog_items.version_item(version))
        table.put_item(Item=catalog_items.model_item(Model(model_id, "1", updated_at="2026-03-01")))
    Fleets(account, deployment).set("delays", {"dataset": "flights", "route_by": "carrier"})
    return Executions(account, deployment)


def started(executions: Executions, account: Connection, name: str = "second") -> Any:
    """Return the input of an execution."""
    described = account.client("stepfunctions").describe_execution(executionArn=executions.execution_arn(name))
    return json.loads(described["input"])


@pytest.mark.parametrize("execution", ["nightly-1", ARN])
def test_resume_starts_an_execution(ended: Executions, account: Connection, capsys: Captured, execution: str) -> None:
    words = ["--models", "churn", "--input", '{"instance_type": "ml.c5.xlarge"}', "--name", "second", "--json"]
    assert main(["resume", execution, *words]) == 0
    assert json.loads(capsys.readouterr().out)["execution_id"] == "second"
    expected = {"resume": "nightly-1", "instance_type": "ml.c5.xlarge", "models": ["churn"]}
    assert started(ended, account) == expected


def test_retry_names_the_models_and_fleets_of_jobs(ended: Executions, account: Connection) -> None:
    words = ["churn", "upsell.and-1-more.part-1-of-2", "upsell.and-1-more", "delays.fleet", "--name", "second"]
    assert main(["retry", "nightly-1", *words]) == 0
    expected = {"resume": "nightly-1", "models": ["churn", "upsell", "visits"], "fleets": ["delays"]}
    assert started(ended, account) == expected
    assert main(["retry", "nightly-1", "delays.fleet", "--name", "third"]) == 0
    assert started(ended, account, "third") == {"resume": "nightly-1", "fleets": ["delays"]}


def test_an_execution_whose_models_are_disabled_or_deleted_is_refused_before_anything_starts(
    ended: Executions, account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    catalog = Catalog(account, deployment)
    table = account.resource("dynamodb").Table(deployment.table_name)
    catalog.set_enabled("churn", False)
    enable = "Enable it with `fleetscore models enable churn`"
    for words in (["retry", "nightly-1", "churn"], ["resume", "nightly-1", "--models", "churn"]):
        assert main(words) == 2
        assert f"models[0]: got 'churn, which is disabled', expected an enabled model. {enable}" in (
            capsys.readouterr().err
        )
    assert main(["resume", "nightly-1", "--name", "others"]) == 0, "the others can be scored"
    catalog.set_enabled("delays-aa", False)
    assert main(["retry", "nightly-1", "delays.fleet"]) == 2
    assert "delays, which is without enabled models" in capsys.readouterr().err
    for model_id in ("upsell", "visits"):
        table.delete_item(Key=catalog_items.model_key(model_id))
    assert main(["resume", "nightly-1"]) == 2
    shown = capsys.readouterr().err
    assert "none that can be scored: churn (disabled), upsell (deleted), visits (deleted) and 1 more" in shown
    assert f"{enable}, or start a new execution." in shown
    assert main(["resume", "unknown"]) == 2
    assert "There is no execution 'unknown'" in capsys.readouterr().err
    machine = {"stateMachineArn": deployment.state_machine_arn}
    started = account.client("stepfunctions").list_executions(**machine)["executions"]
    assert [execution["name"] for execution in started] == ["others"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "resume: got 'nightly-1, which is RUNNING', expected an execution that has ended. Wait for its end with"),
        (
            {"status": ExecutionStatus.FAILED, "plan": None, "resumes": "first"},
            "expected an execution with a plan. Resume it instead: `fleetscore resume first`.",
        ),
    ],
    ids=["running", "never planned"],
)
def test_an_execution_that_cannot_be_resumed_starts_no_other(
    account: Connection, deployment: Deployment, capsys: Captured, changes: dict[str, Any], said: str
) -> None:
    table = account.resource("dynamodb").Table(deployment.table_name)
    old = any_execution(**changes)
    table.put_item(Item=records.execution_item(old))
    if old.status is ExecutionStatus.RUNNING:
        machine = account.client("stepfunctions")
        machine.start_execution(stateMachineArn=deployment.state_machine_arn, name="nightly-1", input="{}")
    assert main(["resume", "nightly-1", "--name", "second"]) == 2
    assert said in capsys.readouterr().err
    executions = account.client("stepfunctions").list_executions(stateMachineArn=deployment.state_machine_arn)
    assert "second" not in [execution["name"] for execution in executions["executions"]]
    assert resume_lines(Snapshot("nightly-1", NOW, None, old, ())) == (["Continues first."] if old.resumes else [])


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["retry", "nightly-1", "chrun"], "expected one of the 3 jobs of this execution. Did you mean churn?"),
        (
            ["resume", "nightly-1", "--input", '{"resume": "e"}'],
            "Name the execution once: leave resume out of --input.",
        ),
        (["resume", "nightly-1", "--input", '{"dataset": "d"}'], "dataset: got 'd', expected nothing, because the"),
        (["resume", "no name"], "resume: got 'no name', expected 1 to 80 of letters"),
        (["retry", "nightly-1"], "JOB..."),
    ],
    ids=str,
)
def test_mistakes_are_named(words: list[str], said: str, capsys: Captured) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("account")
def test_the_form_is_checked_without_a_stage(capsys: Captured) -> None:
    assert main(["resume", "nightly-1", "--check=form"]) == 0
    assert "form is valid" in capsys.readouterr().out


def test_status_shows_what_is_continued_and_kept() -> None:
    record = any_execution(resumes="nightly-0", notes=("objects that were removed since are not scored (1): a",))
    jobs = (any_job(commits_kept=3), any_job("b", model_ids=("b", "c"), model_versions=("1", "1"), commits_kept=8))
    assert resume_lines(Snapshot("nightly-1", NOW, None, record, jobs)) == [
        "Continues nightly-0: kept 11 of 12 commits.",
        "Plan: objects that were removed since are not scored (1): a",
    ]
    assert resume_lines(Snapshot("nightly-1", NOW, None, any_execution(), jobs)) == []


def test_a_check_counts_commits() -> None:
    counts = {"expected": 4, "kept": 1, "again": 1, "missing": 2, "is_exact": True}
    assert check_json(RequestCheck(resume=ResumeCounts(4, 1, 1, 2)))["resume"] == counts
    assert check_json(RequestCheck())["resume"] is None


def test_a_record_that_is_open_though_step_functions_forgot_its_execution_is_left_to_the_plan(
    account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    table = account.resource("dynamodb").Table(deployment.table_name)
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.RUNNING)))
    assert main(["resume", "nightly-1", "--name", "second", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["execution_id"] == "second"
