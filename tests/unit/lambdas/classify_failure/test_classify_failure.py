from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contract.status import AttemptStatus, FailureKind, JobStatus, SageMakerKind, Shortage
from contract.table.records import attempt_key
from contract.workflow.messages import AttemptFailure
from lambdas.attempts.checksums import ChecksumRules
from lambdas.classify_failure.classify import classify_failure
from lambdas.errors import JobStillRunningError, StaleEventError
from tests.unit.lambdas.builders import STARTED_AT, Stage, failure_event, pointer_event

RULES = ChecksumRules("sampled", lambda: 900.0)
Step = Callable[[dict[str, Any]], dict[str, Any]]
KILLED = {"ProcessingJobStatus": "Failed", "FailureReason": "AlgorithmError: , exit code: 137"}
FULL = {"ProcessingJobStatus": "Failed", "FailureReason": "ClientError: Data download failed:Insufficient disk space"}
LOST = {"ProcessingJobStatus": "Failed", "FailureReason": "InternalServerError: We encountered an internal error."}


def test_a_transient_failure_leaves_the_job_waiting(opened: Stage, classify: Step) -> None:
    decision = classify(failure_event("States.TaskFailed", KILLED))
    assert {name: decision[name] for name in ("execution_id", "job_id", "attempt", "try_again", "kind")} == {
        "execution_id": "e-1",
        "job_id": "delays-ua",
        "attempt": 2,
        "try_again": True,
        "kind": "TRANSIENT",
    }
    assert decision["wait_seconds"] >= 1
    job, attempt = opened.job(), opened.attempt()
    assert (job.status, job.failure_kind, job.ended_at) == (JobStatus.WAITING, FailureKind.TRANSIENT, "")
    assert (attempt.status, attempt.failure_kind) == (AttemptStatus.FAILED, FailureKind.TRANSIENT)
    assert attempt.reason == decision["reason"]
    assert f"streams {attempt.sagemaker_job_name}/*" in attempt.reason
    assert (attempt.rule, attempt.cause) == ("killed", "killed: AlgorithmError: , exit code: 137")
    assert attempt.remedy == "", "nothing is to be done while another attempt follows"


def test_a_failure_of_the_model_ends_the_job(opened: Stage, classify: Step) -> None:
    described = {"ProcessingJobStatus": "Failed", "ExitMessage": "MODEL: delays-ua: digest differs"}
    decision = classify(failure_event("States.TaskFailed", described))
    assert (decision["try_again"], decision["kind"]) == (False, "MODEL")
    job = opened.job()
    assert (job.status, job.failure_kind) == (JobStatus.FAILED, FailureKind.MODEL)
    assert job.reason.startswith("MODEL: delays-ua: digest differs. Register")
    assert job.ended_at
    attempt = opened.attempt()
    assert (attempt.rule, attempt.cause) == ("container: model", "MODEL: delays-ua: digest differs")
    assert attempt.remedy.startswith("Register a corrected version")


def test_a_duplicate_failure_changes_nothing(opened: Stage, classify: Step) -> None:
    first = classify(failure_event("States.TaskFailed", KILLED))
    job, attempt = opened.job(), opened.attempt()
    assert classify(failure_event("States.TaskFailed", KILLED)) == first
    assert (opened.job(), opened.attempt()) == (job, attempt)


def test_attempts_end_at_the_models_max_attempts(opened: Stage, record: Step, classify: Step) -> None:
    decisions = []
    for attempt in (1, 2, 3):
        decisions.append(classify(failure_event("States.TaskFailed", KILLED, attempt=attempt)))
        if decisions[-1]["try_again"]:
            record(decisions[-1])
    assert [decision["try_again"] for decision in decisions] == [True, True, False]
    assert opened.job().status is JobStatus.FAILED
    assert "the last one" in opened.job().reason
    assert [attempt.attempt for attempt in opened.deployment.table.attempts("e-1", "delays-ua")] == [1, 2, 3]


def test_a_late_failure_does_not_end_the_running_attempt(opened: Stage, record: Step, classify: Step) -> None:
    record(classify(failure_event("States.TaskFailed", KILLED)))
    assert opened.job().status is JobStatus.RUNNING
    classify(failure_event("States.TaskFailed", KILLED))
    assert (opened.job().status, opened.job().attempt) == (JobStatus.RUNNING, 2)
    assert opened.attempt(2).status is AttemptStatus.RUNNING


def test_a_late_failure_does_not_reopen_a_successful_job(opened: Stage, verify: Step, classify: Step) -> None:
    opened.commit()
    verify(pointer_event())
    job = opened.job()
    assert classify(failure_event("States.Timeout"))["try_again"] is False
    assert opened.job() == job


def test_attempts_that_could_not_be_opened_count_too(planned: Stage, classify: Step) -> None:
    for attempt in (1, 2, 3):
        decision = classify(failure_event("Lambda.TooManyRequestsException", "slow", attempt=attempt))
        assert decision["try_again"] is (attempt < 3)
        assert planned.attempt(attempt).status is AttemptStatus.FAILED
    assert (planned.job().status, planned.job().attempt) == (JobStatus.FAILED, 3)


def test_an_attempt_far_ahead_of_the_job_is_refused(planned: Stage, classify: Step) -> None:
    with pytest.raises(StaleEventError, match="attempt 3"):
        classify(failure_event("States.Timeout", attempt=3))


def test_a_timeout_with_commits_is_retried(opened: Stage, classify: Step) -> None:
    opened.commit(objects=1)
    assert classify(failure_event("States.Timeout"))["try_again"] is True


def test_a_timeout_without_commits_asks_for_more_time(opened: Stage, classify: Step) -> None:
    decision = classify(failure_event("States.Timeout"))
    assert (decision["try_again"], decision["kind"]) == (False, "CONFIGURATION")
    assert "Raise max_runtime_seconds" in decision["reason"]


def test_commits_of_an_earlier_attempt_are_not_progress(opened: Stage, record: Step, classify: Step) -> None:
    """Also within the second of S3's times: the second attempt has started, and nothing is new."""
    opened.commit(objects=1)
    record(classify(failure_event("States.Timeout")))
    assert classify(failure_event("States.Timeout", attempt=2))["try_again"] is False


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_does_not_change_whether_there_was_progress(
    opened: Stage, record: Step, classify: Step, hours: int
) -> None:
    opened.commit(objects=1)
    for attempt in (1, 2):
        wrong = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
        opened.table.update_item(
            Key=attempt_key("e-1", "delays-ua", attempt),
            UpdateExpression="SET started_at = :wrong",
            ExpressionAttributeValues={":wrong": wrong},
        )
        decision = classify(failure_event("States.Timeout", attempt=attempt))
        assert decision["try_again"] is (attempt == 1)
        if attempt == 1:
            record(decision)


def test_a_failure_without_a_cause_is_classified(opened: Stage, classify: Step) -> None:
    """Step Functions documents no Cause for a timeout."""
    event = {**failure_event("States.Timeout"), "failure": {"Error": "States.Timeout"}}
    decision = classify(event)
    assert decision["try_again"] is False
    assert opened.job().status is JobStatus.FAILED
    assert "max_runtime_seconds" in decision["reason"]


class RunningJobs:
    """Stands for SageMaker: its job runs until it was asked to end `calls` times."""

    def __init__(self, calls: int = 1) -> None:
        self.calls = calls
        self.ended: list[tuple[SageMakerKind, str]] = []

    def end(self, kind: SageMakerKind, name: str) -> None:
        self.ended.append((kind, name))
        if len(self.ended) <= self.calls:
            raise JobStillRunningError(name, "Stopping")


@pytest.mark.parametrize(
    "error", ["States.Timeout", "SageMaker.SdkClientException", "SageMaker.ResourceInUseException"]
)
def test_nothing_is_recorded_while_the_attempts_job_runs(opened: Stage, error: str) -> None:
    failure = AttemptFailure("e-1", "delays-ua", 1, {"Error": error, "Cause": ""})
    jobs = RunningJobs()
    name = opened.attempt().sagemaker_job_name
    with pytest.raises(JobStillRunningError, match=name):
        classify_failure(failure, opened.deployment, jobs, RULES)
    assert (opened.job().status, opened.attempt().status) == (JobStatus.RUNNING, AttemptStatus.RUNNING)
    classify_failure(failure, opened.deployment, jobs, RULES)
    assert jobs.ended == [(SageMakerKind.PROCESSING, name)] * 2
    assert opened.attempt().status is AttemptStatus.FAILED


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("States.TaskFailed", '{"ProcessingJobStatus": "Failed", "FailureReason": "exit code: 137"}'),
        ("States.TaskFailed", '{"ProcessingJobStatus": "Stopped"}'),
        ("OutputIncompleteError", '{"errorMessage": "an output is missing"}'),
        ("Lambda.TooManyRequestsException", "slow"),
    ],
)
def test_a_job_that_is_known_to_have_ended_is_not_asked_about(opened: Stage, error: str, cause: str) -> None:
    jobs = RunningJobs()
    classify_failure(
        AttemptFailure("e-1", "delays-ua", 1, {"Error": error, "Cause": cause}), opened.deployment, jobs, RULES
    )
    assert jobs.ended == []


def test_an_attempt_without_a_job_has_none_to_end(planned: Stage) -> None:
    jobs = RunningJobs()
    failure = AttemptFailure("e-1", "delays-ua", 1, {"Error": "States.Timeout", "Cause": ""})
    classify_failure(failure, planned.deployment, jobs, RULES)
    assert jobs.ended == []


def test_a_job_that_does_not_end_ends_the_attempts(opened: Stage, classify: Step) -> None:
    name = opened.attempt().sagemaker_job_name
    cause = {"errorType": "JobStillRunningError", "errorMessage": str(JobStillRunningError(name, "Stopping"))}
    decision = classify(failure_event("JobStillRunningError", cause))
    assert decision["try_again"] is False
    assert f"SageMaker job '{name}'" in opened.job().reason
    assert "Stop the SageMaker job by hand, then resume the execution: `fleetscore resume e-1`" in opened.job().reason


def test_an_attempt_after_one_that_was_killed_has_smaller_batches(opened: Stage, record: Step, classify: Step) -> None:
    plan = record(classify(failure_event("States.TaskFailed", KILLED)))
    assert plan["environment"]["FLEETSCORE_BATCH_ROWS"] == "8192"
    assert plan["environment"]["FLEETSCORE_ATTEMPT"] == "2"
    first, second = opened.attempt(1), opened.attempt(2)
    assert (first.batch_rows, first.changes, first.shortage) == (65_536, (), Shortage.MEMORY)
    change = "rows per batch 65,536 → 8,192: attempt 1 ran out of memory"
    assert (second.batch_rows, second.changes, second.shortage) == (8_192, (change,), None)
    assert opened.job().changes == (change,)


def test_changes_stay_when_a_later_attempt_fails_for_another_reason(
    opened: Stage, record: Step, classify: Step
) -> None:
    record(classify(failure_event("States.TaskFailed", FULL)))
    plan = record(classify(failure_event("States.TaskFailed", LOST, attempt=2)))
    assert plan["cluster"]["VolumeSizeInGB"] == opened.attempt(3).volume_size_gb == 60
    assert opened.attempt(3).changes == ("volume 30 GB → 60 GB: attempt 1 ran out of disk space",)


def test_a_timeout_with_progress_is_a_change_too(opened: Stage, record: Step, classify: Step) -> None:
    opened.commit(objects=1)
    record(classify(failure_event("States.Timeout")))
    assert opened.attempt(2).changes == ("goes on where attempt 1 ran out of time",)


def test_repeated_events_change_the_settings_once(opened: Stage, record: Step, classify: Step) -> None:
    decision = classify(failure_event("States.TaskFailed", KILLED))
    assert classify(failure_event("States.TaskFailed", KILLED)) == decision
    plan = record(decision)
    assert record(decision) == plan
    assert opened.attempt(2).batch_rows == 8_192


def test_a_repeated_refusal_counts_its_wait_once(opened: Stage, classify: Step, record: Step) -> None:
    text = (
        "The account-level service limit 'ml.m5.large for processing job usage' is 2 Instances, with current "
        "utilization of 2 Instances and a request delta of 2 Instances."
    )
    event = {**failure_event("SageMaker.ResourceLimitExceeded", text), "entered_at": STARTED_AT}
    first = classify(event)
    assert (first["attempt"], first["try_again"]) == (1, True)
    assert classify(event) == first
    assert opened.job().waited_seconds == first["wait_seconds"]
    record({**pointer_event(), "entered_at": STARTED_AT})
    second = classify(event)
    assert opened.job().waited_seconds == first["wait_seconds"] + second["wait_seconds"]
