"""The Task resource createTrainingJob."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded.ministack.step_functions.tasks import TaskCall, TaskError
from embedded.sagemaker.jobs.job import Status
from embedded.sagemaker.jobs.job_types import TRAINING
from embedded.sagemaker.service import SageMakerService
from embedded.sagemaker.task_integration import run_job
from embedded.step_functions.executions.cancellation import Cancellation
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws
from tests.unit.embedded.sagemaker.jobs.training.requests import training_request

Trainer = Callable[..., str]


def a_call(parameters: dict[str, Any], suffix: str = ".sync", token: Cancellation | None = None) -> TaskCall:
    token = token or Cancellation()
    return TaskCall(
        resource=f"arn:aws:states:::sagemaker:createTrainingJob{suffix}",
        parameters=parameters,
        execution_arn="arn:aws:states:us-east-1:123456789012:execution:machine:one",
        role_arn="arn:aws:iam::123456789012:role/path/machine",
        cancelled=token.event,
        on_cancel=token.on_cancel,
    )


def test_sync_returns_the_completed_jobs_description(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    request = training_request(aws, trainer('print("auc=1")'), prefix, Tags=[{"Key": "mine", "Value": "1"}])
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "auc", "Regex": "auc=([0-9]+)"}]
    result = run_job(service, a_call(request))
    assert result["TrainingJobStatus"] == "Completed"
    assert result["ModelArtifacts"]["S3ModelArtifacts"].endswith("/output/model.tar.gz")
    moments = [
        result["TrainingEndTime"],
        result["SecondaryStatusTransitions"][0]["StartTime"],
        result["SecondaryStatusTransitions"][-1]["EndTime"],
        result["FinalMetricDataList"][0]["Timestamp"],
    ]
    assert all(isinstance(moment, int) and moment > 1_000_000_000_000 for moment in moments)
    assert result["Tags"] == {"mine": "1", "MANAGED_BY_AWS": "STARTED_BY_STEP_FUNCTIONS"}
    assert json.loads(json.dumps(result)) == result


def test_sync_fails_with_the_description_as_cause(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer('(ML / "output/failure").write_text("DATA: why")\nsys.exit(1)')
    request = training_request(aws, image, prefix)
    with pytest.raises(TaskError) as error:
        run_job(service, a_call(request))
    assert error.value.error == "States.TaskFailed"
    cause = json.loads(error.value.cause)
    assert (cause["TrainingJobStatus"], cause["TrainingJobName"]) == ("Failed", request["TrainingJobName"])
    assert cause["FailureReason"] == "AlgorithmError: DATA: why, exit code: 1"


def test_a_job_over_its_runtime_limit_fails_the_task(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    request = training_request(aws, trainer("signal.pause()"), prefix, StoppingCondition={"MaxRuntimeInSeconds": 1})
    with pytest.raises(TaskError) as error:
        run_job(service, a_call(request))
    assert error.value.error == "States.TaskFailed"
    assert json.loads(error.value.cause)["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_api_errors_are_named_as_by_step_functions(service: SageMakerService, aws: Aws, prefix: str) -> None:
    request = training_request(aws, "none", prefix)
    run_job(service, a_call(request, suffix=""))
    with pytest.raises(TaskError) as in_use:
        run_job(service, a_call(request))
    assert in_use.value.error == "SageMaker.ResourceInUseException"
    with pytest.raises(TaskError) as invalid:
        run_job(service, a_call({**request, "TrainingJobName": "a_b"}))
    assert invalid.value.error == "SageMaker.AmazonSageMakerException"
    assert "Error Code: ValidationException" in invalid.value.cause


def test_without_sync_the_arn_is_returned_at_once(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    request = training_request(aws, trainer("signal.pause()"), prefix)
    result = run_job(service, a_call(request, suffix=""))
    job = service.job(request["TrainingJobName"], TRAINING)
    assert result == {"TrainingJobArn": job.arn}
    assert (job.tags, job.status) == ({}, Status.IN_PROGRESS)


def test_a_cancelled_call_stops_its_job(service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str) -> None:
    request = training_request(aws, trainer("signal.pause()"), prefix)
    token = Cancellation()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(run_job, service, a_call(request, token=token))
        token.cancel()
        assert result.result(DEADLINE_SECONDS) == {}
    job = service.job(request["TrainingJobName"], TRAINING)
    assert job.wait(DEADLINE_SECONDS)
    assert job.status is Status.STOPPED
