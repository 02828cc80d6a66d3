"""Models that a backfill recognizes as having scored a dataset."""

from typing import Any

import pytest

from cli.stage.backfill import Backfill, Scorer, Work
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions import Executions
from contract import layout
from contract.job.parts import JobPart
from contract.table import records
from tests.unit.cli.builders import any_execution, any_job, succeeded_job

CHURN, UPSELL = Scorer("churn", "1"), Scorer("upsell", "1")
JOB_ID = "churn.and-1-more"


class Results:
    """The records and outputs of executions over the dataset `customers`."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self._s3: Any = connection.client("s3")
        self._bucket = deployment.results_bucket
        self._backfill = Backfill(connection, deployment, Executions(connection, deployment))

    def add_job(self, *model_ids: str, **changes: Any) -> None:
        """Add the record of a succeeded job, and that of its execution."""
        self._table.put_item(Item=records.execution_item(any_execution()))
        fields = {"model_ids": model_ids, "model_versions": ("1",) * len(model_ids), **changes}
        self._table.put_item(Item=records.job_item(succeeded_job(**{"job_id": JOB_ID, **fields})))

    def add_output(self, kind: layout.OutputKind, model_id: str, job_id: str = JOB_ID) -> None:
        prefix = layout.model_outputs_prefix(kind, "customers", "nightly-1", job_id, model_id)
        self._s3.put_object(Bucket=self._bucket, Key=f"{prefix}a.parquet", Body=b"")

    def add_fleet_output(self, fleet_id: str) -> None:
        prefix = layout.job_outputs_prefix("predictions", "customers", "nightly-1", f"{fleet_id}.fleet", "fleet")
        self._s3.put_object(Bucket=self._bucket, Key=f"{prefix}a.parquet", Body=b"")

    def missing(self, *scorers: Scorer, named: bool = False) -> Work | None:
        return self._backfill.unscored("customers", scorers, named=named)

    def unscored(self) -> tuple[str, ...]:
        work = self._backfill.unscored("customers", [CHURN, UPSELL], named=True)
        return () if work is None else tuple(work.request["models"])


@pytest.fixture
def results(connection: Connection, deployment: Deployment) -> Results:
    return Results(connection, deployment)


def test_nothing_is_scored_without_outputs(results: Results) -> None:
    assert results.unscored() == ("churn", "upsell")


def test_models_of_a_shared_job_have_scored_the_dataset(results: Results) -> None:
    results.add_job("churn", "upsell")
    results.add_output("predictions", "churn")
    results.add_output("quarantine", "upsell")
    assert results.unscored() == ()


def test_a_model_whose_output_has_expired_is_scored_again(results: Results) -> None:
    results.add_job("churn", "upsell")
    results.add_output("predictions", "churn")
    results.add_output("predictions", "upsell", job_id="upsell")
    assert results.unscored() == ("upsell",)


def test_outputs_without_a_succeeded_job_do_not_count(results: Results) -> None:
    results.add_job("churn", "upsell", status=any_job().status)
    for model_id in ("churn", "upsell"):
        results.add_output("predictions", model_id)
    assert results.unscored() == ("churn", "upsell")


def test_another_version_and_another_dataset_do_not_count(results: Results) -> None:
    results.add_job("churn", model_versions=("2",))
    results.add_job("upsell", job_id="upsell", dataset="others")
    results.add_output("predictions", "churn")
    results.add_output("predictions", "upsell", job_id="upsell")
    assert results.unscored() == ("churn", "upsell")


def test_a_split_job_has_scored_the_dataset_when_all_parts_have(results: Results) -> None:
    ids = [JobPart("churn", number, 2).id for number in (1, 2)]
    for number, job_id in enumerate(ids, 1):
        assert results.unscored() == ("churn", "upsell")
        results.add_job("churn", job_id=job_id, part=JobPart("churn", number, 2))
        results.add_output("predictions", "churn", job_id)
    assert results.unscored() == ("upsell",)


def test_a_fleet_has_scored_a_dataset_in_one_version_only(results: Results) -> None:
    fleet = {"fleet": "stores", "fleet_models": 2, "output_layout": "fleet", "job_id": "stores.fleet"}
    results.add_job("stores", model_versions=("fleet-1",), **fleet)
    assert results.missing(Scorer("stores", "fleet-1", is_fleet=True), CHURN) == Work(None)
    results.add_fleet_output("stores")
    assert results.missing(Scorer("stores", "fleet-1", is_fleet=True)) is None
    work = results.missing(Scorer("stores", "fleet-2", is_fleet=True), CHURN, named=True)
    assert work is not None
    assert work.request == {"fleets": ["stores"], "models": ["churn"]}
