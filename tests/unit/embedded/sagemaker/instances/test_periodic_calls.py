"""The thread that looks after all running jobs."""

import queue
import threading

import pytest

from embedded.sagemaker.instances import periodic_calls
from embedded.sagemaker.instances.periodic_calls import PeriodicCalls

_SECONDS = 30


def test_a_function_is_called_until_it_is_stopped() -> None:
    called: queue.SimpleQueue[str] = queue.SimpleQueue()

    def call() -> float:
        called.put(threading.current_thread().name)
        return 0.001

    stop = PeriodicCalls().start(call, 0.001)
    names = {called.get(timeout=_SECONDS) for _ in range(3)}
    stop()
    while not called.empty():
        called.get()
    assert names == {"periodic-calls"}
    with pytest.raises(queue.Empty):
        called.get(timeout=0.05)


def test_the_earliest_function_is_called_first() -> None:
    called: queue.SimpleQueue[str] = queue.SimpleQueue()
    calls = PeriodicCalls()

    def call(name: str) -> float:
        called.put(name)
        return 3600.0

    stops = [calls.start(lambda: call("late"), 0.1), calls.start(lambda: call("early"), 0.0)]
    assert [called.get(timeout=_SECONDS) for _ in stops] == ["early", "late"]
    for stop in stops:
        stop()


def test_stopping_waits_for_the_call_that_runs() -> None:
    has_begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> float:
        has_begun.set()
        may_end.wait(_SECONDS)
        ended.set()
        return 3600.0

    stop = PeriodicCalls().start(call, 0.0)
    has_begun.wait(_SECONDS)
    stopping = threading.Thread(target=stop)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    may_end.set()
    stopping.join()
    assert ended.is_set()


def test_an_error_ends_only_the_calls_of_its_function(caplog: pytest.LogCaptureFixture) -> None:
    called: queue.SimpleQueue[None] = queue.SimpleQueue()
    calls = PeriodicCalls()

    def fail() -> float:
        raise OSError("the disk is gone")

    def call() -> float:
        called.put(None)
        return 0.001

    calls.start(fail, 0.0)
    stop = calls.start(call, 0.01)
    for _ in range(3):
        called.get(timeout=_SECONDS)
    stop()
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        ("the disk is gone",)
    ]


def test_the_thread_ends_when_there_is_nothing_to_call_and_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic_calls, "_LINGER_SECONDS", 0.01)
    calls, threads = PeriodicCalls(), []
    for _ in range(2):
        called: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

        def call(called: queue.SimpleQueue[threading.Thread] = called) -> float:
            called.put(threading.current_thread())
            return 3600.0

        stop = calls.start(call, 0.0)
        threads.append(called.get(timeout=_SECONDS))
        stop()
        calls.start(lambda: 3600.0, 0.0)()
        threads[-1].join(_SECONDS)
        assert not threads[-1].is_alive()
    assert threads[0] is not threads[1]
