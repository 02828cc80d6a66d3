"""The accounting of a whole execution, in the deployed stage."""

from pathlib import Path

from contract.status import ExecutionStatus, JobStatus
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people, wait_for


def test_a_file_below_a_folder_of_no_job_fails_the_execution_by_name(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("accounted", {"a.parquet": people(40, 1)})
    stage.register("accounted", Gate(shared_folder), dataset="accounted")
    execution_id = stage.executions.start('{"models": ["accounted"]}', "with-a-stranger")
    wait_for((shared_folder / "waiting").exists, "the model waits")
    folder = "predictions/dataset=accounted/execution_id=with-a-stranger/job_id=stranger/"
    stage.client("s3").put_object(Bucket=stage.deployment.results_bucket, Key=f"{folder}a.parquet", Body=b"stray")
    (shared_folder / "open").touch()
    snapshot = stage.watch(execution_id)
    assert [job.status for job in snapshot.jobs] == [JobStatus.SUCCEEDED]
    assert snapshot.status == ExecutionStatus.PARTLY_FAILED
    assert snapshot.workflow is not None
    assert f"{folder}: no job of the execution writes there" in snapshot.workflow.cause
    summary = stage.summary(execution_id)
    assert summary.violations == (f"{folder}: no job of the execution writes there",)
    assert (summary.objects_pinned, summary.objects_committed, summary.objects_failed) == (1, 1, 0)
