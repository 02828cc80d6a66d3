import json

import pytest

from lambdas.attempts.failure_cause import Cause, read_cause


@pytest.mark.parametrize("text", ["", "plain text", "[1, 2]", "3", '{"other": 1}', '"quoted"'])
def test_a_cause_of_no_known_form_is_kept_as_it_is(text: str) -> None:
    assert read_cause(text) == Cause(message=text)


def test_the_error_of_a_function_is_its_message() -> None:
    cause = json.dumps({"errorMessage": "a\nb", "errorType": "InvalidRequestError", "stackTrace": ["x"]})
    assert read_cause(cause) == Cause(message="a\nb")


def test_of_a_processing_job_the_exit_message_comes_first() -> None:
    described = {"ProcessingJobStatus": "Failed", "ExitMessage": " DATA: x ", "FailureReason": "AlgorithmError"}
    assert read_cause(json.dumps(described)) == Cause("DATA: x", "Failed", "DATA: x", "AlgorithmError")


@pytest.mark.parametrize(
    ("detail", "out_of_time", "waited"),
    [("MaxRuntimeExceeded", True, False), ("MaxWaitTimeExceeded", False, True), ("Stopped", False, False)],
)
def test_of_a_training_job_the_secondary_status_says_which_limit_it_met(
    detail: str, out_of_time: bool, waited: bool
) -> None:
    cause = read_cause(json.dumps({"TrainingJobStatus": "Stopped", "SecondaryStatus": detail}))
    assert (cause.status, cause.ran_out_of_time, cause.waited_too_long) == ("Stopped", out_of_time, waited)
    assert cause.message == f"the training job ended as {detail}"


def test_of_a_nested_execution_its_own_error_and_cause_are_said() -> None:
    described = {"ExecutionArn": "arn", "Status": "FAILED", "Error": "Fleetscore.Failed", "Cause": "no recipe"}
    assert read_cause(json.dumps(described)) == Cause(message="Fleetscore.Failed: no recipe")
    assert (
        read_cause(json.dumps({"ExecutionArn": "arn", "Status": "ABORTED"})).message == "the execution ended as ABORTED"
    )


@pytest.mark.parametrize(
    ("started", "ended", "limit", "expected"),
    [(0, 60_000, 60, True), (0, 59_999, 60, False), (None, 60_000, 60, False), (0, 60_000, None, False)],
)
def test_a_job_ran_out_of_time_when_it_ran_as_long_as_it_may(
    started: int | None, ended: int, limit: int | None, expected: bool
) -> None:
    described = {
        "ProcessingJobStatus": "Stopped",
        "StoppingCondition": {"MaxRuntimeInSeconds": limit},
        "ProcessingStartTime": started,
        "ProcessingEndTime": ended,
    }
    assert read_cause(json.dumps(described)).ran_out_of_time is expected
