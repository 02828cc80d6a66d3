"""Faults of the deliveries of events, as targets see them."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedded.faults import DelayEvent, DoubleEvent, Faults, LoseEvent
from embedded.server.embedded_aws import EmbeddedAws


@pytest.fixture
def faults(aws: EmbeddedAws) -> Iterator[Faults]:
    yield aws.faults
    aws.faults.clear()


@pytest.fixture(scope="module")
def send(aws: EmbeddedAws) -> Callable[[str], None]:
    """Return a function that sends an event, which a rule delivers to a queue."""
    sqs, events = aws.endpoint.client("sqs"), aws.endpoint.client("events")
    url = sqs.create_queue(QueueName="faulty-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.put_rule(Name="faulty-events", EventPattern=json.dumps({"source": ["faulty"]}))
    events.put_targets(Rule="faulty-events", Targets=[{"Id": "queue", "Arn": arn}])

    def put(text: str) -> None:
        entry = {"Source": "faulty", "DetailType": "Something", "Detail": json.dumps({"text": text})}
        events.put_events(Entries=[entry])

    return put


def received(aws: EmbeddedAws, number: int, seconds: float = 10) -> list[str]:
    """Wait for some messages, and return all that have arrived, in order."""
    sqs, found = aws.endpoint.client("sqs"), []
    url = sqs.get_queue_url(QueueName="faulty-events")["QueueUrl"]
    deadline = time.monotonic() + seconds
    while len(found) < number and time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            found.append(json.loads(message["Body"])["detail"]["text"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_events_are_lost_doubled_and_late(aws: EmbeddedAws, faults: Faults, send: Callable[[str], None]) -> None:
    where: dict[str, Any] = {"source": "faulty", "detail_type": "Some*", "target": "faulty-events"}
    faults.add(LoseEvent(**where))
    faults.add(DoubleEvent(**where))
    faults.add(DelayEvent(seconds=0.5, **where))
    for text in ("lost", "doubled", "late", "last"):
        send(text)
    assert received(aws, 4) == ["doubled", "doubled", "last", "late"]
    assert [each.kind for each in faults.happened()[-3:]] == ["lose-event", "double-event", "delay-event"]
    assert faults.pending() == []
