"""Checks of the state machine's role before Step Functions calls another service with it."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from embedded.ministack.iam.identity import authorize
from embedded.ministack.step_functions.tasks import TaskError
from embedded.sagemaker.requests.condition_keys import condition_keys
from embedded.step_functions.executions.execution import Execution

_STATES = "arn:aws:states:::"

_SAGEMAKER_JOBS = {"createProcessingJob": "Processing", "createTrainingJob": "Training"}
"""Kind of job per integration."""
SAGEMAKER_EVENT_RULES = {
    "createProcessingJob": "StepFunctionsGetEventsForSageMakerProcessingJobsRule",
    "createTrainingJob": "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
}
EXECUTION_EVENT_RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
_DYNAMODB_ACTIONS = {"getItem": "GetItem", "putItem": "PutItem", "updateItem": "UpdateItem", "deleteItem": "DeleteItem"}


@dataclass(frozen=True)
class Permission:
    """An action on a resource; `context` holds the condition keys of the call."""

    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)


def checkable(resource: str) -> bool:
    """Return whether this module knows which permissions a Task resource needs."""
    if resource.startswith("arn:") and ":lambda:" in resource and ":function:" in resource:
        return True
    service, _, action = _base(resource).partition(":")
    return (
        (service == "lambda" and action == "invoke")
        or (service == "sagemaker" and action in _SAGEMAKER_JOBS)
        or (service == "states" and action == "startExecution")
        or (service == "dynamodb" and action in _DYNAMODB_ACTIONS)
        or (service, action) in (("sns", "publish"), ("sqs", "sendMessage"), ("events", "putEvents"))
    )


def check_task(execution: Execution, resource: str, parameters: Any) -> None:
    """Check every permission that a Task needs.

    Raises:
        TaskError: The role lacks a permission; error and cause read as on AWS.
    """
    error, permissions = _needed(execution, resource, parameters if isinstance(parameters, dict) else {})
    for permission in permissions:
        check(execution, permission, error)


def check(execution: Execution, permission: Permission, error: str) -> None:
    """Check one permission of the role.

    Raises:
        TaskError: Named `error`, if the role lacks the permission.
    """
    if not authorize(execution.role_arn, permission.action, permission.resource, permission.context):
        raise TaskError(error, denial(execution, permission, error))


def denial(execution: Execution, permission: Permission, error: str) -> str:
    """Return the Cause of a denied call, worded as on AWS."""
    role = execution.role_arn.rpartition("/")[2]
    session = f"arn:aws:sts::{execution.account_id}:assumed-role/{role}/{secrets.token_hex(16)}"
    names = {"Lambda": "AWSLambda", "SageMaker": "AmazonSageMaker", "StepFunctions": "AWSStepFunctions"}
    service = names.get(error.partition(".")[0], "")
    status = 403 if service == "AWSLambda" else 400
    text = (
        f"User: {session} is not authorized to perform: {permission.action} on resource: {permission.resource} "
        f"because no identity-based policy allows the {permission.action} action"
    )
    if not service:
        return text
    request = f"Error Code: AccessDeniedException; Request ID: {secrets.token_hex(16)}; Proxy: null"
    return f"{text} (Service: {service}; Status Code: {status}; {request})"


def _needed(execution: Execution, resource: str, parameters: dict[str, Any]) -> tuple[str, list[Permission]]:
    base = _base(resource)
    here = f"{execution.region}:{execution.account_id}"
    service, _, action = base.partition(":")
    if ":function:" in resource or base == "lambda:invoke":
        function = parameters.get("FunctionName", "") if base == "lambda:invoke" else resource
        return "Lambda.AWSLambdaException", [
            Permission("lambda:InvokeFunction", _arn(function, f"lambda:{here}:function:"))
        ]
    match service:
        case "sagemaker":
            error = "SageMaker.AmazonSageMakerException"
            permissions = _sagemaker(here, action, parameters, sync=".sync" in resource)
        case "states":
            error = "StepFunctions.AWSStepFunctionsException"
            permissions = _nested(str(parameters.get("StateMachineArn", "")), sync=".sync" in resource)
        case "dynamodb":
            error = "DynamoDB.AmazonDynamoDBException"
            table = _arn(parameters.get("TableName", ""), f"dynamodb:{here}:table/")
            permissions = [Permission(f"dynamodb:{_DYNAMODB_ACTIONS[action]}", table)]
        case "sns":
            error = "SNS.AmazonSNSException"
            permissions = [Permission("sns:Publish", str(parameters.get("TopicArn", "")))]
        case "sqs":
            error = "SQS.AmazonSQSException"
            queue = str(parameters.get("QueueUrl", "")).rpartition("/")[2]
            permissions = [Permission("sqs:SendMessage", f"arn:aws:sqs:{here}:{queue}")]
        case "events":
            error = "EventBridge.AmazonEventBridgeException"
            buses = {str(entry.get("EventBusName", "default")) for entry in parameters.get("Entries", [])}
            permissions = [
                Permission("events:PutEvents", _arn(bus, f"events:{here}:event-bus/")) for bus in sorted(buses)
            ]
        case _:
            error, permissions = "States.Permissions", []
    return error, permissions


def _arn(name: str, prefix: str) -> str:
    return name if name.startswith("arn:") else f"arn:aws:{prefix}{name}"


def _nested(machine: str, *, sync: bool) -> list[Permission]:
    executions = machine.replace(":stateMachine:", ":execution:") + ":*"
    waiting = ("DescribeExecution", "StopExecution") if sync else ()
    return [
        Permission("states:StartExecution", machine),
        *(Permission(f"states:{action}", executions) for action in waiting),
    ]


def _sagemaker(here: str, action: str, parameters: dict[str, Any], *, sync: bool) -> list[Permission]:
    kind = _SAGEMAKER_JOBS[action]
    name = str(parameters.get(f"{kind}JobName", ""))
    job = f"arn:aws:sagemaker:{here}:{kind.lower()}-job/{name.lower()}"
    permissions = [Permission(f"sagemaker:Create{kind}Job", job, condition_keys(parameters))]
    if sync:
        # Step Functions tags the jobs that it waits for, polls them when an event is late, and
        # stops them when the execution is stopped.
        permissions += [
            Permission("sagemaker:AddTags", job),
            Permission(f"sagemaker:Describe{kind}Job", job),
            Permission(f"sagemaker:Stop{kind}Job", job),
        ]
    if "RoleArn" in parameters:
        passed_to = {"iam:PassedToService": "sagemaker.amazonaws.com"}
        permissions.append(Permission("iam:PassRole", str(parameters["RoleArn"]), passed_to))
    return permissions


def _base(resource: str) -> str:
    """Return `sagemaker:createProcessingJob` for
    `arn:aws:states:::sagemaker:createProcessingJob.sync`.
    """
    return resource.removeprefix(_STATES).partition(".")[0] if resource.startswith(_STATES) else ""
