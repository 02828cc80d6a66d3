import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ministack.core import iam_actions
from ministack.services import eventbridge, lambda_svc, s3, sqs
from ministack.services.cloudformation import provisioners

from embedded.ministack.events import event_sources
from embedded.ministack.events.event_sources import (
    install_batch_actions,
    install_object_versions,
    install_queue_polling,
)

Mapping = dict[str, Any]


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Restore ministack's names after the test. A missing name fails here."""
    places = [
        (s3, "_fire_s3_event"),
        (eventbridge, "_dispatch_event"),
        (iam_actions, "extract_iam_action"),
        (lambda_svc, "_sqs_esm_concurrency"),
        (lambda_svc, "_create_esm"),
        (sqs, "_receive_messages_for_esm"),
    ]
    for module, name in places:
        monkeypatch.setattr(module, name, getattr(module, name))
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    monkeypatch.setitem(handlers, "create", handlers["create"])
    yield monkeypatch
    sqs.reset()


def test_s3_event_carries_the_object_version(restored: pytest.MonkeyPatch) -> None:
    heard: list[dict[str, Any]] = []
    restored.setattr(eventbridge, "_dispatch_event", heard.append)
    restored.setitem(s3._bucket_notifications, "b", "<x><EventBridgeConfiguration/></x>")
    install_object_versions()
    s3._fire_s3_event("b", "k", "s3:ObjectCreated:Put", 3, "etag", version_id="v-1", sequencer="0A")
    s3._fire_s3_event("b", "k", "s3:ObjectCreated:Put", 3, "etag", sequencer="0B")
    objects = [json.loads(event["Detail"])["object"] for event in heard]
    assert [found.get("version-id") for found in objects] == ["v-1", None]
    assert [found["sequencer"] for found in objects] == ["0A", "0B"]


def test_other_events_are_unchanged(restored: pytest.MonkeyPatch, call: Callable[..., dict[str, Any]]) -> None:
    heard: list[dict[str, Any]] = []
    restored.setattr(eventbridge, "_dispatch_event", lambda event, *_, **__: heard.append(event) or 0)
    install_object_versions()
    answer = call(eventbridge, "PutEvents", Entries=[{"Source": "ours", "DetailType": "kind", "Detail": "{}"}])
    assert answer["FailedEntryCount"] == 0
    assert [(event["Source"], event["Detail"]) for event in heard] == [("ours", "{}")]


def test_sqs_batch_operation_needs_the_single_action(restored: pytest.MonkeyPatch) -> None:
    def action(operation: str) -> Any:
        headers = {"x-amz-target": f"AmazonSQS.{operation}"}
        return iam_actions.extract_iam_action("sqs", "POST", "/", headers, b"{}", {})

    assert action("ChangeMessageVisibilityBatch") == "sqs:ChangeMessageVisibilityBatch"
    install_batch_actions()
    assert action("ChangeMessageVisibilityBatch") == "sqs:ChangeMessageVisibility"
    assert action("SendMessage") == "sqs:SendMessage"


@pytest.fixture
def queue(restored: pytest.MonkeyPatch) -> Callable[..., str]:
    """Create a queue with the given messages and return its URL."""

    def make(*bodies: str) -> str:
        url = sqs._act_create_queue({"QueueName": "q"}, "")["QueueUrl"]
        for body in bodies:
            sqs._act_send_message({"QueueUrl": url, "MessageBody": body}, url)
        return str(url)

    return make


def mapping(**fields: Any) -> Mapping:
    return {"UUID": "m-1", "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q", "BatchSize": 10, **fields}


def places(esm: Mapping, url: str) -> int:
    """Return how many batches the poller may take now."""
    return int(lambda_svc._sqs_esm_concurrency(esm, {}, {}, sqs._queues[url]))


def test_batch_is_limited_by_count_and_by_bytes(queue: Callable[..., str]) -> None:
    install_queue_polling(1)
    url = queue(*["small"] * 25, *["x" * 250_000] * 30)
    assert len(sqs._receive_messages_for_esm(url, 20)) == 20
    large = sqs._receive_messages_for_esm(url, 10_000)
    assert 5 + 20 < len(large) < 5 + 30
    assert sum(len(message["body"]) for message in large) <= 6 * 1024 * 1024


def test_poller_waits_for_window_or_full_batch(queue: Callable[..., str]) -> None:
    install_queue_polling(0.01)
    url = queue("a", "b")
    waits, full = mapping(MaximumBatchingWindowInSeconds=20), mapping(MaximumBatchingWindowInSeconds=20, BatchSize=2)
    assert places(waits, url) == 0
    assert places({**full, "UUID": "m-2"}, url) > 0
    deadline = time.monotonic() + 10
    while not places(waits, url):
        assert time.monotonic() < deadline


def test_role_without_queue_permissions_is_refused_and_polls_nothing(
    restored: pytest.MonkeyPatch, queue: Callable[..., str]
) -> None:
    restored.setattr(event_sources, "authorize", lambda _role, action, _queue: action != "sqs:DeleteMessage")
    restored.setattr(
        lambda_svc, "_get_func_record_for_qualifier", lambda *_: ({}, {"Role": "arn:aws:iam::000000000000:role/r"})
    )
    install_queue_polling(1)
    status, _headers, body = lambda_svc._create_esm({**mapping(), "FunctionName": "f"})
    assert (status, json.loads(body)["__type"]) == (400, "InvalidParameterValueException")
    provision = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]["create"]
    with pytest.raises(ValueError, match="does not have permissions to call DeleteMessage on SQS"):
        provision("Messages", {**mapping(), "FunctionName": "f"}, "stack")
    esm, url = mapping(), queue("a")
    config = {"Role": "arn:aws:iam::000000000000:role/r"}
    assert lambda_svc._sqs_esm_concurrency(esm, {}, config, sqs._queues[url]) == 0
    assert esm["LastProcessingResult"].startswith("PROBLEM: ")


def test_batch_over_ten_needs_a_window(restored: pytest.MonkeyPatch) -> None:
    install_queue_polling(1)
    _status, _headers, body = lambda_svc._create_esm({**mapping(BatchSize=11), "FunctionName": "f"})
    assert "Maximum batch window" in json.loads(body)["message"]
