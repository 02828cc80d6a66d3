"""Message move tasks in ministack's SQS."""

import json
import time
from collections.abc import Iterator

import pytest
from ministack.services import sqs

from embedded.ministack.events.message_moves import install_message_moves
from tests.unit.embedded.ministack.conftest import Call

ARN = "arn:aws:sqs:us-east-1:000000000000:"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sqs, "_HANDLERS", dict(sqs._HANDLERS))
    install_message_moves()
    yield
    sqs.reset()


def test_dead_letters_return_to_their_queue_and_others_stay(call: Call) -> None:
    dead = call(sqs, "CreateQueue", QueueName="dead")["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": f"{ARN}dead", "maxReceiveCount": "1"})
    source = call(sqs, "CreateQueue", QueueName="uploads", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    call(sqs, "SendMessage", QueueUrl=source, MessageBody="unreadable")
    call(sqs, "SendMessage", QueueUrl=dead, MessageBody="from EventBridge")
    for _ in range(2):
        call(sqs, "ReceiveMessage", QueueUrl=source, VisibilityTimeout=0)
    waiting = call(sqs, "ReceiveMessage", QueueUrl=dead, MaxNumberOfMessages=10, VisibilityTimeout=0)["Messages"]
    assert {message["Body"] for message in waiting} == {"unreadable", "from EventBridge"}
    assert call(sqs, "StartMessageMoveTask", SourceArn=f"{ARN}dead")["TaskHandle"]
    [task] = call(sqs, "ListMessageMoveTasks", SourceArn=f"{ARN}dead")["Results"]
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    assert (task["ApproximateNumberOfMessagesToMove"], task["ApproximateNumberOfMessagesMoved"]) == (2, 1)
    [back] = call(sqs, "ReceiveMessage", QueueUrl=source, AttributeNames=["All"])["Messages"]
    assert (back["Body"], back["Attributes"]["ApproximateReceiveCount"]) == ("unreadable", "1")
    [left] = call(sqs, "ReceiveMessage", QueueUrl=dead)["Messages"]
    assert left["Body"] == "from EventBridge"


def test_only_dead_letter_queues_are_sources(call: Call) -> None:
    call(sqs, "CreateQueue", QueueName="plain")
    assert (
        "must be configured as a Dead Letter Queue"
        in call(sqs, "StartMessageMoveTask", SourceArn=f"{ARN}plain")["message"]
    )
    assert "doesn't exist" in call(sqs, "StartMessageMoveTask", SourceArn=f"{ARN}none")["message"]
    refused = call(sqs, "StartMessageMoveTask", SourceArn=f"{ARN}plain", Speed=1)
    assert "does not support Speed" in refused["message"]


def test_a_task_with_a_rate_runs_until_it_is_cancelled(call: Call) -> None:
    dead = call(sqs, "CreateQueue", QueueName="dead")["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": f"{ARN}dead", "maxReceiveCount": "1"})
    source = call(sqs, "CreateQueue", QueueName="uploads", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    for number in range(3):
        call(sqs, "SendMessage", QueueUrl=dead, MessageBody=str(number))
    fields = {"SourceArn": f"{ARN}dead", "DestinationArn": f"{ARN}uploads"}
    too_fast = call(sqs, "StartMessageMoveTask", **fields, MaxNumberOfMessagesPerSecond=501)
    assert "Value 501 for parameter MaxNumberOfMessagesPerSecond is invalid." in too_fast["message"]
    elsewhere = call(sqs, "StartMessageMoveTask", SourceArn=f"{ARN}dead", DestinationArn=f"{ARN}none")
    assert "DestinationArn doesn't exist" in elsewhere["message"]
    handle = call(sqs, "StartMessageMoveTask", **fields, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    [task] = call(sqs, "ListMessageMoveTasks", SourceArn=f"{ARN}dead")["Results"]
    assert (task["Status"], task["TaskHandle"], task["MaxNumberOfMessagesPerSecond"]) == ("RUNNING", handle, 1)
    assert "already a task running" in call(sqs, "StartMessageMoveTask", **fields)["message"]
    assert call(sqs, "CancelMessageMoveTask", TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] == 0

    def wait_for(status: str) -> None:
        deadline = time.monotonic() + 20
        while call(sqs, "ListMessageMoveTasks", SourceArn=f"{ARN}dead")["Results"][0]["Status"] != status:
            assert time.monotonic() < deadline, status
            time.sleep(0.01)

    wait_for("CANCELLED")
    assert "Task does not exist." in call(sqs, "CancelMessageMoveTask", TaskHandle=handle)["message"]
    assert "TaskHandle is invalid" in call(sqs, "CancelMessageMoveTask", TaskHandle="e30=")["message"]
    assert call(sqs, "StartMessageMoveTask", **fields, MaxNumberOfMessagesPerSecond=500)
    wait_for("COMPLETED")
    moved = call(sqs, "ReceiveMessage", QueueUrl=source, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in moved] == ["0", "1", "2"]
    assert len(call(sqs, "ListMessageMoveTasks", SourceArn=f"{ARN}dead", MaxResults=10)["Results"]) == 2
