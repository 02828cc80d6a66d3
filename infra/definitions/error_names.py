"""Names of the called services' errors in Step Functions, each with its evidence.

AWS raises most of them only in rare situations, so the table names the evidence for each. Retry
entries take their names from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Service(Enum):
    """A service that the definitions call, by the prefix of its names."""

    LAMBDA = "Lambda"
    SAGEMAKER = "SageMaker"
    STEP_FUNCTIONS = "StepFunctions"
    STATES = "States"
    """Step Functions itself. The Map's reader and writer report S3's errors under these names."""


class Seen(Enum):
    """Evidence for a name, strongest first."""

    DOCUMENTED = "AWS's documentation"
    RECORDED = "a recording of real executions, published with a test suite"
    LOGGED = "public logs of executions"
    CODED = "public state machines, without a log that shows it"


class Retry(Enum):
    """The Retry entry that names the error."""

    NEVER = "another call would fail again, or the failure is classified"
    UNAVAILABLE = "the service did not do what was asked, and may do it a moment later"
    CRASHED = "the function ran out of time or memory"
    WAITS = "a quota of jobs is used up: ClassifyFailure lets the job wait"
    QUOTA = "a quota is used up until another job or execution ends"


@dataclass(frozen=True)
class ErrorName:
    """One name, with its source."""

    name: str
    service: Service
    retry: Retry
    seen: Seen
    where: str


_SERVICE_EXCEPTIONS = "Step Functions guide, 'Handle transient Lambda service exceptions'"
_ERROR_HANDLING = "Step Functions guide, 'Handling errors in Step Functions workflows'"
_SNAPSHOTS = "LocalStack's AWS-validated snapshots of Step Functions"
_SAGEMAKER_PROJECT = "Step Functions guide, sample project 'Train a machine learning model'"

ERROR_NAMES = (
    ErrorName("Lambda.ServiceException", Service.LAMBDA, Retry.UNAVAILABLE, Seen.DOCUMENTED, _SERVICE_EXCEPTIONS),
    ErrorName("Lambda.AWSLambdaException", Service.LAMBDA, Retry.UNAVAILABLE, Seen.DOCUMENTED, _SERVICE_EXCEPTIONS),
    ErrorName("Lambda.SdkClientException", Service.LAMBDA, Retry.UNAVAILABLE, Seen.DOCUMENTED, _SERVICE_EXCEPTIONS),
    ErrorName(
        "Lambda.TooManyRequestsException", Service.LAMBDA, Retry.UNAVAILABLE, Seen.DOCUMENTED, _SERVICE_EXCEPTIONS
    ),
    ErrorName(
        "Lambda.ClientExecutionTimeoutException",
        Service.LAMBDA,
        Retry.UNAVAILABLE,
        Seen.DOCUMENTED,
        _SERVICE_EXCEPTIONS,
    ),
    ErrorName("Lambda.Unknown", Service.LAMBDA, Retry.CRASHED, Seen.DOCUMENTED, _ERROR_HANDLING),
    ErrorName("Sandbox.Timedout", Service.LAMBDA, Retry.CRASHED, Seen.DOCUMENTED, _ERROR_HANDLING),
    ErrorName("Runtime.ExitError", Service.LAMBDA, Retry.CRASHED, Seen.LOGGED, "a function that ran out of memory"),
    # Throttling, a refused request and a missing permission have this name too; only the Cause
    # tells them apart.
    ErrorName(
        "SageMaker.AmazonSageMakerException",
        Service.SAGEMAKER,
        Retry.UNAVAILABLE,
        Seen.DOCUMENTED,
        _SAGEMAKER_PROJECT,
    ),
    ErrorName(
        "SageMaker.ResourceLimitExceededException",
        Service.SAGEMAKER,
        Retry.WAITS,
        Seen.DOCUMENTED,
        f"{_SAGEMAKER_PROJECT}; public logs",
    ),
    ErrorName(
        "SageMaker.ResourceInUseException", Service.SAGEMAKER, Retry.NEVER, Seen.LOGGED, "a job name that was used"
    ),
    ErrorName("SageMaker.ResourceLimitExceeded", Service.SAGEMAKER, Retry.WAITS, Seen.CODED, "several repositories"),
    ErrorName(
        "SageMaker.ThrottlingException", Service.SAGEMAKER, Retry.UNAVAILABLE, Seen.CODED, "several repositories"
    ),
    ErrorName("SageMaker.ResourceInUse", Service.SAGEMAKER, Retry.NEVER, Seen.CODED, "the form of the API's own code"),
    ErrorName(
        "StepFunctions.AWSStepFunctionsException", Service.STEP_FUNCTIONS, Retry.UNAVAILABLE, Seen.RECORDED, _SNAPSHOTS
    ),
    ErrorName(
        "StepFunctions.ExecutionAlreadyExistsException",
        Service.STEP_FUNCTIONS,
        Retry.NEVER,
        Seen.RECORDED,
        _SNAPSHOTS,
    ),
    # The form of the recorded names, for the error that the documentation names without its ending.
    ErrorName(
        "StepFunctions.ExecutionLimitExceededException",
        Service.STEP_FUNCTIONS,
        Retry.QUOTA,
        Seen.CODED,
        "the form of the recorded names",
    ),
    ErrorName(
        "StepFunctions.ExecutionLimitExceeded",
        Service.STEP_FUNCTIONS,
        Retry.QUOTA,
        Seen.DOCUMENTED,
        "Step Functions guide, 'Start a new AWS Step Functions state machine'",
    ),
    *(
        ErrorName(f"States.{name}", Service.STATES, Retry.NEVER, Seen.DOCUMENTED, _ERROR_HANDLING)
        for name in (
            "TaskFailed",
            "Timeout",
            "HeartbeatTimeout",
            "Permissions",
            "Runtime",
            "DataLimitExceeded",
            "ItemReaderFailed",
            "ResultWriterFailed",
            "ExceedToleratedFailureThreshold",
        )
    ),
)
"""Every name that the definitions and the classification of failures rely on."""


def names_of(service: Service, *retries: Retry) -> list[str]:
    """Return the names of a service's errors that one Retry entry lists."""
    return [error.name for error in _of(service) if error.retry in retries]


def _of(service: Service) -> Iterator[ErrorName]:
    return (error for error in ERROR_NAMES if error.service is service)
