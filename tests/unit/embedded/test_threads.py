"""Threads run one call after another."""

import contextvars
import logging
import queue
import threading
import weakref
from typing import Any

import pytest

from embedded import threads

_SECONDS = 10.0

_account: contextvars.ContextVar[str] = contextvars.ContextVar("account", default="none")


@pytest.fixture(autouse=True)
def _no_idle_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_idle", [])


def _wait_until_idle(count: int) -> None:
    deadline = threading.Event()
    for _ in range(int(_SECONDS * 100)):
        if len(threads._idle) == count:
            return
        deadline.wait(0.01)
    raise AssertionError(f"{len(threads._idle)} threads are idle, not {count}")


def test_a_thread_runs_the_next_call_with_its_own_name_and_context() -> None:
    found: queue.Queue[tuple[int, str, str]] = queue.Queue()

    def call() -> None:
        found.put((threading.get_ident(), threading.current_thread().name, _account.get()))

    for number in ("1", "2"):
        token = _account.set(number)
        threads.start_thread(call, name=f"call-{number}")
        _account.reset(token)
        _wait_until_idle(1)
    first, second = found.get(timeout=_SECONDS), found.get(timeout=_SECONDS)
    assert first[0] == second[0]
    assert [each[1:] for each in (first, second)] == [("call-1", "1"), ("call-2", "2")]


def test_calls_that_overlap_have_threads_of_their_own() -> None:
    barrier = threading.Barrier(5)
    for _ in range(5):
        threads.start_thread(barrier.wait, _SECONDS, name="call")
    _wait_until_idle(5)
    assert not barrier.broken


def test_a_thread_survives_an_exception_which_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise LookupError("of the call")

    with caplog.at_level(logging.ERROR, "embedded.threads"):
        threads.start_thread(fail, name="failing")
        _wait_until_idle(1)
    assert "failing" in caplog.text
    assert "of the call" in caplog.text


def test_an_idle_thread_keeps_nothing_of_its_call_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Payload:
        thread: Any = None

    monkeypatch.setattr(threads, "_IDLE_SECONDS", 0.05)

    def call(payload: Payload) -> None:
        ends.put(threading.current_thread())
        assert payload

    ends: queue.Queue[threading.Thread] = queue.Queue()
    payload = Payload()
    kept = weakref.ref(payload)
    threads.start_thread(call, payload, name="call")
    del payload
    ends.get(timeout=_SECONDS).join(_SECONDS)
    assert kept() is None
    assert threads._idle == []


def test_a_thread_that_is_chosen_when_it_would_end_runs_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: threads._Calls = queue.SimpleQueue()
    monkeypatch.setattr(threads, "_IDLE_SECONDS", 0.01)
    done = threading.Event()
    thread = threading.Thread(target=threads._run_calls, args=(calls,), daemon=True)
    thread.start()  # not in the list of idle threads, as if another thread had just chosen it
    done.wait(0.05)
    assert thread.is_alive()
    calls.put((done.set, "late"))
    assert done.wait(_SECONDS)
    thread.join(_SECONDS)
    assert not thread.is_alive()
