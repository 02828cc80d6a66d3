"""Cancellation tokens, and the calls that they end."""

import threading

import pytest

from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.executions.cancellation import Cancellation, CancelledError
from embedded.step_functions.fan_out.concurrency import run_concurrently
from embedded.step_functions.tasks.task_state import interruptible


def test_cancelling_a_token_cancels_its_children() -> None:
    parent = Cancellation()
    child, other = parent.child(), parent.child()
    grandchild = child.child()
    child.cancel()
    assert (parent.is_set, child.is_set, grandchild.is_set, other.is_set) == (False, True, True, False)
    parent.cancel()
    assert other.is_set
    assert parent.child().is_set


def test_a_closed_token_is_detached_from_its_parent() -> None:
    parent = Cancellation()
    child = parent.child()
    child.close()
    parent.cancel()
    assert not child.is_set


def test_a_callback_is_called_once_unless_removed() -> None:
    token, called = Cancellation(), []
    token.on_cancel(lambda: called.append("kept"))
    token.on_cancel(lambda: called.append("taken back"))()
    token.cancel()
    token.cancel()
    token.on_cancel(lambda: called.append("late"))
    assert called == ["kept", "late"]


def test_cancellation_ends_a_sleep() -> None:
    token = Cancellation()
    ended = threading.Event()

    def sleep() -> None:
        with pytest.raises(CancelledError):
            token.sleep(600)
        ended.set()

    threading.Thread(target=sleep, daemon=True).start()
    token.cancel()
    assert ended.wait(10)


def test_the_limit_bounds_concurrent_calls() -> None:
    lock, running, most, done = threading.Lock(), 0, 0, []
    both = threading.Barrier(2)

    def work(index: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)
        with lock:
            running -= 1
            done.append(index)

    run_concurrently(6, work, limit=lambda: 2, token=Cancellation())
    assert (most, sorted(done)) == (2, [0, 1, 2, 3, 4, 5])


def test_no_call_starts_after_cancellation() -> None:
    token, started = Cancellation(), []

    def work(index: int) -> None:
        started.append(index)
        token.cancel()

    run_concurrently(5, work, limit=lambda: 1, token=token)
    assert started == [0]


def test_an_unexpected_failure_is_raised() -> None:
    def work(_index: int) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        run_concurrently(3, work, limit=lambda: 3, token=Cancellation())


def test_a_timeout_leaves_a_call_running() -> None:
    """AWS documents no stop of a task's work when its state times out."""
    ended, tokens, released = threading.Event(), [], threading.Event()

    def call(token: Cancellation) -> None:
        tokens.append(token)
        released.wait(10)
        ended.set()

    with pytest.raises(TaskError) as failed:
        interruptible(call, Cancellation(), timeout_seconds=0.01)
    assert (failed.value.error, ended.is_set(), tokens[0].is_set) == ("States.Timeout", False, False)
    released.set()
    assert ended.wait(10)


def test_stopping_an_execution_cancels_the_token_of_a_call() -> None:
    told, begun, token = threading.Event(), threading.Event(), Cancellation()

    def call(mine: Cancellation) -> None:
        begun.set()
        if mine.event.wait(10):
            told.set()

    def stop() -> None:
        assert begun.wait(10)
        token.cancel()

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(CancelledError):
        interruptible(call, token)
    assert told.wait(10)


def test_a_call_that_ignores_its_token_still_times_out() -> None:
    released, token = threading.Event(), Cancellation()
    with pytest.raises(TaskError, match=r"States\.Timeout"):
        interruptible(lambda _token: released.wait(10), token, timeout_seconds=0.01)
    released.set()


def test_the_result_or_failure_of_a_call_is_passed_on() -> None:
    def fail(_token: Cancellation) -> None:
        raise TaskError("Broken", "why")

    assert interruptible(lambda _token: 7, Cancellation()) == 7
    with pytest.raises(TaskError, match="Broken: why"):
        interruptible(fail, Cancellation())
