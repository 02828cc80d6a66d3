"""A byte of an output changes on its way to S3: it is found by name, and the object is scored again."""

import re
from collections.abc import Iterator

import pyarrow as pa
import pytest

from cli.main import main
from cli.stage.executions.execution_snapshot import Snapshot
from contract import layout
from contract.status import AttemptStatus, ExecutionStatus, FailureKind
from embedded.faults import CorruptUpload
from tests.e2e.failing_models import RefusesOneRow, refusing_graph
from tests.e2e.stage import Stage, people, train_xgboost
from tests.unit.checksums import crc64nvme

DATASET = "changed"
MODELS = ["changed-a", "changed-picky"]
JOINED_JOB = "changed-a.and-1-more"
TOLERANT = {"models": MODELS, "tolerated_quarantine_fraction": 0.1}


@pytest.fixture(scope="module", autouse=True)
def _models(stage: Stage) -> Iterator[None]:
    frame = people(50, 1).to_pandas()
    frame.loc[7, "visits"] = RefusesOneRow.REFUSED_VISITS
    stage.put_dataset(DATASET, {"a.parquet": pa.Table.from_pandas(frame), "b.parquet": people(30, 2)})
    stage.register("changed-a", train_xgboost(1), dataset=DATASET)
    stage.register("changed-picky", refusing_graph(), dataset=DATASET)
    yield
    for model_id in MODELS:
        stage.catalog.set_enabled(model_id, enabled=False)


def outputs(stage: Stage, execution_id: str, dataset: str = DATASET) -> dict[str, bytes]:
    """Return the contents of an execution's outputs, by key without the execution's id."""
    s3, bucket = stage.client("s3"), stage.deployment.results_bucket
    return {
        key.replace(execution_id, ""): s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for area in layout.OUTPUT_PREFIXES
        for key in stage.result_keys(f"{area}dataset={dataset}/execution_id={execution_id}/")
    }


def assert_scored_again(stage: Stage, execution: Snapshot, job_id: str, objects: int, output: str) -> None:
    """Check that a job succeeded in its second attempt, because of a change of `output`."""
    assert (execution.status, execution.reason) == (ExecutionStatus.SUCCEEDED, "")
    first, second = stage.executions.attempts(execution.execution_id)[job_id]
    assert (first.status, first.failure_kind) == (AttemptStatus.FAILED, FailureKind.TRANSIENT)
    assert (second.status, second.object_count) == (AttemptStatus.SUCCEEDED, objects)
    found = re.search(f"{re.escape(output)} has the CRC64NVME (\\S+) in S3, the commit says (\\S+): ", first.reason)
    assert found, first.reason
    assert found[1] != found[2]
    commits = stage.commits(execution.execution_id, job_id)
    assert found[2] in {item.crc64nvme for commit in commits for item in commit.outputs}


def test_outputs_of_models_and_a_quarantine_file(stage: Stage) -> None:
    assert stage.run(TOLERANT, "changed-not").status == ExecutionStatus.SUCCEEDED
    reference = outputs(stage, "changed-not")
    assert len(reference) == 5

    stage.aws.faults.add(CorruptUpload(key="predictions/*execution_id=changed-twice/*model_id=changed-a/b.parquet"))
    stage.aws.faults.add(CorruptUpload(key="quarantine/*execution_id=changed-twice/*model_id=changed-picky/a.parquet"))
    execution = stage.run(TOLERANT, "changed-twice")

    assert stage.aws.faults.pending() == []
    assert_scored_again(stage, execution, "changed-a", 1, "predictions/model_id=changed-a/b.parquet")
    assert_scored_again(stage, execution, "changed-picky", 1, "quarantine/model_id=changed-picky/a.parquet")
    assert outputs(stage, "changed-twice") == reference
    assert all(job.notes == () for job in execution.jobs if job.job_id == "changed-picky")


def test_a_joined_output_and_a_quarantine_file(stage: Stage) -> None:
    request = {**TOLERANT, "output_layout": "joined"}
    assert stage.run(request, "joined-not").status == ExecutionStatus.SUCCEEDED
    reference = outputs(stage, "joined-not")
    assert len(reference) == 3

    stage.aws.faults.add(CorruptUpload(key="joined/*execution_id=joined-twice/*/b.parquet"))
    stage.aws.faults.add(CorruptUpload(key="quarantine/*execution_id=joined-twice/*/a.parquet"))
    execution = stage.run(request, "joined-twice")

    assert stage.aws.faults.pending() == []
    assert_scored_again(stage, execution, JOINED_JOB, 2, "joined/b.parquet")
    assert outputs(stage, "joined-twice") == reference


def test_an_output_of_a_fleet(stage: Stage) -> None:
    dataset, fleet = "changed-by-segment", "changed-segments"
    segments = pa.array(["gold", "silver"] * 20)
    objects = {f"{n}.parquet": people(40, n).append_column("segment", segments) for n in range(2)}
    stage.put_dataset(dataset, objects)
    assert main(("fleets", "set", fleet, "--dataset", dataset, "--route-by", "segment", "--unmatched", "skip")) == 0
    for segment in ("gold", "silver"):
        stage.register(f"changed-{segment}", train_xgboost(3), dataset=dataset, fleet=fleet, route=(segment,))
    request = {"fleets": [fleet]}
    assert stage.run(request, "fleet-not").status == ExecutionStatus.SUCCEEDED
    reference = outputs(stage, "fleet-not", dataset)
    assert len(reference) == 2

    stage.aws.faults.add(CorruptUpload(key="fleets/*execution_id=fleet-twice/*/1.parquet"))
    execution = stage.run(request, "fleet-twice")

    assert stage.aws.faults.pending() == []
    assert_scored_again(stage, execution, f"{fleet}.fleet", 1, "fleets/1.parquet")
    assert outputs(stage, "fleet-twice", dataset) == reference
    for segment in ("gold", "silver"):
        stage.catalog.set_enabled(f"changed-{segment}", enabled=False)
    assert main(("fleets", "delete", fleet)) == 0


def test_a_job_whose_outputs_always_change_fails_and_names_one(stage: Stage) -> None:
    stage.aws.faults.add(CorruptUpload(key="predictions/*execution_id=changed-always/*a.parquet", count=3))
    execution = stage.run({"models": ["changed-a"]}, "changed-always")

    assert stage.aws.faults.pending() == []
    (job,) = execution.jobs
    assert (execution.status, job.attempt) == (ExecutionStatus.FAILED, 3)
    (changed,) = [body for key, body in outputs(stage, "changed-always").items() if key.endswith("a.parquet")]
    assert f"predictions/model_id=changed-a/a.parquet has the CRC64NVME {crc64nvme(changed)} in S3" in job.reason
    assert f"fleetscore resume {execution.execution_id}" in job.reason
