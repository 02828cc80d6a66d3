"""The Task resource createProcessingJob."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded.ministack.step_functions.tasks import TaskCall, TaskError
from embedded.sagemaker.jobs.job import Status
from embedded.sagemaker.service import SageMakerService
from embedded.sagemaker.task_integration import run_job
from embedded.step_functions.executions.cancellation import Cancellation
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws, job_request

BuildImage = Callable[..., str]
RESOURCE = "arn:aws:states:::sagemaker:createProcessingJob"


def a_call(parameters: dict[str, Any], suffix: str = ".sync", token: Cancellation | None = None) -> TaskCall:
    token = token or Cancellation()
    return TaskCall(
        resource=f"{RESOURCE}{suffix}",
        parameters=parameters,
        execution_arn="arn:aws:states:us-east-1:123456789012:execution:machine:one",
        role_arn="arn:aws:iam::123456789012:role/path/machine",
        cancelled=token.event,
        on_cancel=token.on_cancel,
    )


def test_sync_returns_the_completed_jobs_description(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    request = job_request(aws, build_image(""), Tags=[{"Key": "mine", "Value": "1"}])
    result = run_job(service, a_call(request))
    assert result["ProcessingJobStatus"] == "Completed"
    assert isinstance(result["ProcessingEndTime"], int)
    assert result["ProcessingEndTime"] > 1_000_000_000_000
    assert result["Tags"] == {"mine": "1", "MANAGED_BY_AWS": "STARTED_BY_STEP_FUNCTIONS"}
    assert json.loads(json.dumps(result)) == result


def test_sync_fails_with_the_description_as_cause(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    request = job_request(aws, build_image('(ML / "output/message").write_text("why")\nsys.exit(1)'))
    with pytest.raises(TaskError) as error:
        run_job(service, a_call(request))
    assert error.value.error == "States.TaskFailed"
    cause = json.loads(error.value.cause)
    assert (cause["ProcessingJobStatus"], cause["ExitMessage"]) == ("Failed", "why")
    assert cause["ProcessingJobName"] == request["ProcessingJobName"]


def test_api_errors_are_named_as_by_step_functions(service: SageMakerService, aws: Aws) -> None:
    request = job_request(aws, "none")
    run_job(service, a_call(request, suffix=""))
    with pytest.raises(TaskError) as in_use:
        run_job(service, a_call(request))
    assert in_use.value.error == "SageMaker.ResourceInUseException"
    assert in_use.value.cause.startswith("Job name must be unique")
    assert "(Service: AmazonSageMaker; Status Code: 400; Error Code: ResourceInUse; Request ID: " in in_use.value.cause
    with pytest.raises(TaskError) as invalid:
        run_job(service, a_call({**request, "ProcessingJobName": "a_b"}))
    assert invalid.value.error == "SageMaker.AmazonSageMakerException"
    assert "Error Code: ValidationException" in invalid.value.cause


def test_without_sync_the_arn_is_returned_at_once(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    request = job_request(aws, build_image("signal.pause()"))
    result = run_job(service, a_call(request, suffix=""))
    job = service.job(request["ProcessingJobName"])
    assert result == {"ProcessingJobArn": job.arn}
    assert job.tags == {}
    assert job.status is Status.IN_PROGRESS


def test_a_cancelled_call_stops_its_job(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    request = job_request(aws, build_image("signal.pause()"))
    token = Cancellation()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(run_job, service, a_call(request, token=token))
        token.cancel()
        assert result.result(DEADLINE_SECONDS) == {}
    job = service.job(request["ProcessingJobName"])
    assert job.wait(DEADLINE_SECONDS)
    assert job.status is Status.STOPPED
