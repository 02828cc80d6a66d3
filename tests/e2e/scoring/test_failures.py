"""A failed job never stops others, is retried only when useful, and is never hidden."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cli.main import main
from cli.stage.executions.execution_snapshot import Snapshot
from contract.status import FINAL_EXECUTION_STATUSES, AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from tests.e2e.failing_models import AlwaysFails, Gate, WaitsToBeKilled
from tests.e2e.stage import Stage, parquet, people, train_xgboost, wait_for


@pytest.fixture
def good(stage: Stage) -> Any:
    """Yield the id of a model that scores its dataset."""
    stage.put_dataset("good", {"a.parquet": people(100, 7)})
    stage.register("good", train_xgboost(1), dataset="good")
    yield "good"
    stage.catalog.set_enabled("good", enabled=False)


def job_of(snapshot: Any, job_id: str) -> Any:
    (job,) = [job for job in snapshot.jobs if job.job_id == job_id]
    return job


def test_a_model_that_raises_does_not_stop_the_others(stage: Stage, good: str) -> None:
    stage.put_dataset("bomb", {"a.parquet": people(50, 1), "b.parquet": people(50, 2)})
    stage.register("bomb", AlwaysFails(), dataset="bomb")
    snapshot = stage.run({"models": ["bomb", good]}, "one-bomb")
    assert snapshot.status == ExecutionStatus.PARTLY_FAILED
    assert snapshot.workflow is not None
    assert (snapshot.workflow.status, snapshot.workflow.error) == ("FAILED", "Fleetscore.PartlyFailed")
    assert "bomb" in snapshot.workflow.cause
    assert job_of(snapshot, good).status is JobStatus.SUCCEEDED
    failed = job_of(snapshot, "bomb")
    assert (failed.status, failed.failure_kind, failed.attempt) == (JobStatus.FAILED, FailureKind.MODEL, 1)
    assert "ValueError at failing_models.py:" in failed.reason
    summary = stage.summary("one-bomb")
    assert (summary.status, summary.jobs_succeeded, summary.jobs_failed) == (ExecutionStatus.PARTLY_FAILED, 1, 1)
    assert {job.job_id: bool(job.predictions_uris) for job in summary.jobs} == {"bomb": False, good: True}


def test_a_corrupt_object_fails_its_job_and_keeps_what_was_scored(stage: Stage) -> None:
    whole = parquet(people(400, 3))
    stage.put_dataset("corrupt", {"good.parquet": people(80, 1), "cut.parquet": whole[: len(whole) // 2]})
    stage.register("on-corrupt", train_xgboost(1), dataset="corrupt")
    snapshot = stage.run({"models": ["on-corrupt"]}, "corrupt-object")
    assert snapshot.status == ExecutionStatus.FAILED
    failed = job_of(snapshot, "on-corrupt")
    assert (failed.failure_kind, failed.attempt) == (FailureKind.DATA, 1)
    assert "cut.parquet" in failed.reason
    assert list(stage.predictions("corrupt", "on-corrupt", "corrupt-object")) == ["good.parquet"]
    assert [commit.object for commit in stage.commits("corrupt-object", "on-corrupt")] == ["good.parquet"]


def test_a_retry_after_a_killed_instance_scores_only_missing_objects(stage: Stage, shared_folder: Path) -> None:
    """The first attempt commits one object and is killed. The second scores only the other one."""
    fatal = people(70, 2).to_pandas()
    fatal.loc[3, "visits"] = WaitsToBeKilled.FATAL_VISITS
    stage.put_dataset("killed", {"a.parquet": people(6_000, 1), "b.parquet": pa.Table.from_pandas(fatal)})
    stage.register("mortal", WaitsToBeKilled(shared_folder), dataset="killed")
    execution_id = stage.executions.start('{"models": ["mortal"]}', "killed-once")
    wait_for((shared_folder / "waiting").exists, "an object is committed and another one is scored")
    kill_containers()
    snapshot = stage.watch(execution_id)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    first, second = stage.executions.attempts("killed-once")["mortal"]
    assert (first.status, first.failure_kind, first.object_count) == (AttemptStatus.FAILED, FailureKind.TRANSIENT, 2)
    assert (second.status, second.object_count) == (AttemptStatus.SUCCEEDED, 1)
    assert first.sagemaker_job_name != second.sagemaker_job_name
    outputs = stage.predictions("killed", "mortal", "killed-once")
    assert {key: table.num_rows for key, table in outputs.items()} == {"a.parquet": 6_000, "b.parquet": 70}
    assert job_of(snapshot, "mortal").rows_scored == 6_070


def kill_containers() -> None:
    """Kill the first process of each running container, as the kernel does when memory is short."""
    listed = subprocess.run(["ps", "-Ao", "pid=,ppid=,command="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, _ in processes}

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    found = [int(pid) for pid, _, command in processes if command.endswith("-m launcher") and is_ours(int(pid))]
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def test_an_object_replaced_while_it_is_scored_fails_the_job(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("replaced", {"a.parquet": people(40, 1)})
    stage.register("gate", Gate(shared_folder), dataset="replaced")
    execution_id = stage.executions.start('{"models": ["gate"]}', "replaced-object")
    wait_for((shared_folder / "waiting").exists, "the model waits")
    stage.put_dataset("replaced", {"a.parquet": people(41, 2)})
    (shared_folder / "open").touch()
    snapshot = stage.watch(execution_id)
    failed = job_of(snapshot, "gate")
    assert (snapshot.status, failed.failure_kind, failed.attempt) == (ExecutionStatus.FAILED, FailureKind.DATA, 1)
    assert "a.parquet" in failed.reason


def test_stopping_an_execution_stops_its_jobs_and_closes_its_records(
    stage: Stage, shared_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.put_dataset("stopped", {"a.parquet": people(40, 1)})
    stage.register("stopped", Gate(shared_folder), dataset="stopped")
    execution_id = stage.executions.start('{"models": ["stopped"]}', "stopped-execution")
    wait_for((shared_folder / "waiting").exists, "the model waits")
    stepfunctions, arn = stage.client("stepfunctions"), stage.executions.execution_arn(execution_id)
    stepfunctions.stop_execution(executionArn=arn, cause="enough")
    assert main(["watch", "--json", execution_id]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["status"], printed["ended"], printed["record"]["status"]) == ("ABORTED", True, "FAILED")
    assert "The execution was stopped by hand: enough" in printed["reason"]

    def statuses() -> list[str]:
        return [job["ProcessingJobStatus"] for job in stage.processing_jobs(execution_id)]

    def closed() -> Snapshot | None:
        seen = stage.executions.snapshot(execution_id)
        return seen if seen.record is not None and seen.record.status in FINAL_EXECUTION_STATUSES else None

    wait_for(lambda: statuses() == ["Stopped"], "its one job is stopped")
    snapshot = wait_for(closed, "its records are closed")
    assert snapshot.status in ("ABORTED", ExecutionStatus.FAILED)
    job = job_of(snapshot, "stopped")
    assert job.status is JobStatus.FAILED
    assert "ABORTED" in job.reason or "stopped" in job.reason
    assert stage.summary(execution_id).status is ExecutionStatus.FAILED

    # The records are closed, so a redrive starts no job and fails.
    stepfunctions.redrive_execution(executionArn=arn)
    wait_for(lambda: stepfunctions.describe_execution(executionArn=arn)["status"] != "RUNNING", "the redrive ends")
    assert stepfunctions.describe_execution(executionArn=arn)["status"] == "FAILED"
    assert statuses() == ["Stopped"]
    assert stage.summary(execution_id).status is ExecutionStatus.FAILED


def test_attempts_are_recorded_with_reason_and_end_time(stage: Stage) -> None:
    attempts = stage.executions.attempts("one-bomb")["bomb"]
    assert [(attempt.attempt, attempt.status) for attempt in attempts] == [(1, AttemptStatus.FAILED)]
    assert attempts[0].reason
    assert attempts[0].ended_at > attempts[0].started_at
