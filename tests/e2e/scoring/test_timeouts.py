"""A state that times out leaves its SageMaker job running: nothing else starts until it has ended."""

from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from contract.status import ExecutionStatus, FailureKind, JobStatus
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people


def changed_states(stage: Stage, **changes: dict[str, Any]) -> AbstractContextManager[None]:
    """Change fields of states of a job, and let the workflow wait two seconds for it."""

    def change(definition: dict[str, Any]) -> None:
        states = definition["States"]["ScoreModels"]["ItemProcessor"]["States"]
        del states["RunProcessingJob"]["TimeoutSecondsPath"]
        for name, fields in {"RunProcessingJob": {"TimeoutSeconds": 2}, **changes}.items():
            states[name].update(fields)

    return stage.changed_workflow(change)


def test_a_job_whose_state_timed_out_has_ended_before_its_attempt_is_closed(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("endless", {"a.parquet": people(40, 1)})
    stage.register("endless", Gate(shared_folder), dataset="endless")
    with changed_states(stage):
        snapshot = stage.run({"models": ["endless"]}, "timed-out")

    (job,) = snapshot.jobs
    assert (snapshot.status, job.failure_kind) == (ExecutionStatus.FAILED, FailureKind.CONFIGURATION)
    assert "States.Timeout" in job.reason
    assert "max_runtime_seconds" in job.reason
    (attempt,) = stage.executions.attempts("timed-out")["endless"]
    (described,) = stage.processing_jobs("timed-out")
    assert described["ProcessingJobStatus"] == "Stopped"
    assert described["ProcessingEndTime"] <= datetime.fromisoformat(attempt.ended_at)


def test_a_job_that_does_not_end_in_time_fails_without_another_attempt(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("stubborn", {"a.parquet": people(40, 1)})
    stage.register("stubborn", Gate(shared_folder), dataset="stubborn")
    # Without a second call, ClassifyFailure sees the job only while it is stopping.
    with changed_states(stage, ClassifyFailure={"Retry": []}):
        snapshot = stage.run({"models": ["stubborn"]}, "left-running")

    (job,) = snapshot.jobs
    assert (snapshot.status, job.status, job.failure_kind) == (
        ExecutionStatus.FAILED,
        JobStatus.FAILED,
        FailureKind.STOPPED,
    )
    (attempt,) = stage.executions.attempts("left-running")["stubborn"]
    assert attempt.sagemaker_job_name in job.reason
    assert "Stop the SageMaker job by hand" in job.reason
    assert "its status is Stopping" in job.reason
