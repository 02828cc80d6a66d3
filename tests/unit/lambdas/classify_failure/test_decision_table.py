"""Each rule of the decision table by a failure as AWS, the container or a function reports it."""

import json
from typing import Any

import pytest

from contract.status import FailureKind
from lambdas.attempts.failure_cause import read_cause
from lambdas.classify_failure.decision_table import DECISION_TABLE, Retry
from lambdas.classify_failure.decisions import find_rule

FAILED = "States.TaskFailed"
API_ERROR = "SageMaker.AmazonSageMakerException"


def described(status: str = "Failed", **fields: Any) -> str:
    """The Cause of a processing job that ended badly: its describe result."""
    return json.dumps({"ProcessingJobName": "test-delays-ua-0-1", "ProcessingJobStatus": status, **fields})


def timed(status: str, seconds: float, limit: int, **fields: Any) -> str:
    times = {"ProcessingStartTime": 1_767_607_200_000, "ProcessingEndTime": 1_767_607_200_000 + seconds * 1_000}
    return described(status, StoppingCondition={"MaxRuntimeInSeconds": limit}, **times, **fields)


def trained(status: str, **fields: Any) -> str:
    """The Cause of a training job that ended badly."""
    return json.dumps({"TrainingJobName": "test-delays-ua-0-1", "TrainingJobStatus": status, **fields})


def raised(name: str, message: str) -> tuple[str, str]:
    return name, json.dumps({"errorMessage": message, "errorType": name, "stackTrace": []})


def refused(code: str, status: int = 400) -> tuple[str, str]:
    details = f"Service: AmazonSageMaker; Status Code: {status}; Error Code: {code}; Request ID: 1; Proxy: null"
    return API_ERROR, f"It was not done ({details})"


CASES: list[tuple[str, tuple[str, str], FailureKind, Retry]] = [
    ("object replaced", raised("ObjectReplacedError", "a.parquet"), FailureKind.DATA, Retry.NO),
    (
        "artifact does not match its spec",
        raised("TrainedArtifactError", "no fleetscore.json"),
        FailureKind.MODEL,
        Retry.NO,
    ),
    ("artifact missing", raised("ArtifactMissingError", "no artifact"), FailureKind.TRANSIENT, Retry.YES),
    ("model contended", raised("ModelContendedError", "changed"), FailureKind.TRANSIENT, Retry.YES),
    (
        "no spot capacity",
        (FAILED, trained("Stopped", SecondaryStatus="MaxWaitTimeExceeded")),
        FailureKind.CAPACITY,
        Retry.YES,
    ),
    (
        "out of time, by its run time",
        (FAILED, trained("Stopped", SecondaryStatus="MaxRuntimeExceeded")),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    ("stopped", (FAILED, trained("Stopped", SecondaryStatus="Stopped")), FailureKind.STOPPED, Retry.NO),
    (
        "container: data",
        (FAILED, trained("Failed", FailureReason="AlgorithmError: DATA: label 'late' is null in a row, exit code: 1")),
        FailureKind.DATA,
        Retry.NO,
    ),
    ("output incomplete", raised("OutputIncompleteError", "no marker"), FailureKind.TRANSIENT, Retry.YES),
    ("message of another release", raised("InvalidInputError", "got 2"), FailureKind.CONFIGURATION, Retry.NO),
    (
        "out of time, by its run time",
        (FAILED, timed("Stopped", 3_600, 3_600)),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    (
        "out of time, by its run time",
        (FAILED, timed("Failed", 3_605.2, 3_600, ExitMessage="TRANSIENT: stopped by SIGTERM")),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    (
        "out of time, by its text",
        (FAILED, described(FailureReason="The job exceeded its maximum runtime")),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    ("out of time, by the workflow's clock", ("States.Timeout", ""), FailureKind.TRANSIENT, Retry.WITH_PROGRESS),
    ("stopped", (FAILED, timed("Stopped", 12, 3_600)), FailureKind.STOPPED, Retry.NO),
    (
        "stopped",
        (FAILED, described("Stopped", ExitMessage="TRANSIENT: stopped by SIGTERM")),
        FailureKind.STOPPED,
        Retry.NO,
    ),
    (
        "container: configuration",
        (FAILED, described(ExitMessage="CONFIGURATION: job.json lacks 'models'")),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    (
        "container: model",
        (FAILED, described(ExitMessage="MODEL: delays-ua: digest differs", FailureReason="AlgorithmError: exit 1")),
        FailureKind.MODEL,
        Retry.NO,
    ),
    (
        "container: model",
        (FAILED, described(FailureReason="AlgorithmError: MODEL: delays-ua: digest differs")),
        FailureKind.MODEL,
        Retry.NO,
    ),
    (
        "container: data",
        (FAILED, described(ExitMessage="TRANSIENT: stopped early\nDATA: a.parquet is not Parquet")),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "container: data",
        (FAILED, described(ExitMessage="DATA: a.parquet: column 'Throttled' is missing")),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "container: model",
        (FAILED, described(ExitMessage="UNKNOWN: it brokeMODEL: delays-ua: digest differs")),
        FailureKind.MODEL,
        Retry.NO,
    ),
    (
        "unknown",
        (FAILED, described(ExitMessage="UNKNOWN: METADATA: surprising")),
        FailureKind.UNKNOWN,
        Retry.ONCE,
    ),
    ("container: transient", (FAILED, described(ExitMessage="TRANSIENT: disk")), FailureKind.TRANSIENT, Retry.YES),
    (
        "quota",
        ("SageMaker.ResourceLimitExceededException", "The account-level service limit is 0 Instances"),
        FailureKind.CAPACITY,
        Retry.YES,
    ),
    ("no capacity", refused("ResourceLimitExceeded"), FailureKind.CAPACITY, Retry.YES),
    (
        "no capacity",
        (FAILED, described(FailureReason="CapacityError: Unable to provision requested ML compute capacity.")),
        FailureKind.CAPACITY,
        Retry.YES,
    ),
    (
        "no capacity",
        (FAILED, described(FailureReason="InsufficientInstanceCapacity")),
        FailureKind.CAPACITY,
        Retry.YES,
    ),
    ("access denied", ("States.Permissions", "no role"), FailureKind.CONFIGURATION, Retry.NO),
    ("access denied, by its text", refused("AccessDeniedException"), FailureKind.CONFIGURATION, Retry.NO),
    (
        "access denied, by its text",
        raised("ClientError", "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied"),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    ("throttled", refused("ThrottlingException"), FailureKind.TRANSIENT, Retry.YES),
    (
        "throttled",
        raised("ClientError", "An error occurred (ProvisionedThroughputExceededException) when calling PutItem"),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    ("invalid request", refused("ValidationException"), FailureKind.CONFIGURATION, Retry.NO),
    (
        "image cannot be used",
        (FAILED, described(FailureReason="ClientError: API error (404): manifest for x not found: manifest unknown")),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    (
        "object gone",
        (FAILED, described(FailureReason='ClientError: Failed to download data. No S3 objects found under "s3://a"')),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "key or bucket missing",
        (FAILED, described(FailureReason="ClientError: Failed to upload data. NoSuchBucket")),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    (
        "job's name in use",
        ("SageMaker.ResourceInUseException", "Job name must be unique"),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    ("killed", (FAILED, described(FailureReason="AlgorithmError: , exit code: 137")), FailureKind.TRANSIENT, Retry.YES),
    (
        "internal error of a service",
        (FAILED, described(FailureReason="InternalServerError: We encountered an internal error. Please try again.")),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    ("internal error of a service", refused("SomethingNew", 503), FailureKind.TRANSIENT, Retry.YES),
    (
        "function failed for its service",
        ("Lambda.SdkClientException", "Unable to execute HTTP request"),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    ("unknown", (FAILED, described(FailureReason="AlgorithmError: , exit code: 1")), FailureKind.UNKNOWN, Retry.ONCE),
    ("unknown", ("KeyError", "'surprise'"), FailureKind.UNKNOWN, Retry.ONCE),
    ("unknown", ("States.DataLimitExceeded", "[1, 2]"), FailureKind.UNKNOWN, Retry.ONCE),
]


@pytest.mark.parametrize(("name", "failure", "kind", "retry"), CASES)
def test_a_failure_matches_its_rule(name: str, failure: tuple[str, str], kind: FailureKind, retry: Retry) -> None:
    error, cause = failure
    rule = find_rule(error, read_cause(cause))
    assert (rule.name, rule.kind, rule.retry) == (name, kind, retry)


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in DECISION_TABLE} == {name for name, *_ in CASES}


def test_rules_have_distinct_names_and_a_remedy() -> None:
    assert len({rule.name for rule in DECISION_TABLE}) == len(DECISION_TABLE)
    assert all(rule.remedy and not rule.remedy.endswith(".") for rule in DECISION_TABLE)


def test_only_rules_with_a_retry_have_a_wait() -> None:
    for rule in DECISION_TABLE:
        assert (rule.base_seconds > 0) == (rule.retry is not Retry.NO), rule.name


def test_the_last_rule_matches_everything() -> None:
    last = DECISION_TABLE[-1]
    assert not last.errors
    assert not last.statuses
    assert not last.exit_prefix
    assert last.pattern is None
    assert not last.ran_out_of_time
    assert not last.waited_too_long


def test_data_model_and_configuration_failures_are_not_retried() -> None:
    final = {FailureKind.DATA, FailureKind.MODEL, FailureKind.CONFIGURATION, FailureKind.STOPPED}
    for rule in DECISION_TABLE:
        assert (rule.retry is Retry.NO) == (rule.kind in final), rule.name
