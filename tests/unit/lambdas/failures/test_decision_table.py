"""Each rule of the decision table, with a failure as AWS, the container or a function reports it."""

import json
from typing import Any

import pytest

from contract.status import FailureKind
from lambdas.attempts.failure_cause import read_cause
from lambdas.failures.decision_table import DECISION_TABLE
from lambdas.failures.decisions import find_rule
from lambdas.failures.failure_rule import AGAIN, Retry

FAILED = "States.TaskFailed"
API_ERROR = "SageMaker.AmazonSageMakerException"


def processing_cause(status: str = "Failed", **fields: Any) -> str:
    """Return the Cause of a failed processing job: its describe result."""
    return json.dumps({"ProcessingJobName": "test-delays-ua-0-1", "ProcessingJobStatus": status, **fields})


def timed_processing_cause(status: str, seconds: float, limit: int, **fields: Any) -> str:
    times = {"ProcessingStartTime": 1_767_607_200_000, "ProcessingEndTime": 1_767_607_200_000 + seconds * 1_000}
    return processing_cause(status, StoppingCondition={"MaxRuntimeInSeconds": limit}, **times, **fields)


def failure_reason(text: str) -> tuple[str, str]:
    """Return the failure of a processing job that SageMaker explains."""
    return FAILED, processing_cause(FailureReason=text)


def exit_message(text: str) -> tuple[str, str]:
    """Return the failure of a processing job whose container explains it."""
    return FAILED, processing_cause(ExitMessage=text)


def training_cause(status: str, **fields: Any) -> str:
    """Return the Cause of a failed training job."""
    return json.dumps({"TrainingJobName": "test-delays-ua-0-1", "TrainingJobStatus": status, **fields})


def function_error(name: str, message: str) -> tuple[str, str]:
    return name, json.dumps({"errorMessage": message, "errorType": name, "stackTrace": []})


QUOTA = (
    "The account-level service limit 'ml.p3.2xlarge for processing job usage' is {limit} Instances, with current "
    "utilization of {used} Instances and a request delta of {delta} Instances. Please use AWS Service Quotas to "
    "request an increase for this quota. (Service: AmazonSageMaker; Status Code: 400; Error Code: "
    "ResourceLimitExceeded; Request ID: 1; Proxy: null)"
)
VOLUME_QUOTA = (
    "The request delta of 1025 GBs for 'Size of EBS volume for a processing job instance' is greater than the "
    "account-level service-limit of 1024 GBs. Please use AWS Service Quotas to request an increase for this quota. "
    "(Service: AmazonSageMaker; Status Code: 400; Error Code: ResourceLimitExceeded)"
)


def api_error(code: str, status: int = 400) -> tuple[str, str]:
    details = f"Service: AmazonSageMaker; Status Code: {status}; Error Code: {code}; Request ID: 1; Proxy: null"
    return API_ERROR, f"It was not done ({details})"


CASES: list[tuple[str, tuple[str, str], FailureKind, Retry]] = [
    (
        "tolerance exceeded",
        function_error("ToleranceExceededError", "jobs: 3 of 20 have failed"),
        FailureKind.STOPPED,
        Retry.NO,
    ),
    ("object replaced", function_error("ObjectReplacedError", "a.parquet"), FailureKind.DATA, Retry.NO),
    (
        "artifact does not match its spec",
        function_error("TrainedArtifactError", "no fleetscore.json"),
        FailureKind.MODEL,
        Retry.NO,
    ),
    ("artifact missing", function_error("ArtifactMissingError", "no artifact"), FailureKind.TRANSIENT, Retry.YES),
    ("model contended", function_error("ModelContendedError", "changed"), FailureKind.TRANSIENT, Retry.YES),
    (
        "no spot capacity",
        (FAILED, training_cause("Stopped", SecondaryStatus="MaxWaitTimeExceeded")),
        FailureKind.CAPACITY,
        Retry.YES,
    ),
    (
        "runtime limit, by job duration",
        (FAILED, training_cause("Stopped", SecondaryStatus="MaxRuntimeExceeded")),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    ("stopped", (FAILED, training_cause("Stopped", SecondaryStatus="Stopped")), FailureKind.STOPPED, Retry.NO),
    (
        "container: data",
        (
            FAILED,
            training_cause("Failed", FailureReason="AlgorithmError: DATA: label 'late' is null in a row, exit code: 1"),
        ),
        FailureKind.DATA,
        Retry.NO,
    ),
    ("output incomplete", function_error("OutputIncompleteError", "no commit"), FailureKind.TRANSIENT, Retry.YES),
    ("unexpected output", function_error("UnexpectedOutputError", "victim/a.parquet"), FailureKind.MODEL, Retry.NO),
    ("job left running", function_error("JobStillRunningError", "is Stopping"), FailureKind.STOPPED, Retry.NO),
    ("message of another release", function_error("InvalidInputError", "got 2"), FailureKind.CONFIGURATION, Retry.NO),
    (
        "runtime limit, by job duration",
        (FAILED, timed_processing_cause("Stopped", 3_600, 3_600)),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    (
        "runtime limit, by job duration",
        (FAILED, timed_processing_cause("Failed", 3_605.2, 3_600, ExitMessage="TRANSIENT: stopped by SIGTERM")),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    (
        "runtime limit, by message",
        failure_reason("The job exceeded its maximum runtime"),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    ("runtime limit, by workflow timeout", ("States.Timeout", ""), FailureKind.TRANSIENT, Retry.WITH_PROGRESS),
    ("stopped", (FAILED, timed_processing_cause("Stopped", 12, 3_600)), FailureKind.STOPPED, Retry.NO),
    (
        "stopped",
        (FAILED, processing_cause("Stopped", ExitMessage="TRANSIENT: stopped by SIGTERM")),
        FailureKind.STOPPED,
        Retry.NO,
    ),
    (
        "container: configuration",
        exit_message("CONFIGURATION: job.json lacks 'models'"),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    (
        "container: model",
        (
            FAILED,
            processing_cause(ExitMessage="MODEL: delays-ua: digest differs", FailureReason="AlgorithmError: exit 1"),
        ),
        FailureKind.MODEL,
        Retry.NO,
    ),
    (
        "container: model",
        failure_reason("AlgorithmError: MODEL: delays-ua: digest differs"),
        FailureKind.MODEL,
        Retry.NO,
    ),
    (
        "container: data",
        exit_message("TRANSIENT: stopped early\nDATA: a.parquet is not Parquet"),
        FailureKind.DATA,
        Retry.NO,
    ),
    ("container: data", exit_message("DATA: a.parquet: column 'Throttled' is missing"), FailureKind.DATA, Retry.NO),
    (
        "container: rows that the model cannot score",
        exit_message("MODEL: a.parquet: churn: row 7 cannot be scored: ValueError; at least 1 of 9 rows are bad"),
        FailureKind.MODEL,
        Retry.NO,
    ),
    (
        "container: rows that cannot be read",
        exit_message("DATA: a.csv: churn: row 3 cannot be scored: no int64 in 'visits'; at least 3 rows are bad"),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "container: model",
        exit_message("UNKNOWN: it brokeMODEL: delays-ua: digest differs"),
        FailureKind.MODEL,
        Retry.NO,
    ),
    ("unknown", exit_message("UNKNOWN: METADATA: surprising"), FailureKind.UNKNOWN, Retry.ONCE),
    ("container: transient", exit_message("TRANSIENT: disk"), FailureKind.TRANSIENT, Retry.YES),
    *[
        ("instances above a limit of the account", (error, text), FailureKind.CONFIGURATION, Retry.NO)
        for error, text in (
            ("SageMaker.ResourceLimitExceededException", QUOTA.format(limit=0, used=0, delta=1)),
            ("SageMaker.ResourceLimitExceededException", "The account-level service limit is 0 Instances"),
            (API_ERROR, QUOTA.format(limit=1, used=0, delta=2)),
        )
    ],
    *[
        ("volume above a limit of the account", (error, VOLUME_QUOTA), FailureKind.CONFIGURATION, Retry.NO)
        for error in ("SageMaker.ResourceLimitExceededException", API_ERROR)
    ],
    (
        "quota",
        ("SageMaker.ResourceLimitExceededException", QUOTA.format(limit="1,000", used=4, delta=999)),
        FailureKind.CAPACITY,
        Retry.YES,
    ),
    ("no capacity", (API_ERROR, QUOTA.format(limit=4, used=4, delta=1)), FailureKind.CAPACITY, Retry.YES),
    ("no capacity", api_error("ResourceLimitExceeded"), FailureKind.CAPACITY, Retry.YES),
    (
        "no capacity",
        failure_reason("CapacityError: Unable to provision requested ML compute capacity."),
        FailureKind.CAPACITY,
        Retry.YES,
    ),
    ("no capacity", failure_reason("InsufficientInstanceCapacity"), FailureKind.CAPACITY, Retry.YES),
    ("access denied", ("States.Permissions", "no role"), FailureKind.CONFIGURATION, Retry.NO),
    ("access denied, by message", api_error("AccessDeniedException"), FailureKind.CONFIGURATION, Retry.NO),
    (
        "access denied, by message",
        function_error(
            "ClientError", "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied"
        ),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    ("throttled", api_error("ThrottlingException"), FailureKind.TRANSIENT, Retry.YES),
    (
        "throttled",
        function_error(
            "ClientError", "An error occurred (ProvisionedThroughputExceededException) when calling PutItem"
        ),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    ("invalid request", api_error("ValidationException"), FailureKind.CONFIGURATION, Retry.NO),
    (
        "image cannot be used",
        failure_reason("ClientError: API error (404): manifest for x not found: manifest unknown"),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    # The texts of SageMaker in aws/sagemaker-python-sdk#57, #128 and #1968, and in awslabs/graphstorm#354.
    (
        "image cannot be used",
        failure_reason(
            "ClientError: Cannot pull algorithm container. Either the image does not exist or its "
            "permissions are incorrect."
        ),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    (
        "no free addresses",
        failure_reason(
            "ClientError: Unable to create a network interface, because the subnets do not have "
            "enough free IP addresses."
        ),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    *[
        ("volume full", failure_reason(text), FailureKind.TRANSIENT, Retry.WITH_PROGRESS)
        for text in (
            "ClientError: Data download failed:Insufficient disk space",
            "ClientError: Please use an instance type with more disk space or increase VolumeSizeInGB.",
            "AlgorithmError: OSError: [Errno 28] No space left on device, exit code: 1",
        )
    ],
    (
        "container: volume full",
        exit_message("CONFIGURATION: object 'a': OSError: No space left on device: raise it"),
        FailureKind.TRANSIENT,
        Retry.WITH_PROGRESS,
    ),
    *[
        (
            "container: out of memory",
            exit_message(f"TRANSIENT: 1 of 2: {text}"),
            FailureKind.TRANSIENT,
            Retry.NO,
        )
        for text in (
            "object 'a': a worker was killed (SIGKILL) while scoring object 'a', most likely out of memory",
            "object 'a', model 'm': out of memory, even with few rows per batch",
        )
    ],
    (
        "out of memory",
        failure_reason("AlgorithmError: OutOfMemoryError: , exit code: 1"),
        FailureKind.TRANSIENT,
        Retry.NO,
    ),
    ("instance ended", failure_reason("The instance was terminated"), FailureKind.TRANSIENT, Retry.YES),
    (
        "container: data",
        exit_message("DATA: a.csv: column 'No space left on device' is missing"),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "key not copied",
        failure_reason(
            "ClientError: Data download failed:Failed to download data. S3 key: "
            "s3://datasets/flights/a//b.parquet has an illegal char sub-sequence '//' in it"
        ),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "object archived",
        failure_reason(
            "ClientError: Data download failed: InvalidObjectState: The operation is not valid for "
            "the object's storage class"
        ),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "out of memory",
        failure_reason(
            "ClientError: Please use an instance type with more memory, or reduce the size of job "
            "data processed on an instance."
        ),
        FailureKind.TRANSIENT,
        Retry.NO,
    ),
    *[
        ("artifact gone", (FAILED, cause), FailureKind.MODEL, Retry.NO)
        for cause in (
            processing_cause(
                FailureReason="ClientError: Failed to download data. GetObject failed for s3://models/churn/3/"
                "model.tar.gz: NoSuchKey: The specified key does not exist. Please ensure that it exists."
            ),
            training_cause(
                "Failed",
                FailureReason='ClientError: Failed to download data. No S3 objects found under S3 URL "s3://results/'
                'training/code/sourcedir.tar.gz" given in input data source.',
            ),
            processing_cause(
                FailureReason="ClientError: Data download failed:NoSuchKey (404): s3://m/a/1/model.tar.gz"
            ),
        )
    ],
    (
        "object missing",
        failure_reason("ClientError: Data download failed: 404 for s3://d/model.tar.gz/a.parquet"),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "object missing",
        failure_reason('ClientError: Failed to download data. No S3 objects found under "s3://a"'),
        FailureKind.DATA,
        Retry.NO,
    ),
    (
        "key or bucket missing",
        failure_reason("ClientError: Failed to upload data. NoSuchBucket"),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    (
        "job name in use",
        ("SageMaker.ResourceInUseException", "Job name must be unique"),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    ("killed", failure_reason("AlgorithmError: , exit code: 137"), FailureKind.TRANSIENT, Retry.YES),
    (
        "internal error of a service",
        failure_reason("InternalServerError: We encountered an internal error. Please try again."),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    ("internal error of a service", api_error("SomethingNew", 503), FailureKind.TRANSIENT, Retry.YES),
    (
        "clock of a function is wrong",
        function_error(
            "ClientError",
            "An error occurred (InvalidSignatureException) when calling the PutItem operation: Signature expired: "
            "20260301T010000Z is now earlier than 20260301T014500Z (20260301T020000Z - 15 min.)",
        ),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    (
        "clock of a function is wrong",
        function_error("ClientError", "An error occurred (RequestTimeTooSkewed) when calling the GetObject operation"),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    (
        "function could not be called",
        ("Lambda.SdkClientException", "Unable to execute HTTP request"),
        FailureKind.TRANSIENT,
        Retry.YES,
    ),
    (
        "quota below one job",
        function_error("QuotaTooSmallError", "job 'a': it needs 2 of ml.m5.large, and the quota is 1"),
        FailureKind.CONFIGURATION,
        Retry.NO,
    ),
    (
        "waited too long for a quota",
        function_error("CapacityWaitEndedError", "job 'a' waits no longer for 1 instance of ml.m5.large"),
        FailureKind.CAPACITY,
        Retry.NO,
    ),
    ("unknown", failure_reason("AlgorithmError: , exit code: 1"), FailureKind.UNKNOWN, Retry.ONCE),
    ("unknown", ("KeyError", "'surprise'"), FailureKind.UNKNOWN, Retry.ONCE),
    ("unknown", ("States.DataLimitExceeded", "[1, 2]"), FailureKind.UNKNOWN, Retry.ONCE),
]


@pytest.mark.parametrize(("name", "failure", "kind", "retry"), CASES)
def test_a_failure_matches_its_rule(name: str, failure: tuple[str, str], kind: FailureKind, retry: Retry) -> None:
    error, cause = failure
    rule = find_rule(error, read_cause(cause))
    assert (rule.name, rule.kind, rule.retry) == (name, kind, retry)


STOPPED = "STOPPED: the container got SIGTERM; the objects scored so far are committed, those in progress are not"
ONE_FAILED = "DATA: 1 of 2 objects failed: object 'a.csv': its content is no CSV"


@pytest.mark.parametrize(
    "messages",
    [
        f"{ONE_FAILED} {STOPPED} ",
        f"{STOPPED} {ONE_FAILED} ",
        f"{STOPPED}{STOPPED}{ONE_FAILED} {STOPPED}",
        f"STOPPED:STOPPED:{ONE_FAILED}",
    ],
)
def test_instances_that_were_stopped_do_not_hide_the_one_that_failed(messages: str) -> None:
    error, text = exit_message(messages)
    cause = read_cause(text)
    assert cause.message == cause.exit_message == ONE_FAILED
    assert find_rule(error, cause).kind is FailureKind.DATA


def test_the_messages_of_two_failed_instances_are_both_kept() -> None:
    _, text = exit_message(f"{STOPPED} {ONE_FAILED} MODEL: it raised ")
    assert read_cause(text).message == f"{ONE_FAILED} MODEL: it raised"


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in DECISION_TABLE} == {name for name, *_ in CASES}


def test_rules_have_distinct_names_and_a_remedy() -> None:
    assert len({rule.name for rule in DECISION_TABLE}) == len(DECISION_TABLE)
    assert all(rule.remedy for rule in DECISION_TABLE)
    assert not any(text.endswith(".") for rule in DECISION_TABLE for text in (rule.remedy, rule.training_remedy))


def test_remedies_speak_of_recipes_only_where_a_job_trains() -> None:
    only_trainings = {"artifact does not match its spec", "artifact missing", "model contended", "no spot capacity"}
    named = {rule.name for rule in DECISION_TABLE if "recipe" in rule.remedy or "train" in rule.remedy}
    assert named <= only_trainings


def test_only_rules_with_a_retry_have_a_wait() -> None:
    for rule in DECISION_TABLE:
        may_retry = rule.retry is not Retry.NO or rule.shortage is not None
        assert (rule.base_seconds > 0) == may_retry, rule.name


def test_each_remedy_says_how_to_continue() -> None:
    for rule in DECISION_TABLE:
        assert AGAIN in rule.remedy, rule.name
        assert not rule.training_remedy or AGAIN in rule.training_remedy, rule.name


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
    # Who has waited for a day has had its tries.
    waited = {"waited too long for a quota"}
    for rule in DECISION_TABLE:
        is_final = rule.kind in final or rule.name in waited
        assert (rule.retry is Retry.NO and rule.shortage is None) == is_final, rule.name


def test_remedies_of_refused_requests_name_what_is_limited() -> None:
    volume, instances = (
        find_rule(API_ERROR, read_cause(text)) for text in (VOLUME_QUOTA, QUOTA.format(limit=1, used=0, delta=2))
    )
    assert "volume_size_gb" in volume.remedy
    assert "instance" not in volume.remedy
    assert "instance_count" in instances.remedy
    assert "volume" not in instances.remedy
