import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from contract.status import ExecutionStatus
from contract.workflow.messages import ExecutionOutcome
from lambdas.stage.messaging.task_tokens import TaskTokens, token_of

REQUEST = json.dumps({"models": ["a"], "task_token": "AAAA"})


class StepFunctions:
    """Accepts one result, then reports the token as timed out."""

    def __init__(self, error: Exception | None = None) -> None:
        self.answers: list[dict[str, Any]] = []
        self.error = error

    def send_task_success(self, **answer: str) -> None:
        self._take(answer)

    def send_task_failure(self, **answer: str) -> None:
        self._take(answer)

    def _take(self, answer: dict[str, Any]) -> None:
        if self.error:
            raise self.error
        self.answers.append(answer)
        self.error = ClientError({"Error": {"Code": "TaskTimedOut", "Message": "used"}}, "SendTaskSuccess")


def test_success_is_sent_with_the_outcome() -> None:
    workflow = StepFunctions()
    outcome = ExecutionOutcome(ExecutionStatus.SUCCEEDED, "s3://results/summary.json", "")
    assert TaskTokens(workflow).report("e-1", REQUEST, outcome)
    (answer,) = workflow.answers
    assert answer["taskToken"] == "AAAA"
    told = json.loads(answer["output"])
    assert (told["execution_id"], told["status"], told["summary_uri"]) == (
        "e-1",
        "SUCCEEDED",
        "s3://results/summary.json",
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [(ExecutionStatus.FAILED, "Fleetscore.Failed"), (ExecutionStatus.PARTLY_FAILED, "Fleetscore.PartlyFailed")],
)
def test_failure_is_sent_with_its_reason(status: ExecutionStatus, error: str) -> None:
    workflow = StepFunctions()
    TaskTokens(workflow).report("e-1", REQUEST, ExecutionOutcome(status, "", "one job failed"))
    assert workflow.answers == [{"taskToken": "AAAA", "error": error, "cause": "one job failed"}]


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "SendTaskFailure")


@pytest.mark.parametrize(
    "error",
    [
        *map(refusal, ("InvalidToken", "TaskDoesNotExist", "TaskTimedOut", "ValidationException")),
        ParamValidationError(report="Invalid length for parameter taskToken"),
    ],
)
def test_a_task_that_cannot_be_told_is_not_told_again(error: Exception) -> None:
    outcome = ExecutionOutcome(ExecutionStatus.FAILED, "", "x")
    assert TaskTokens(StepFunctions(error)).report("e-1", REQUEST, outcome)


@pytest.mark.parametrize(
    "error",
    [
        *map(refusal, ("ThrottlingException", "ServiceUnavailable", "AccessDeniedException", "KmsThrottlingException")),
        EndpointConnectionError(endpoint_url="https://states"),
    ],
)
def test_a_report_that_did_not_arrive_has_to_be_repeated(error: Exception) -> None:
    outcome = ExecutionOutcome(ExecutionStatus.FAILED, "", "x")
    assert not TaskTokens(StepFunctions(error)).report("e-1", REQUEST, outcome)


@pytest.mark.parametrize("request_json", ["{}", "[]", "null", "{", '{"task_token": 3}', '{"task_token": null}'])
def test_a_request_without_a_token_sends_nothing(request_json: str) -> None:
    workflow = StepFunctions()
    assert token_of(request_json) == ""
    assert TaskTokens(workflow).report("e-1", request_json, ExecutionOutcome(ExecutionStatus.FAILED, "", "x"))
    assert workflow.answers == []
