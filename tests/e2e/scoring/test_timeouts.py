"""A state that times out leaves its SageMaker job running: nothing else starts until it has ended."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from contract.status import ExecutionStatus, FailureKind
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people


@pytest.fixture
def impatient(stage: Stage) -> Iterator[Stage]:
    """Yield the stage while its workflow waits two seconds for a job."""
    states, machine = stage.client("stepfunctions"), stage.deployment.state_machine_arn
    deployed = states.describe_state_machine(stateMachineArn=machine)["definition"]
    definition = json.loads(deployed)
    run_job = definition["States"]["ScoreModels"]["ItemProcessor"]["States"]["RunProcessingJob"]
    del run_job["TimeoutSecondsPath"]
    run_job["TimeoutSeconds"] = 2
    states.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
    yield stage
    states.update_state_machine(stateMachineArn=machine, definition=deployed)


def test_a_job_whose_state_timed_out_has_ended_before_its_attempt_is_closed(
    impatient: Stage, shared_folder: Path
) -> None:
    impatient.put_dataset("endless", {"a.parquet": people(40, 1)})
    impatient.register("endless", Gate(shared_folder), dataset="endless")
    snapshot = impatient.run({"models": ["endless"]}, "timed-out")

    (job,) = snapshot.jobs
    assert (snapshot.status, job.failure_kind) == (ExecutionStatus.FAILED, FailureKind.CONFIGURATION)
    assert "States.Timeout" in job.reason
    assert "max_runtime_seconds" in job.reason
    (attempt,) = impatient.executions.attempts("timed-out")["endless"]
    (described,) = impatient.processing_jobs("timed-out")
    assert described["ProcessingJobStatus"] == "Stopped"
    assert described["ProcessingEndTime"] <= datetime.fromisoformat(attempt.ended_at)
