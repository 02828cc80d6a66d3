"""Injection of faults into the calls that Task states make to other services."""

import secrets
import time
from collections.abc import Callable
from typing import Any

from embedded.faults import ClockSkew, DelayedListing, Faults, KeyUnusable, ServerError, SlowRequest
from embedded.faults.request_errors import ServiceError, error_of
from embedded.faults.request_faults import RequestFault, ServiceRequest
from embedded.ministack.step_functions.tasks import TaskError

_OF_CLIENTS = (ClockSkew, DelayedListing)
"""Faults that do not concern Task states."""
_OPTIMIZED = "arn:aws:states:::"
_NAMES = {
    "dynamodb": ("DynamoDB", "AmazonDynamoDB"),
    "events": ("EventBridge", "AmazonEventBridge"),
    "lambda": ("Lambda", "AWSLambda"),
    "s3": ("S3", "Amazon S3"),
    "sagemaker": ("SageMaker", "AmazonSageMaker"),
    "sns": ("SNS", "AmazonSNS"),
    "sqs": ("SQS", "AmazonSQS"),
    "states": ("StepFunctions", "AWSStepFunctions"),
}
"""Names of each service in errors and in their causes."""
_RESOURCES = ("FunctionName", "TableName", "ProcessingJobName", "TrainingJobName", "StateMachineArn", "QueueUrl")

_faults: Faults | None = None


def install_task_faults(faults: Faults) -> None:
    """Let the calls of Task states meet the faults that were added for them."""
    global _faults  # noqa: PLW0603 - one embedded AWS per server process
    _faults = faults


def with_faults(
    call: Callable[[], Any],
    resource: str,
    parameters: Any,
    *,
    role_arn: str,
    execution_name: str,
    begin: Callable[[], Any] | None = None,
) -> Any:
    """Make a call, or fail as a fault says.

    Args:
        begin: The call without the wait for its work, if `call` waits.

    Raises:
        TaskError: `call` raised it, or a fault happened; error and cause read as on AWS.
    """
    request = _describe(resource, parameters, f"{role_arn.rpartition('/')[2]}/{execution_name}")
    fault = _strike(request)
    if fault is None:
        return call()
    if isinstance(fault, ServerError) and fault.when == "after":
        (begin or call)()
    error = _error(fault, request, role_arn)
    raise TaskError(_error_name(fault, request.service, error), _cause(request.service, error))


def check_s3(operation: str, place: str, *, role_arn: str, execution_name: str, error_name: str) -> None:
    """Let the read or write of a Map in S3 meet its faults. `place` is `bucket/key`.

    Raises:
        TaskError: Named `error_name`, if a fault happened.
    """
    caller = f"{role_arn.rpartition('/')[2]}/{execution_name}"
    request = ServiceRequest("s3", operation, (place, place.partition("/")[0]), caller)
    fault = _strike(request)
    if fault is not None:
        raise TaskError(error_name, _cause("s3", _error(fault, request, role_arn)))


def _strike(request: ServiceRequest) -> RequestFault | None:
    """Return the fault that ends a request, if any. Slow requests have waited then."""
    if _faults is None or not _faults.scheduled(RequestFault):
        return None
    place = f"{request.service}:{request.operation} of {request.caller} on {', '.join(request.resources[:1])}"
    fault = _faults.strike(
        RequestFault, place, lambda each: each.concerns(request) and not isinstance(each, _OF_CLIENTS)
    )
    if isinstance(fault, SlowRequest):
        time.sleep(fault.seconds)
        return None
    return fault


def _error(fault: RequestFault, request: ServiceRequest, role_arn: str) -> ServiceError:
    role = role_arn.rpartition("/")[2]
    principal = f"arn:aws:sts::{role_arn.split(':')[4]}:assumed-role/{role}/{secrets.token_hex(16)}"
    target = request.resources[0] if request.resources else "*"
    return error_of(fault, request.service, request.operation, principal=principal, resource=target)


def _describe(resource: str, parameters: Any, caller: str) -> ServiceRequest:
    if not resource.startswith(_OPTIMIZED):
        return ServiceRequest("lambda", "Invoke", (resource, resource.rpartition(":")[2]), caller)
    service, _, action = resource.removeprefix(_OPTIMIZED).partition(".")[0].partition(":")
    if service == "aws-sdk":
        service, _, action = action.partition(":")
    given = parameters if isinstance(parameters, dict) else {}
    found = [str(given[name]) for name in _RESOURCES if name in given]
    names = [each.rpartition(":")[2].rpartition("/")[2] for each in found]
    return ServiceRequest(service, f"{action[:1].upper()}{action[1:]}", tuple(dict.fromkeys([*found, *names])), caller)


def _error_name(fault: RequestFault, service: str, error: ServiceError) -> str:
    """Return the error's name: the general one of a service unless the API's error has its own."""
    name, product = _NAMES.get(service, (service, service))
    if service == "lambda" and not error.code.startswith("AccessDenied"):
        return f"Lambda.{error.code}"
    if service == "dynamodb" and error.status == 400 and not isinstance(fault, KeyUnusable):
        return f"DynamoDB.{error.code}"
    return f"{name}.{product}Exception"


def _cause(service: str, error: ServiceError) -> str:
    product = _NAMES.get(service, (service, service))[1]
    details = f"Service: {product}; Status Code: {error.status}; Error Code: {error.code}"
    return f"{error.message} ({details}; Request ID: {secrets.token_hex(16)}; Proxy: null)"
