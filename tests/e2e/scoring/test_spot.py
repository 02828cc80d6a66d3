"""Scoring on spot capacity: SageMaker training jobs with the same results as processing jobs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cli.main import main
from cli.stage.diagnosis.attempt_logs import AttemptLogs
from cli.stage.executions.execution_snapshot import Snapshot
from cli.views.executions.execution_figures import objects_done
from contract import layout, spot_layout
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from contract.table.records import JobRecord
from embedded.faults import InterruptSpot, KillInstance, NoCapacity, ServerError
from tests.e2e.failing_models import RefusesOneRow, WaitsToBeKilled, refusing_graph
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

DATASET = "spotted"
MODELS = ("spot-a", "spot-picky")


@pytest.fixture(scope="module", autouse=True)
def _models(stage: Stage) -> Iterator[None]:
    bad = people(50, 1).to_pandas()
    bad.loc[7, "visits"] = RefusesOneRow.REFUSED_VISITS
    stage.put_dataset(DATASET, {"a.parquet": pa.Table.from_pandas(bad), "b.parquet": people(30, 2, first_row=50)})
    stage.register("spot-a", train_xgboost(1), dataset=DATASET)
    stage.register("spot-picky", refusing_graph(), dataset=DATASET)
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


def training_jobs(stage: Stage, execution_id: str, job_id: str) -> list[dict[str, Any]]:
    """Return the DescribeTrainingJob response of each attempt of a job."""
    sagemaker = stage.client("sagemaker")
    attempts = stage.executions.attempts(execution_id)[job_id]
    return [sagemaker.describe_training_job(TrainingJobName=attempt.sagemaker_job_name) for attempt in attempts]


def accounted(job: JobRecord) -> tuple[object, ...]:
    return (job.status, job.rows_in, job.rows_scored, job.rows_quarantined, job.commits, job.notes, job.reason)


def scored_objects(stage: Stage, snapshot: Snapshot, job_id: str) -> list[str]:
    """Return the objects that containers have scored, as often as they did, from the logs of all attempts."""
    attempts = stage.executions.attempts(snapshot.execution_id)[job_id]
    lines = AttemptLogs(stage.connection).read(attempts, snapshot.kind, pattern="object_scored")
    return sorted(match[1] for line in lines if (match := re.search(r'"object": "([^"]+)"', line.message)))


@pytest.mark.parametrize("output_layout", ["per_model", "joined"])
def test_the_outputs_are_those_of_a_processing_job(stage: Stage, output_layout: str) -> None:
    request = {
        "models": list(MODELS),
        "models_per_job": len(MODELS),
        "tolerated_quarantine_fraction": 0.1,
        "output_layout": output_layout,
    }
    on_demand = stage.run(request, f"spot-not-{output_layout}")
    on_spot = stage.run({**request, "spot": True}, f"spot-yes-{output_layout}")
    assert (on_spot.status, on_spot.reason) == (ExecutionStatus.SUCCEEDED, "")
    reference = outputs(stage, on_demand.execution_id)
    assert len(reference) == (5 if output_layout == "per_model" else 3)
    assert outputs(stage, on_spot.execution_id) == reference
    assert [accounted(job) for job in on_spot.jobs] == [accounted(job) for job in on_demand.jobs]
    for job in on_spot.jobs:
        (described,) = training_jobs(stage, on_spot.execution_id, job.job_id)
        assert described["EnableManagedSpotTraining"] is True
        assert described["StoppingCondition"] == {"MaxRuntimeInSeconds": 14_400, "MaxWaitTimeInSeconds": 28_800}
        assert "SpotRole" in described["RoleArn"]
        assert described["CheckpointConfig"]["S3Uri"].endswith(
            f"/spot/{on_spot.execution_id}/{job.job_id}/1/checkpoints"
        )
    # What was kept apart until the attempt had ended is nothing that readers find.
    assert not [key for key in reference if "checkpoints" in key]
    assert stage.result_keys(spot_layout.spot_job_prefix(on_spot.execution_id, on_spot.jobs[0].job_id))


def test_an_interruption_redoes_only_what_was_not_committed(stage: Stage, shared_folder: Path) -> None:
    objects = waiting_objects()
    stage.put_dataset("interrupted", objects)
    stage.register("spot-wait", WaitsToBeKilled(shared_folder), dataset="interrupted", spot=True)
    execution_id = stage.executions.start('{"models": ["spot-wait"]}', "spot-interrupted")
    wait_for((shared_folder / "waiting").exists, "an object is committed and another one is scored")
    stage.aws.faults.add(InterruptSpot(job="*-spot-wait-*"))
    snapshot = stage.watch(execution_id)
    stage.catalog.set_enabled("spot-wait", enabled=False)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    (described,) = training_jobs(stage, execution_id, "spot-wait")
    assert [each["Status"] for each in described["SecondaryStatusTransitions"]].count("Interrupted") == 1
    assert snapshot.jobs[0].attempt == 1, "SageMaker handles the interruption, so the workflow needs one attempt"
    # The first run has scored one object, and the second only the other one.
    assert scored_objects(stage, snapshot, "spot-wait") == sorted(objects)
    scored = stage.predictions("interrupted", "spot-wait", execution_id)
    assert {key: table["row"].to_pylist() for key, table in scored.items()} == {
        key: table["row"].to_pylist() for key, table in objects.items()
    }


def test_a_lost_instance_costs_an_attempt_that_keeps_what_was_committed(stage: Stage, shared_folder: Path) -> None:
    objects = waiting_objects()
    stage.put_dataset("lost-on-spot", objects)
    stage.register("spot-lost", WaitsToBeKilled(shared_folder), dataset="lost-on-spot", spot=True)
    execution_id = stage.executions.start('{"models": ["spot-lost"]}', "spot-lost")
    wait_for((shared_folder / "waiting").exists, "an object is committed and another one is scored")
    ledger = spot_layout.spot_checkpoints_prefix(execution_id, "spot-lost", 1) + "ledger/"
    wait_for(lambda: stage.result_keys(ledger), "the commit is uploaded")
    shown = stage.executions.snapshot(execution_id)
    assert shown.committed == {"spot-lost": 1}
    stage.aws.faults.add(KillInstance(job="*-spot-lost-*"))
    snapshot = stage.watch(execution_id)
    stage.catalog.set_enabled("spot-lost", enabled=False)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    first, second = stage.executions.attempts(execution_id)["spot-lost"]
    assert (first.status, first.failure_kind, first.object_count) == (AttemptStatus.FAILED, FailureKind.TRANSIENT, 2)
    assert (second.status, second.object_count, second.spot) == (AttemptStatus.SUCCEEDED, 1, True)
    assert scored_objects(stage, snapshot, "spot-lost") == sorted(objects)


def test_a_stopped_execution_keeps_its_commits_and_is_resumed_without_spot(stage: Stage, shared_folder: Path) -> None:
    objects = waiting_objects()
    stage.put_dataset("stopped-on-spot", objects)
    stage.register("spot-stop", WaitsToBeKilled(shared_folder), dataset="stopped-on-spot", spot=True)
    execution_id = stage.executions.start('{"models": ["spot-stop"]}', "spot-stopped")
    wait_for((shared_folder / "waiting").exists, "an object is committed and another one is scored")
    assert main(["stop", execution_id]) == 0
    # SageMaker uploads checkpoints until the container has ended, perhaps after the records are closed.
    wait_for(lambda: outputs(stage, execution_id, "stopped-on-spot"), "what is committed is copied")
    stopped = stage.executions.snapshot(execution_id)
    assert (stopped.status, objects_done(stopped.jobs[0], stopped)) == ("ABORTED", 1)
    (described,) = training_jobs(stage, execution_id, "spot-stop")
    assert described["TrainingJobStatus"] == "Stopped"
    resumed = stage.run({"resume": execution_id, "spot": False}, "spot-resumed")
    stage.catalog.set_enabled("spot-stop", enabled=False)
    assert (resumed.status, resumed.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert resumed.jobs[0].commits_kept == 1
    assert scored_objects(stage, resumed, "spot-stop") == ["b.parquet"]
    assert len(stage.processing_jobs("spot-resumed")) == 1


def test_a_job_that_fails_for_good_leaves_its_other_outputs(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = stage.run({"models": ["spot-picky"], "spot": True}, "spot-fails")
    (job,) = snapshot.jobs
    assert (job.status, job.failure_kind, job.commits) == (JobStatus.FAILED, FailureKind.MODEL, 1)
    assert "a.parquet" in job.reason
    assert "/aws/sagemaker/TrainingJobs" in job.reason
    assert [key.rpartition("/")[2] for key in outputs(stage, "spot-fails")] == ["b.parquet"]
    for arguments in (["why", "spot-fails"], ["why", job.sagemaker_job_name], ["logs", "spot-fails"]):
        capsys.readouterr()
        assert main(arguments) in (0, 1)
        assert "a.parquet" in capsys.readouterr().out


def test_no_spot_capacity_ends_the_job_with_what_to_do(stage: Stage) -> None:
    stage.register("spot-none", train_xgboost(1), dataset=DATASET, spot=True, max_attempts=1)
    stage.aws.faults.add(NoCapacity(job="*-spot-none-*", instance_type="*"))
    snapshot = stage.run({"models": ["spot-none"]}, "spot-none")
    (job,) = snapshot.jobs
    assert (snapshot.status, job.failure_kind) == (ExecutionStatus.FAILED, FailureKind.CAPACITY)
    assert "set spot to false" in job.reason
    (described,) = training_jobs(stage, "spot-none", "spot-none")
    assert described["SecondaryStatus"] == "MaxWaitTimeExceeded"
    stage.catalog.set_enabled("spot-none", enabled=False)


def test_a_function_that_ends_between_copies_and_commits_leaves_nothing_to_score_again(stage: Stage) -> None:
    stage.aws.faults.add(
        ServerError(
            service="s3", operation="PutObject", resource="*spot-crash*/ledger/*", caller="*VerifyOutput*", count=20
        )
    )
    snapshot = stage.run({"models": ["spot-a"], "spot": True}, "spot-crash")
    stage.aws.faults.clear()
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert scored_objects(stage, snapshot, "spot-a") == ["a.parquet", "b.parquet"]
    assert snapshot.jobs[0].attempt > 1
    attempts = stage.executions.attempts("spot-crash")["spot-a"]
    assert [attempt.object_count for attempt in attempts[1:]] == [0] * (len(attempts) - 1)


def test_several_instances_are_parts_of_one_instance_each(stage: Stage) -> None:
    objects = {f"{key}.parquet": people(40, 3, first_row=ord(key) * 1_000) for key in "abcd"}
    stage.put_dataset("spot-parts", objects)
    stage.register("spot-parts", train_xgboost(1), dataset="spot-parts", instance_count=2, spot=True)
    snapshot = stage.run({"models": ["spot-parts"]}, "spot-parts")
    stage.catalog.set_enabled("spot-parts", enabled=False)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    (job,) = snapshot.jobs
    assert job.rows_scored == 160
    assert "a job on spot capacity has one instance" in job.notes[0]
    parts = snapshot.parts["spot-parts"]
    jobs = [training_jobs(stage, "spot-parts", part.job_id)[0] for part in parts]
    assert [described["ResourceConfig"]["InstanceCount"] for described in jobs] == [1, 1]


def waiting_objects() -> dict[str, pa.Table]:
    """Return two objects, of which `WaitsToBeKilled` waits at the second."""
    fatal = people(70, 2, first_row=6_000).to_pandas()
    fatal.loc[3, "visits"] = WaitsToBeKilled.FATAL_VISITS
    return {"a.parquet": people(6_000, 1), "b.parquet": pa.Table.from_pandas(fatal)}
