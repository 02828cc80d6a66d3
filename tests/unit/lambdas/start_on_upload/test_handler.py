"""The handler as Lambda calls it, and its calls to SQS and Step Functions, checked against
botocore's models.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from contract import environment
from contract.problems import InvalidInputError
from contract.triggers.uploads import UploadRule, rules_to_text
from lambdas.stage.messaging.execution_starter import ExecutionStarter
from lambdas.stage.messaging.upload_queue import UploadQueue
from lambdas.stage.resources import resources
from lambdas.stage.settings import read_upload_settings
from lambdas.start_on_upload.handler import handler
from lambdas.start_on_upload.messages import WindowEnd, read_message, window_end_text
from tests.unit.lambdas.builders import Context, Stage
from tests.unit.lambdas.start_on_upload.queue_model import sqs_record

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:fleetscore-test"
QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads"
VARIABLES = {
    environment.UPLOADS: rules_to_text((UploadRule("orders", "window", 60, {"max_concurrency": 3}),)),
    environment.UPLOADS_QUEUE_URL: QUEUE,
    environment.STATE_MACHINE_ARN: MACHINE,
}


@pytest.fixture
def step_functions(stage: Stage) -> Iterator[tuple[Stubber, ExecutionStarter]]:
    client = boto3.client("stepfunctions")
    with Stubber(client) as stubber:
        yield stubber, ExecutionStarter(client, MACHINE)


@pytest.fixture
def sqs(stage: Stage) -> Iterator[tuple[Stubber, UploadQueue]]:
    client = boto3.client("sqs")
    with Stubber(client) as stubber:
        yield stubber, UploadQueue(client, QUEUE)


def test_starting_an_execution_twice_is_not_an_error(step_functions: tuple[Stubber, ExecutionStarter]) -> None:
    stubber, starter = step_functions
    expected = {"stateMachineArn": MACHINE, "name": "n", "input": '{"a": 1}'}
    stubber.add_response("start_execution", {"executionArn": MACHINE, "startDate": 0}, expected)
    assert starter.start("n", '{"a": 1}') is True
    stubber.add_client_error("start_execution", "ExecutionAlreadyExists")
    assert starter.start("n", "{}") is False
    stubber.add_client_error("start_execution", "ExecutionLimitExceeded")
    with pytest.raises(ClientError):
        starter.start("n", "{}")


@pytest.mark.parametrize(("seconds", "delay"), [(-3, 0), (0.2, 1), (60, 60), (5_000, 900)])
def test_a_reminder_is_delayed_by_at_most_900_seconds(
    sqs: tuple[Stubber, UploadQueue], seconds: float, delay: int
) -> None:
    stubber, queue = sqs
    body = '{"type": "fleetscore.window_end", "dataset": "orders", "window": 3}'
    assert window_end_text(WindowEnd("orders", 3)) == body
    assert read_message(sqs_record("m-1", body), "datasets") == WindowEnd("orders", 3)
    stubber.add_response("send_message", {}, {"QueueUrl": QUEUE, "MessageBody": body, "DelaySeconds": delay})
    queue.send_later(body, seconds)
    stubber.assert_no_pending_responses()


def test_failed_messages_get_a_visibility_timeout_and_errors_are_ignored(sqs: tuple[Stubber, UploadQueue]) -> None:
    stubber, queue = sqs
    entries = [{"Id": "0", "ReceiptHandle": "r", "VisibilityTimeout": 30}]
    answer: dict[str, Any] = {"Successful": [], "Failed": []}
    stubber.add_response("change_message_visibility_batch", answer, {"QueueUrl": QUEUE, "Entries": entries})
    queue.retry_after([("r", 30)])
    stubber.assert_no_pending_responses()
    stubber.add_client_error("change_message_visibility_batch", "AWS.SimpleQueueService.BatchRequestTooLong")
    queue.retry_after([("r", 30)])
    stubber.assert_no_pending_responses()


def test_the_handler_returns_the_messages_that_failed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    queue_url = boto3.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    monkeypatch.setenv(environment.UPLOADS_QUEUE_URL, queue_url)
    unreadable = sqs_record("m-1", "?", received=2).raw_event
    reminder = sqs_record("m-2", window_end_text(WindowEnd("orders", 3))).raw_event
    ignored = json.dumps(
        {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {
                "bucket": {"name": stage.datasets},
                "object": {"key": "loose.csv", "size": 1, "version-id": "v"},
            },
        }
    )
    answer = handler({"Records": [unreadable, reminder, sqs_record("m-3", ignored).raw_event]}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}, {"itemIdentifier": "m-2"}]}
    assert resources().upload_queue is resources().upload_queue


def test_upload_settings_are_read_and_refused_by_name() -> None:
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
