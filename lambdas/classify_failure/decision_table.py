"""The decision table: what each kind of failure looks like, and whether the job is retried.

The first rule that matches is used. Texts and error names are those of Step Functions and
SageMaker, as their public documentation and logs show them.
"""

import re

from contract.layout import ARTIFACT_NAME, SOURCE_NAME
from contract.status import FailureKind
from lambdas.classify_failure.failure_rule import FailureRule, Retry

_TRANSIENT_SECONDS = 5
_CAPACITY_SECONDS = 60
_LOGS_REMEDY = "Read the logs, fix the cause, then start a new execution"
_RUNTIME_REMEDY = "Raise max_runtime_seconds or instance_count of the model's compute, then start a new execution"
_RUNTIME_REMEDY_OF_TRAINING = "Raise max_runtime_seconds of the recipe's compute, then train again"
_VOLUME_REMEDY = (
    "Raise volume_size_gb or instance_count of the model's compute, or split large objects. The volume of an "
    "instance_type with local storage is fixed: choose a larger type. Then start a new execution"
)
_VOLUME_REMEDY_OF_TRAINING = (
    "Raise volume_size_gb of the recipe's compute. The volume of an instance_type with local storage is fixed: choose "
    "a larger type. Then train again"
)
_MISSING = ("NoSuchKey", "No S3 objects found", r"(Failed to download data|data download failed).*(Not ?Found|\b404\b)")
"""Patterns of texts about an object that is not in S3."""
_ARCHIVES = (ARTIFACT_NAME, SOURCE_NAME)
"""Names of the objects that hold a model and a training script; objects of datasets have other names."""


def _any(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


DECISION_TABLE: tuple[FailureRule, ...] = (
    FailureRule(
        "object replaced",
        FailureKind.DATA,
        Retry.NO,
        "Let uploads to the dataset end, then start a new execution",
        errors=frozenset({"ObjectReplacedError"}),
    ),
    FailureRule(
        "artifact does not match its spec",
        FailureKind.MODEL,
        Retry.NO,
        "Correct the recipe or the training script, then train again",
        errors=frozenset({"TrainedArtifactError"}),
    ),
    FailureRule(
        "artifact missing",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Train again; if it happens again, read its logs",
        base_seconds=_TRANSIENT_SECONDS,
        errors=frozenset({"ArtifactMissingError"}),
    ),
    FailureRule(
        "model contended",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Train again when no other process changes the model",
        base_seconds=_TRANSIENT_SECONDS,
        errors=frozenset({"ModelContendedError"}),
    ),
    FailureRule(
        "no spot capacity",
        FailureKind.CAPACITY,
        Retry.YES,
        "Raise max_wait_seconds of the recipe's compute, choose another instance_type, or set spot to false",
        base_seconds=_CAPACITY_SECONDS,
        waited_too_long=True,
    ),
    FailureRule(
        "output incomplete",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Start a new execution; if it happens again, read its logs",
        base_seconds=_TRANSIENT_SECONDS,
        errors=frozenset({"OutputIncompleteError"}),
    ),
    FailureRule(
        "unexpected output",
        FailureKind.MODEL,
        Retry.NO,
        "Delete these files, and start a new execution; if they appear again, register a version of the model whose "
        "code writes no files there",
        errors=frozenset({"UnexpectedOutputError"}),
    ),
    FailureRule(
        "job left running",
        FailureKind.STOPPED,
        Retry.NO,
        "Stop the SageMaker job by hand, then start a new execution",
        errors=frozenset({"JobStillRunningError"}),
    ),
    FailureRule(
        "message of another release",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Deploy all stacks and the image of one release, then start a new execution",
        errors=frozenset({"InvalidInputError", "ExecutionNotFoundError", "JobNotFoundError"}),
    ),
    # These come before the statuses: SageMaker reports a job that reached its runtime limit as
    # Stopped, like a job that somebody stopped.
    FailureRule(
        "runtime limit, by job duration",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        _RUNTIME_REMEDY,
        training_remedy=_RUNTIME_REMEDY_OF_TRAINING,
        base_seconds=_TRANSIENT_SECONDS,
        statuses=frozenset({"Stopped", "Stopping", "Failed"}),
        ran_out_of_time=True,
    ),
    FailureRule(
        "runtime limit, by message",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        _RUNTIME_REMEDY,
        training_remedy=_RUNTIME_REMEDY_OF_TRAINING,
        base_seconds=_TRANSIENT_SECONDS,
        pattern=_any(r"MaxRuntime(InSeconds)?\b.*exceed", r"exceed\w* .{0,40}max\w* ?run ?time"),
    ),
    FailureRule(
        "runtime limit, by workflow timeout",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        _RUNTIME_REMEDY,
        training_remedy=_RUNTIME_REMEDY_OF_TRAINING,
        base_seconds=_TRANSIENT_SECONDS,
        errors=frozenset({"States.Timeout", "States.HeartbeatTimeout"}),
    ),
    FailureRule(
        "stopped",
        FailureKind.STOPPED,
        Retry.NO,
        "Somebody stopped the job: start a new execution when it may run",
        statuses=frozenset({"Stopped", "Stopping"}),
    ),
    # The container's own message is more precise than the service's message about the container.
    FailureRule(
        "container: volume full",
        FailureKind.CONFIGURATION,
        Retry.NO,
        _VOLUME_REMEDY,
        training_remedy=_VOLUME_REMEDY_OF_TRAINING,
        exit_prefix="CONFIGURATION",
        pattern=_any("No space left on device", "Disk quota exceeded"),
    ),
    FailureRule(
        "container: configuration",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Correct the model's record or the request, then start a new execution",
        training_remedy="Correct the recipe or the request, then train again",
        exit_prefix="CONFIGURATION",
    ),
    FailureRule(
        "container: model",
        FailureKind.MODEL,
        Retry.NO,
        "Register a corrected version of the model, then start a new execution",
        training_remedy="Correct the recipe or the training script, then train again",
        exit_prefix="MODEL",
    ),
    FailureRule(
        "container: data",
        FailureKind.DATA,
        Retry.NO,
        "Correct the objects of the dataset, then start a new execution",
        training_remedy="Correct the objects of the training dataset or the recipe, then train again",
        exit_prefix="DATA",
    ),
    FailureRule(
        "container: transient",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Start a new execution; if it happens again, read its logs",
        base_seconds=_TRANSIENT_SECONDS,
        exit_prefix="TRANSIENT",
    ),
    # SageMaker checks a request against the account's limits before it looks at what is free.
    FailureRule(
        "volume above a limit of the account",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Lower volume_size_gb of the model's compute, or raise the named quota, then start a new execution",
        training_remedy="Lower volume_size_gb of the recipe's compute, or raise the named quota, then train again",
        pattern=_any("EBS volume", "volume size", r"\d GBs?\b"),
        above_limit=True,
    ),
    FailureRule(
        "instances above a limit of the account",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Raise the named quota, choose another instance_type, or lower instance_count of the model's compute, then "
        "start a new execution",
        training_remedy="Raise the named quota, or choose another instance_type in the recipe's compute, then train "
        "again",
        above_limit=True,
    ),
    FailureRule(
        "quota",
        FailureKind.CAPACITY,
        Retry.YES,
        "Raise the quota of the instance type for such jobs, choose another instance_type, or lower max_concurrency",
        base_seconds=_CAPACITY_SECONDS,
        errors=frozenset({"SageMaker.ResourceLimitExceededException", "SageMaker.ResourceLimitExceeded"}),
    ),
    FailureRule(
        "no capacity",
        FailureKind.CAPACITY,
        Retry.YES,
        "Choose another instance_type or try at another time",
        base_seconds=_CAPACITY_SECONDS,
        pattern=_any("ResourceLimitExceeded", "CapacityError", r"insufficient\s?(instance\s?)?capacity"),
    ),
    # Before the rule about denied access: SageMaker's text for such an image mentions permissions.
    FailureRule(
        "image cannot be used",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Push the image that the stack names, or set image_uri or image_uris, let the job's role pull it (a policy of "
        "the repository may deny that), and deploy the stack again. Then start a new execution",
        pattern=_any(
            r"Cannot ?Pull (the )?(Algorithm )?Container",
            "image does not exist",
            "manifest unknown",
            "CannotStartContainer",
            "ImageNotFound",
            "exec format",
        ),
    ),
    FailureRule(
        "no free addresses",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Name subnets with more free IP addresses in the setting vpc.subnet_ids (an instance needs up to two), or "
        "lower max_concurrency or instance_count, then start a new execution",
        pattern=_any(
            r"enough free (IP|private) addresses", r"(free|enough) IP ?addresses", "InsufficientFreeAddresses"
        ),
    ),
    # Objects that were committed are not downloaded again, so another attempt needs less room.
    FailureRule(
        "volume full",
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
        _VOLUME_REMEDY,
        training_remedy=_VOLUME_REMEDY_OF_TRAINING,
        base_seconds=_TRANSIENT_SECONDS,
        pattern=_any(
            "No space left on device", r"Insufficient disk ?space", "Disk quota exceeded", r"more disk ?space"
        ),
    ),
    FailureRule(
        "object archived",
        FailureKind.DATA,
        Retry.NO,
        "Restore the object that the message names, or copy it to another storage class, then start a new execution",
        pattern=_any("InvalidObjectState", r"not valid for the object's (storage class|access tier)"),
    ),
    FailureRule(
        "key not copied",
        FailureKind.DATA,
        Retry.NO,
        "Copy the object that the message names to a key without these characters and delete this one, then start a "
        "new execution",
        pattern=_any("illegal char"),
    ),
    FailureRule(
        "access denied",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Grant the missing permission to the role that the message names, or deploy the stacks again",
        errors=frozenset({"States.Permissions"}),
    ),
    FailureRule(
        "access denied, by message",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Grant the missing permission to the role that the message names, or deploy the stacks again",
        pattern=_any(r"Access ?Denied", "not authorized to perform", "UnauthorizedOperation", "Forbidden"),
    ),
    FailureRule(
        "throttled",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Lower max_concurrency, then start a new execution",
        base_seconds=2 * _TRANSIENT_SECONDS,
        pattern=_any(
            "Throttl", "Rate exceeded", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ThroughputExceeded"
        ),
    ),
    FailureRule(
        "invalid request",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Correct the named value in the model's compute, the request or the stage's settings",
        pattern=_any("ValidationException", "ValidationError", "SerializationException", "InvalidParameter"),
    ),
    FailureRule(
        "artifact gone",
        FailureKind.MODEL,
        Retry.NO,
        "Restore the object that the message names, or register the model again, then start a new execution",
        training_remedy="Set the recipe with its script again, then train again",
        pattern=re.compile(
            rf"(?is)\A(?=.*({'|'.join(_MISSING)}))(?=.*/({'|'.join(map(re.escape, _ARCHIVES))})(?![\w/-]))"
        ),
    ),
    FailureRule(
        "object missing",
        FailureKind.DATA,
        Retry.NO,
        "Let uploads to the dataset end, then start a new execution",
        pattern=_any(*_MISSING),
    ),
    FailureRule(
        "key or bucket missing",
        FailureKind.CONFIGURATION,
        Retry.NO,
        "Deploy the stacks of the stage again",
        pattern=_any("NoSuchBucket", "ResourceNotFound", "NotFoundException", r"KMS\.\w*Exception"),
    ),
    FailureRule(
        "job name in use",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Start a new execution",
        base_seconds=_TRANSIENT_SECONDS,
        errors=frozenset({"SageMaker.ResourceInUseException", "SageMaker.ResourceInUse"}),
    ),
    # The instance may be gone, or the container's memory was too small. The next attempt shows
    # which; it needs less memory if objects were committed. So max_attempts limits the retries, not
    # this rule.
    FailureRule(
        "killed",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Choose an instance_type with more memory if it happens again",
        base_seconds=_TRANSIENT_SECONDS,
        pattern=_any(
            r"exit code:? ?137",
            "OutOfMemory",
            "out of memory",
            "instance type with more memory",
            r"\bkilled\b",
            r"instance .{0,40}terminated",
        ),
    ),
    FailureRule(
        "internal error of a service",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Start a new execution",
        base_seconds=_TRANSIENT_SECONDS,
        pattern=_any(
            "Internal ?Server ?Error",
            "internal error",
            "InternalFailure",
            "Service ?Unavailable",
            r"Status Code: 5\d\d",
            "connection (reset|refused|timed out)",
            "EndpointConnectionError",
            "TransactionConflict",
        ),
    ),
    FailureRule(
        "function could not be called",
        FailureKind.TRANSIENT,
        Retry.YES,
        "Start a new execution",
        base_seconds=_TRANSIENT_SECONDS,
        errors=frozenset(
            {
                "Lambda.ServiceException",
                "Lambda.AWSLambdaException",
                "Lambda.SdkClientException",
                "Lambda.TooManyRequestsException",
                "Lambda.ClientExecutionTimeoutException",
                "Lambda.Unknown",
                "Sandbox.Timedout",
                "Runtime.ExitError",
                "ConnectionError",
                "ReadTimeoutError",
                "ConnectTimeoutError",
                "EndpointConnectionError",
            }
        ),
    ),
    FailureRule(
        "unknown",
        FailureKind.UNKNOWN,
        Retry.ONCE,
        _LOGS_REMEDY,
        base_seconds=_TRANSIENT_SECONDS,
    ),
)
