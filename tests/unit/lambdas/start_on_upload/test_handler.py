"""The handler as Lambda calls it, and what it says to SQS and Step Functions, held against botocore's models."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from contract import environment
from contract.problems import InvalidInputError
from contract.triggers.uploads import UploadRule, rules_to_text
from lambdas.stage.settings import read_upload_settings
from lambdas.start_on_upload import handler as module
from lambdas.start_on_upload.messages import WindowEnd
from lambdas.stage.upload_queue import Outside
from tests.unit.lambdas.builders import Context, Stage

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:fleetscore-test"
QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads"
VARIABLES = {
    environment.UPLOADS: rules_to_text((UploadRule("orders", "window", 60, {"max_concurrency": 3}),)),
    environment.UPLOADS_QUEUE_URL: QUEUE,
    environment.STATE_MACHINE_ARN: MACHINE,
}


@pytest.fixture
def clients(stage: Stage) -> tuple[Any, Any]:
    return boto3.client("stepfunctions"), boto3.client("sqs")


@pytest.fixture
def outside(clients: tuple[Any, Any]) -> Outside:
    return Outside(*clients, state_machine_arn=MACHINE, queue_url=QUEUE)


def test_an_execution_that_is_there_already_is_no_error(clients: tuple[Any, Any], outside: Outside) -> None:
    asked = {"stateMachineArn": MACHINE, "name": "n", "input": '{"a": 1, "b": 2}'}
    with Stubber(clients[0]) as states:
        states.add_response("start_execution", {"executionArn": MACHINE, "startDate": 0}, asked)
        assert outside.start_execution("n", {"b": 2, "a": 1}) is True
        states.add_client_error("start_execution", "ExecutionAlreadyExists")
        assert outside.start_execution("n", {}) is False
        states.add_client_error("start_execution", "ExecutionLimitExceeded")
        with pytest.raises(ClientError):
            outside.start_execution("n", {})


@pytest.mark.parametrize(("seconds", "delay"), [(-3, 0), (0.2, 1), (60, 60), (5_000, 900)])
def test_a_reminder_waits_as_long_as_a_message_can(
    clients: tuple[Any, Any], outside: Outside, seconds: float, delay: int
) -> None:
    body = '{"type": "fleetscore.window_end", "dataset": "orders", "window": 3}'
    with Stubber(clients[1]) as sqs:
        asked = {"QueueUrl": QUEUE, "MessageBody": body, "DelaySeconds": delay}
        sqs.add_response("send_message", {}, asked)
        outside.end_window_later(WindowEnd("orders", 3), seconds)
        sqs.assert_no_pending_responses()


def test_messages_come_back_when_they_are_told_to_or_later(clients: tuple[Any, Any], outside: Outside) -> None:
    with Stubber(clients[1]) as sqs:
        entries = [{"Id": "0", "ReceiptHandle": "r", "VisibilityTimeout": 30}]
        answer = {"Successful": [], "Failed": []}
        sqs.add_response("change_message_visibility_batch", answer, {"QueueUrl": QUEUE, "Entries": entries})
        outside.show_again([("r", 30)])
        sqs.assert_no_pending_responses()
        sqs.add_client_error("change_message_visibility_batch", "AWS.SimpleQueueService.BatchRequestTooLong")
        outside.show_again([("r", 30)])


def test_the_handler_answers_with_the_messages_that_failed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, clients: tuple[Any, Any], outside: Outside
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "_outside", lambda: outside)
    module._this_deployments_uploads.cache_clear()
    record = {"messageId": "m-1", "receiptHandle": "r-1", "attributes": {"ApproximateReceiveCount": "2"}, "body": "?"}
    with Stubber(clients[1]) as sqs:
        entries = [{"Id": "0", "ReceiptHandle": "r-1", "VisibilityTimeout": 0}]
        sqs.add_response(
            "change_message_visibility_batch",
            {"Successful": [], "Failed": []},
            {"QueueUrl": QUEUE, "Entries": entries},
        )
        answer = module.handler({"Records": [record]}, Context())  # type: ignore[arg-type]
    module._this_deployments_uploads.cache_clear()
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


def test_settings_come_out_as_they_went_in_and_are_refused_by_name() -> None:
    read = read_upload_settings(VARIABLES)
    assert read.rules == (UploadRule("orders", "window", 60, {"max_concurrency": 3}),)
    assert (read.queue_url, read.state_machine_arn) == (QUEUE, MACHINE)
    with pytest.raises(InvalidInputError) as refused:
        read_upload_settings({environment.UPLOADS: '[{"dataset": "A"}]'})
    assert {problem.field for problem in refused.value.problems} == {
        "uploads[0].mode",
        environment.UPLOADS_QUEUE_URL,
        environment.STATE_MACHINE_ARN,
    }
