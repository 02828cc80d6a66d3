"""`arn:aws:states:::sagemaker:createProcessingJob`, `…:createTrainingJob` and their `.sync` forms in Step Functions."""

from __future__ import annotations

import json
from typing import Any

from embedded.sagemaker.errors import ApiError
from embedded.sagemaker.jobs.job import Job, Status, epoch_milliseconds
from embedded.sagemaker.jobs.job_types import JOB_TYPES, JobType
from embedded.sagemaker.service import SageMakerService
from embedded.seams import TaskCall, TaskError

RESOURCES = {f"arn:aws:states:::sagemaker:create{each.kind.word}Job": each for each in JOB_TYPES}
_MANAGED_TAG = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
_NAMED_ERRORS = {"ResourceLimitExceeded", "ResourceInUse", "ResourceNotFound"}
_CANCELLATION_SECONDS = 0.5


def run_job(service: SageMakerService, call: TaskCall) -> dict[str, Any]:
    """Create the job and, for `.sync`, block until it has ended or the call is cancelled.

    Returns the describe result with timestamps in epoch milliseconds. Raises TaskError in the forms of Step Functions.
    """
    is_sync = call.resource.endswith(".sync")
    job_type = RESOURCES[call.resource.removesuffix(".sync")]
    name = call.parameters.get(job_type.kind.member("Name"))
    role_arn = call.parameters.get("RoleArn")
    request = dict(call.parameters)
    if is_sync and isinstance(request.get("Tags", []), list):
        request["Tags"] = [*request.get("Tags", []), _MANAGED_TAG]
    try:
        if isinstance(name, str) and isinstance(role_arn, str):
            _check_permissions(service, job_type, name, role_arn, call, is_sync=is_sync)
        answer = service.call(f"Create{job_type.kind.word}Job", request) or {}
        if not is_sync:
            return answer
        job = service.job(str(name), job_type)
    except ApiError as error:
        raise TaskError(error_name(error), error.as_cause()) from error
    return _wait(service, job, call)


def error_name(error: ApiError) -> str:
    """The name under which Step Functions reports an error of the SageMaker API."""
    return f"SageMaker.{error.code}Exception" if error.code in _NAMED_ERRORS else "SageMaker.AmazonSageMakerException"


def _wait(service: SageMakerService, job: Job, call: TaskCall) -> dict[str, Any]:
    # The end of the job wakes this thread at once. A cancellation is an event that nothing else can wait for
    # together with the job, so it is looked at twice a second.
    while not job.wait(_CANCELLATION_SECONDS):
        if call.cancelled.is_set():
            service.stop(job)
            return {}
    result = {**job.describe(epoch_milliseconds), "Tags": dict(job.tags)}
    if job.status is not Status.COMPLETED:
        raise TaskError("States.TaskFailed", json.dumps(result))
    return result


def _check_permissions(
    service: SageMakerService, job_type: JobType, job_name: str, role_arn: str, call: TaskCall, *, is_sync: bool
) -> None:
    """What the state machine's role needs. On AWS those on the rule are asked for when the machine is made."""
    word, job_arn = job_type.kind.word, service.arn(job_name, job_type)
    needed: list[tuple[str, str, dict[str, Any]]] = [
        (f"sagemaker:Create{word}Job", job_arn, {}),
        ("iam:PassRole", role_arn, {"iam:PassedToService": "sagemaker.amazonaws.com"}),
    ]
    if is_sync:
        _, _, _, region, account, _ = job_arn.split(":", 5)
        rule = f"arn:aws:events:{region}:{account}:rule/StepFunctionsGetEventsForSageMaker{word}JobsRule"
        needed += [
            ("sagemaker:AddTags", job_arn, {}),
            (f"sagemaker:Describe{word}Job", job_arn, {}),
            (f"sagemaker:Stop{word}Job", job_arn, {}),
            ("events:PutTargets", rule, {}),
            ("events:PutRule", rule, {}),
            ("events:DescribeRule", rule, {}),
        ]
    denied = [
        f"{action} on resource: {arn}"
        for action, arn, ctx in needed
        if not service.authorize(call.role_arn, action, arn, ctx)
    ]
    if denied:
        account, _, name = call.role_arn.partition(":role/")
        user = f"{account.replace(':iam:', ':sts:')}:assumed-role/{name.rpartition('/')[2]}"
        raise ApiError("AccessDeniedException", f"User: {user} is not authorized to perform: {'; '.join(denied)}")
