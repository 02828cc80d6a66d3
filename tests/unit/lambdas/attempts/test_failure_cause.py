import json

import pytest

from lambdas.attempts.failure_cause import Cause, read_cause


@pytest.mark.parametrize("text", ["", "plain text", "[1, 2]", "3", '{"other": 1}', '"quoted"'])
def test_an_unknown_cause_is_kept_as_text(text: str) -> None:
    assert read_cause(text) == Cause(message=text)


def test_a_functions_error_message_is_the_message() -> None:
    cause = json.dumps({"errorMessage": "a\nb", "errorType": "InvalidRequestError", "stackTrace": ["x"]})
    assert read_cause(cause) == Cause(message="a\nb")


def test_a_processing_jobs_exit_message_comes_first() -> None:
    described = {"ProcessingJobStatus": "Failed", "ExitMessage": " DATA: x ", "FailureReason": "AlgorithmError"}
    assert read_cause(json.dumps(described)) == Cause("DATA: x", "Failed", "DATA: x", "AlgorithmError")


@pytest.mark.parametrize(
    ("detail", "out_of_time", "waited"),
    [("MaxRuntimeExceeded", True, False), ("MaxWaitTimeExceeded", False, True), ("Stopped", False, False)],
)
def test_a_training_jobs_secondary_status_shows_the_limit(detail: str, out_of_time: bool, waited: bool) -> None:
    cause = read_cause(json.dumps({"TrainingJobStatus": "Stopped", "SecondaryStatus": detail}))
    assert (cause.status, cause.ran_out_of_time, cause.waited_too_long) == ("Stopped", out_of_time, waited)
    assert cause.message == f"the training job ended as {detail}"


def test_a_nested_executions_error_and_cause_are_the_message() -> None:
    described = {"ExecutionArn": "arn", "Status": "FAILED", "Error": "Fleetscore.Failed", "Cause": "no recipe"}
    assert read_cause(json.dumps(described)) == Cause(message="Fleetscore.Failed: no recipe")
    assert (
        read_cause(json.dumps({"ExecutionArn": "arn", "Status": "ABORTED"})).message == "the execution ended as ABORTED"
    )


@pytest.mark.parametrize(
    ("started", "ended", "limit", "expected"),
    [(0, 60_000, 60, True), (0, 59_999, 60, False), (None, 60_000, 60, False), (0, 60_000, None, False)],
)
def test_a_job_at_its_run_time_limit_ran_out_of_time(
    started: int | None, ended: int, limit: int | None, expected: bool
) -> None:
    described = {
        "ProcessingJobStatus": "Stopped",
        "StoppingCondition": {"MaxRuntimeInSeconds": limit},
        "ProcessingStartTime": started,
        "ProcessingEndTime": ended,
    }
    assert read_cause(json.dumps(described)).ran_out_of_time is expected
