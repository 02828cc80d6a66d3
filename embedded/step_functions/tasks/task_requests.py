"""Checks of a Task's API requests against botocore's model."""

from typing import Any

from embedded.ministack.step_functions.tasks import TaskError
from embedded.requests.constraints import constraint_problems
from embedded.requests.operations import service_model
from embedded.requests.violations import log_violations, violation_text

_INTEGRATIONS = {
    "dynamodb": "DynamoDB",
    "events": "EventBridge",
    "lambda": "Lambda",
    "sns": "SNS",
    "sqs": "SQS",
    "states": "StepFunctions",
}
"""Name of each integration in errors. SageMaker is absent: its service checks requests itself."""
_OPTIMIZED = "arn:aws:states:::"


def check_request(resource: str, parameters: Any) -> None:
    """Check patterns, enums, lengths and ranges of a Task's parameters, and log violations.

    A function's ARN as Resource passes its parameters to the function, so they have no model.

    Raises:
        TaskError: A parameter violates the model; error and cause read as on AWS.
    """
    service, _, action = resource.removeprefix(_OPTIMIZED).partition(".")[0].partition(":")
    if not resource.startswith(_OPTIMIZED) or service not in _INTEGRATIONS or not isinstance(parameters, dict):
        return
    model = service_model(service)
    operation = f"{action[:1].upper()}{action[1:]}"
    if operation not in model.operation_names:
        return
    shape = model.operation_model(operation).input_shape
    # Step Functions begins every name with a capital letter; some models do not.
    names = {member.lower(): member for member in shape.members}
    named = {names.get(name.lower(), name): value for name, value in parameters.items()}
    if problems := list(constraint_problems(shape, named)):
        log_violations(f"{model.service_name}.{operation}", problems)
        raise TaskError(f"{_INTEGRATIONS[service]}.ValidationException", violation_text(problems))
