"""The poller goes through all mappings only when a queue has a message for a function."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import lambda_svc, sqs

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.events import polling
from embedded.ministack.events.polling import install_idle_polling, wake_after

POLLERS = ("_poll_sqs", "_poll_kinesis")
QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"


@pytest.fixture(autouse=True)
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the names of ministack's pollers that ran."""
    found: list[str] = []

    def poller(name: str) -> Any:
        return lambda: found.append(name) or False

    for name in POLLERS:
        monkeypatch.setattr(lambda_svc, name, poller(name))
    monkeypatch.setattr(lambda_svc, "_poll_loop", lambda_svc._poll_loop)
    monkeypatch.setattr(polling, "_wake_times", [])
    install_idle_polling()
    yield found
    for module in (lambda_svc, sqs):
        module.reset()


def poll() -> None:
    for name in POLLERS:
        assert getattr(lambda_svc, name)() is False


def test_a_queue_is_polled_when_it_has_messages_and_once_a_second(
    passes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lambda_svc._esms["q"] = {"UUID": "q", "EventSourceArn": QUEUE}
    poll()
    poll()
    assert passes == ["_poll_sqs"]
    url = sqs._act_create_queue({"QueueName": "q"}, "")["QueueUrl"]
    poll()
    assert passes == ["_poll_sqs"]
    sqs._act_send_message({"QueueUrl": url, "MessageBody": "a"}, url)
    poll()
    assert passes == ["_poll_sqs"] * 2
    sqs._act_purge_queue({"QueueUrl": url}, url)
    poll()
    assert passes == ["_poll_sqs"] * 2
    now[0] += 1.0
    poll()
    assert passes == ["_poll_sqs"] * 3


def test_kinesis_is_polled_only_for_its_mappings(passes: list[str]) -> None:
    poll()
    assert "_poll_kinesis" not in passes
    lambda_svc._esms["k"] = {"UUID": "k", "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}
    poll()
    assert "_poll_kinesis" in passes


def test_the_poller_continues_when_a_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    waits = []
    for seconds in (0.5, 3.0):
        wake_after(seconds)
    for _ in range(5):
        waits.append(polling._seconds_to_wait())
        now[0] += max(waits[-1], 0.25)
    assert waits == [0.5, 0.0, 1.0, 1.0, 0.25]
    assert polling._wake_times == [1_003.0]


def test_a_poller_that_fails_does_not_stop_the_others(
    passes: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class EndedError(BaseException):
        """Ends the loop."""

    def fail() -> bool:
        raise LookupError("of a queue")

    class Wake:
        def clear(self) -> None:
            passes.append("clear")

        def wait(self, seconds: float) -> bool:
            assert seconds == 1.0
            raise EndedError

    monkeypatch.setattr(lambda_svc, "_poll_sqs", fail)
    monkeypatch.setattr(lambda_svc, "_poll_kinesis", lambda: passes.append("kinesis"))
    monkeypatch.setattr(lambda_svc, "_esm_wake", Wake())
    with pytest.raises(EndedError):
        lambda_svc._poll_loop()
    assert passes == ["clear", "kinesis"]
    assert "of a queue" in caplog.text


def test_a_changed_poller_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(lambda_svc, "_poll_sqs")
    with pytest.raises(MinistackChangedError, match="_poll_sqs"):
        install_idle_polling()
