"""Each row of the decision table by a failure as AWS, the container or a function reports it."""

import json
from typing import Any

import pytest

from contract.status import FailureKind
from lambdas.attempts.failure_cause import read_cause
from lambdas.classify_failure.decision_table import DECISION_TABLE, Again
from lambdas.classify_failure.decisions import find_row

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


CASES: list[tuple[str, tuple[str, str], FailureKind, Again]] = [
    ("object replaced", raised("ObjectReplacedError", "a.parquet"), FailureKind.DATA, Again.NO),
    (
        "artifact is not the one that was asked for",
        raised("TrainedArtifactError", "no fleetscore.json"),
        FailureKind.MODEL,
        Again.NO,
    ),
    ("artifact missing", raised("ArtifactMissingError", "no artifact"), FailureKind.TRANSIENT, Again.YES),
    ("model contended", raised("ModelContendedError", "changed"), FailureKind.TRANSIENT, Again.YES),
    (
        "no spot capacity",
        (FAILED, trained("Stopped", SecondaryStatus="MaxWaitTimeExceeded")),
        FailureKind.CAPACITY,
        Again.YES,
    ),
    (
        "out of time, by its run time",
        (FAILED, trained("Stopped", SecondaryStatus="MaxRuntimeExceeded")),
        FailureKind.TRANSIENT,
        Again.WITH_PROGRESS,
    ),
    ("stopped", (FAILED, trained("Stopped", SecondaryStatus="Stopped")), FailureKind.STOPPED, Again.NO),
    (
        "container: data",
        (FAILED, trained("Failed", FailureReason="AlgorithmError: DATA: label 'late' is null in a row, exit code: 1")),
        FailureKind.DATA,
        Again.NO,
    ),
    ("output incomplete", raised("OutputIncompleteError", "no marker"), FailureKind.TRANSIENT, Again.YES),
    ("message of another release", raised("InvalidInputError", "got 2"), FailureKind.CONFIGURATION, Again.NO),
    (
        "out of time, by its run time",
        (FAILED, timed("Stopped", 3_600, 3_600)),
        FailureKind.TRANSIENT,
        Again.WITH_PROGRESS,
    ),
    (
        "out of time, by its run time",
        (FAILED, timed("Failed", 3_605.2, 3_600, ExitMessage="TRANSIENT: stopped by SIGTERM")),
        FailureKind.TRANSIENT,
        Again.WITH_PROGRESS,
    ),
    (
        "out of time, by its text",
        (FAILED, described(FailureReason="The job exceeded its maximum runtime")),
        FailureKind.TRANSIENT,
        Again.WITH_PROGRESS,
    ),
    ("out of time, by the workflow's clock", ("States.Timeout", ""), FailureKind.TRANSIENT, Again.WITH_PROGRESS),
    ("stopped", (FAILED, timed("Stopped", 12, 3_600)), FailureKind.STOPPED, Again.NO),
    (
        "stopped",
        (FAILED, described("Stopped", ExitMessage="TRANSIENT: stopped by SIGTERM")),
        FailureKind.STOPPED,
        Again.NO,
    ),
    (
        "container: configuration",
        (FAILED, described(ExitMessage="CONFIGURATION: job.json lacks 'models'")),
        FailureKind.CONFIGURATION,
        Again.NO,
    ),
    (
        "container: model",
        (FAILED, described(ExitMessage="MODEL: delays-ua: digest differs", FailureReason="AlgorithmError: exit 1")),
        FailureKind.MODEL,
        Again.NO,
    ),
    (
        "container: model",
        (FAILED, described(FailureReason="AlgorithmError: MODEL: delays-ua: digest differs")),
        FailureKind.MODEL,
        Again.NO,
    ),
    (
        "container: data",
        (FAILED, described(ExitMessage="TRANSIENT: stopped early\nDATA: a.parquet is not Parquet")),
        FailureKind.DATA,
        Again.NO,
    ),
    (
        "container: data",
        (FAILED, described(ExitMessage="DATA: a.parquet: column 'Throttled' is missing")),
        FailureKind.DATA,
        Again.NO,
    ),
    (
        "container: model",
        (FAILED, described(ExitMessage="UNKNOWN: it brokeMODEL: delays-ua: digest differs")),
        FailureKind.MODEL,
        Again.NO,
    ),
    (
        "unknown",
        (FAILED, described(ExitMessage="UNKNOWN: METADATA: surprising")),
        FailureKind.UNKNOWN,
        Again.ONCE,
    ),
    ("container: transient", (FAILED, described(ExitMessage="TRANSIENT: disk")), FailureKind.TRANSIENT, Again.YES),
    (
        "quota",
        ("SageMaker.ResourceLimitExceededException", "The account-level service limit is 0 Instances"),
        FailureKind.CAPACITY,
        Again.YES,
    ),
    ("no capacity", refused("ResourceLimitExceeded"), FailureKind.CAPACITY, Again.YES),
    (
        "no capacity",
        (FAILED, described(FailureReason="CapacityError: Unable to provision requested ML compute capacity.")),
        FailureKind.CAPACITY,
        Again.YES,
    ),
    (
        "no capacity",
        (FAILED, described(FailureReason="InsufficientInstanceCapacity")),
        FailureKind.CAPACITY,
        Again.YES,
    ),
    ("access denied", ("States.Permissions", "no role"), FailureKind.CONFIGURATION, Again.NO),
    ("access denied, by its text", refused("AccessDeniedException"), FailureKind.CONFIGURATION, Again.NO),
    (
        "access denied, by its text",
        raised("ClientError", "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied"),
        FailureKind.CONFIGURATION,
        Again.NO,
    ),
    ("throttled", refused("ThrottlingException"), FailureKind.TRANSIENT, Again.YES),
    (
        "throttled",
        raised("ClientError", "An error occurred (ProvisionedThroughputExceededException) when calling PutItem"),
        FailureKind.TRANSIENT,
        Again.YES,
    ),
    ("invalid request", refused("ValidationException"), FailureKind.CONFIGURATION, Again.NO),
    (
        "image cannot be used",
        (FAILED, described(FailureReason="ClientError: API error (404): manifest for x not found: manifest unknown")),
        FailureKind.CONFIGURATION,
        Again.NO,
    ),
    (
        "object gone",
        (FAILED, described(FailureReason='ClientError: Failed to download data. No S3 objects found under "s3://a"')),
        FailureKind.DATA,
        Again.NO,
    ),
    (
        "key or bucket missing",
        (FAILED, described(FailureReason="ClientError: Failed to upload data. NoSuchBucket")),
        FailureKind.CONFIGURATION,
        Again.NO,
    ),
    (
        "job's name in use",
        ("SageMaker.ResourceInUseException", "Job name must be unique"),
        FailureKind.TRANSIENT,
        Again.YES,
    ),
    ("killed", (FAILED, described(FailureReason="AlgorithmError: , exit code: 137")), FailureKind.TRANSIENT, Again.YES),
    (
        "internal error of a service",
        (FAILED, described(FailureReason="InternalServerError: We encountered an internal error. Please try again.")),
        FailureKind.TRANSIENT,
        Again.YES,
    ),
    ("internal error of a service", refused("SomethingNew", 503), FailureKind.TRANSIENT, Again.YES),
    (
        "function failed for its service",
        ("Lambda.SdkClientException", "Unable to execute HTTP request"),
        FailureKind.TRANSIENT,
        Again.YES,
    ),
    ("unknown", (FAILED, described(FailureReason="AlgorithmError: , exit code: 1")), FailureKind.UNKNOWN, Again.ONCE),
    ("unknown", ("KeyError", "'surprise'"), FailureKind.UNKNOWN, Again.ONCE),
    ("unknown", ("States.DataLimitExceeded", "[1, 2]"), FailureKind.UNKNOWN, Again.ONCE),
]


@pytest.mark.parametrize(("name", "failure", "kind", "again"), CASES)
def test_a_failure_is_decided_by_its_row(name: str, failure: tuple[str, str], kind: FailureKind, again: Again) -> None:
    error, cause = failure
    row = find_row(error, read_cause(cause))
    assert (row.name, row.kind, row.again) == (name, kind, again)


def test_every_row_has_a_case() -> None:
    assert {row.name for row in DECISION_TABLE} == {name for name, *_ in CASES}


def test_each_row_has_a_name_of_its_own_and_says_what_to_do() -> None:
    assert len({row.name for row in DECISION_TABLE}) == len(DECISION_TABLE)
    assert all(row.remedy and not row.remedy.endswith(".") for row in DECISION_TABLE)


def test_rows_that_are_tried_again_wait_and_others_do_not() -> None:
    for row in DECISION_TABLE:
        assert (row.base_seconds > 0) == (row.again is not Again.NO), row.name


def test_the_last_row_takes_everything() -> None:
    last = DECISION_TABLE[-1]
    assert not last.errors
    assert not last.statuses
    assert not last.exit_prefix
    assert last.pattern is None
    assert not last.ran_out_of_time
    assert not last.waited_too_long


def test_failures_of_the_data_the_model_or_the_setup_are_never_tried_again() -> None:
    final = {FailureKind.DATA, FailureKind.MODEL, FailureKind.CONFIGURATION, FailureKind.STOPPED}
    for row in DECISION_TABLE:
        assert (row.again is Again.NO) == (row.kind in final), row.name
