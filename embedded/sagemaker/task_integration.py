"""Task resources that start SageMaker jobs, with and without `.sync`."""

from __future__ import annotations

import json
from typing import Any

from embedded.ministack.step_functions.tasks import TaskCall, TaskError
from embedded.sagemaker.errors import ApiError
from embedded.sagemaker.jobs.job import Job, Status, epoch_milliseconds
from embedded.sagemaker.jobs.job_types import JOB_TYPES
from embedded.sagemaker.service import SageMakerService
from embedded.threads import start_thread

RESOURCES = {f"arn:aws:states:::sagemaker:create{each.kind.name}Job": each for each in JOB_TYPES}
_MANAGED_TAG = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
_NAMED_ERRORS = {"ResourceLimitExceeded", "ResourceInUse", "ResourceNotFound"}


def run_job(service: SageMakerService, call: TaskCall) -> dict[str, Any]:
    """Create the job and, for `.sync`, block until it has ended or the call is cancelled.

    The interpreter has already checked the state machine's role.

    Returns:
        The job's description with timestamps in epoch milliseconds, as Step Functions passes it on.
        Without `.sync`, the response of the Create operation.

    Raises:
        TaskError: The request was refused, or the job did not complete.
    """
    is_sync = call.resource.endswith(".sync")
    job_type = RESOURCES[call.resource.removesuffix(".sync")]
    name = call.parameters.get(job_type.kind.member("Name"))
    request = dict(call.parameters)
    if is_sync and isinstance(request.get("Tags", []), list):
        request["Tags"] = [*request.get("Tags", []), _MANAGED_TAG]
    try:
        answer = service.call(f"Create{job_type.kind.name}Job", request) or {}
        if not is_sync:
            return answer
        call.submitted(answer)
        job = service.job(str(name), job_type)
    except ApiError as error:
        raise TaskError(error_name(error), error.as_cause()) from error
    return _wait(service, job, call)


def error_name(error: ApiError) -> str:
    """Return the name under which Step Functions reports an error of the SageMaker API."""
    return f"SageMaker.{error.code}Exception" if error.code in _NAMED_ERRORS else "SageMaker.AmazonSageMakerException"


def _wait(service: SageMakerService, job: Job, call: TaskCall) -> dict[str, Any]:
    # A stopped job ends soon, which ends the wait. A thread stops it, because a cancellation must not block.
    take_back = call.on_cancel(lambda: start_thread(service.stop, job, name=f"stop-{job.name}"))
    try:
        job.wait()
    finally:
        take_back()
    if call.cancelled.is_set():
        return {}
    result = {**job.describe(epoch_milliseconds), "Tags": dict(job.tags)}
    if job.status is not Status.COMPLETED:
        raise TaskError("States.TaskFailed", json.dumps(result))
    return result
