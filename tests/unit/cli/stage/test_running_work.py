"""Running executions that a backfill follows, because they score the dataset with what is missing."""

import json
from typing import Any

import pytest

from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import Executions
from cli.stage.executions.running_work import RunningWork
from contract.status import JobStatus
from contract.table import records
from contract.workflow.messages import ExecutionPlan
from contract.workflow.request_check import ScoredBefore
from tests.unit.cli.builders import any_execution, running_job

CHURN, UPSELL = (ScoredBefore(name, "1", False, "customers", 2, 0) for name in ("churn", "upsell"))
STORES = ScoredBefore("stores", "f-1", True, "customers", 2, 0)
MISSING = {CHURN, UPSELL, STORES}


class Running:
    """Running executions in Step Functions and in the table."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self._executions = Executions(connection, deployment)
        self._work = RunningWork(connection, deployment, self._executions)

    def start(self, name: str, request: dict[str, Any], *, is_planned: bool = False, **fields: Any) -> None:
        text = json.dumps(request)
        self._executions.start(text, name)
        plan = ExecutionPlan(name, "some-results", "jobs.json", 1, 1, 0) if is_planned else None
        record = any_execution(execution_id=name, request_json=text, plan=plan, **fields)
        self._table.put_item(Item=records.execution_item(record))

    def add_job(self, name: str, job_id: str, **fields: Any) -> None:
        job = running_job(job_id, execution_id=name, dataset="customers", **fields)
        self._table.put_item(Item=records.job_item(job))

    def stop(self, name: str) -> None:
        self._executions.stop(self._executions.execution_arn(name), "")

    def covering(self) -> dict[str, set[str]]:
        return {name: {item.id for item in items} for name, items in self._work.covering("customers", MISSING).items()}


@pytest.fixture
def running(connection: Connection, deployment: Deployment) -> Running:
    return Running(connection, deployment)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"dataset": "customers"}, {"churn", "upsell", "stores"}),
        ({"dataset": "customers", "models": ["churn", "other"]}, {"churn"}),
        ({"dataset": "customers", "fleets": ["stores"]}, {"stores"}),
        ({"dataset": "customers", "models": ["stores"]}, set()),
        ({"dataset": "others"}, set()),
        ({}, set()),
        ({"dataset": "customers", "train": {}}, set()),
        ({"dataset": "customers", "models": {"tags": {"team": "ads"}}}, set()),
        ({"dataset": "customers", "objects_manifest": "uploads/customers/w1.json"}, set()),
        ({"resume": "nightly-0"}, set()),
    ],
)
def test_the_request_of_an_execution_without_a_plan_decides(
    running: Running, request_: dict[str, Any], expected: set[str]
) -> None:
    running.start("nightly", request_)
    assert running.covering() == ({"nightly": expected} if expected else {})
    running.stop("nightly")
    assert running.covering() == {}


def test_the_jobs_of_a_planned_execution_decide(running: Running) -> None:
    running.start("nightly", {"dataset": "customers"}, is_planned=True)
    running.add_job("nightly", "churn")
    running.add_job("nightly", "upsell", model_ids=("upsell",), model_versions=("0",))
    running.add_job("nightly", "stores.fleet", model_ids=("stores",), model_versions=("f-1",), fleet="stores")
    assert running.covering() == {"nightly": {"churn", "stores"}}
    running.add_job("nightly", "churn", status=JobStatus.FAILED)
    assert running.covering() == {"nightly": {"stores"}}


def test_a_planned_execution_over_a_part_of_the_dataset_covers_nothing(running: Running) -> None:
    request = {"dataset": "customers", "objects_manifest": "uploads/customers/w1.json"}
    running.start("upload-1", request, is_planned=True)
    running.add_job("upload-1", "churn")
    running.start("resumed", {"resume": "upload-1"}, is_planned=True, resumes="upload-1")
    running.add_job("resumed", "churn")
    assert running.covering() == {}
