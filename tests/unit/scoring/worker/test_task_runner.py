"""Tasks of one worker run concurrently, and a waiting task starts once others are computed."""

import io
import threading

import pytest

from contract.job.scoring_spec import PinnedObject
from scoring.protocol import ObjectWritten, ScoreObject, Task, decode_event
from scoring.worker.task_runner import EventPipe, TaskRunner

SECONDS = 30


class Steps:
    """An engine whose objects are scored, or fail, when the test allows it."""

    def __init__(self) -> None:
        self.started = {key: threading.Event() for key in "abcd"}
        self.may_end = {key: threading.Event() for key in "abcd"}
        self.fails: set[str] = set()

    def run_task(self, task: Task) -> ObjectWritten:
        key = task.object.key
        self.started[key].set()
        assert self.may_end[key].wait(SECONDS)
        if key in self.fails:
            raise RuntimeError("unforeseen")
        return ObjectWritten(key, "0", 1, 0.0)


class Pipe(io.BytesIO):
    """A pipe whose writes a test can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Condition()

    def flush(self) -> None:
        with self.written:
            self.written.notify_all()

    def wait_for(self, count: int) -> list[ObjectWritten]:
        with self.written:
            assert self.written.wait_for(lambda: self.getvalue().count(b"\n") >= count, SECONDS)
        events = [decode_event(line) for line in self.getvalue().splitlines()]
        return [event for event in events if isinstance(event, ObjectWritten)]


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def task(key: str, start_after: int = 0) -> ScoreObject:
    return ScoreObject(PinnedObject(key, 1, "etag"), 1, start_after=start_after)


def test_next_object_starts_once_one_is_scored(steps: Steps, pipe: Pipe) -> None:
    runner = TaskRunner(steps, EventPipe(pipe))
    runner.submit(task("a"))
    runner.submit(task("b", start_after=1))
    runner.submit(task("c", start_after=2))
    assert steps.started["a"].wait(SECONDS)
    assert not steps.started["b"].is_set()

    steps.may_end["a"].set()
    assert steps.started["b"].wait(SECONDS)
    assert [event.key for event in pipe.wait_for(1)] == ["a"]
    assert not steps.started["c"].is_set()

    steps.may_end["b"].set()
    assert steps.started["c"].wait(SECONDS)
    steps.may_end["c"].set()
    assert [event.key for event in pipe.wait_for(3)] == ["a", "b", "c"]


def test_failed_object_starts_the_next_one(steps: Steps, pipe: Pipe) -> None:
    steps.fails = {"a"}
    runner = TaskRunner(steps, EventPipe(pipe))
    runner.submit(task("a"))
    runner.submit(task("b", start_after=1))
    steps.may_end["a"].set()
    assert steps.started["b"].wait(SECONDS)
    (failed,) = pipe.wait_for(1)
    (failure,) = failed.failures
    assert failure.text.startswith("object 'a': RuntimeError at")
    steps.may_end["b"].set()
    pipe.wait_for(2)


def test_task_that_arrives_late_starts_at_once_and_delays_no_other(steps: Steps, pipe: Pipe) -> None:
    """The event that `a` is written and the task that waits for it may cross in the pipes."""
    runner = TaskRunner(steps, EventPipe(pipe))
    runner.submit(task("a"))
    steps.may_end["a"].set()
    pipe.wait_for(1)
    runner.submit(task("b", start_after=1))
    assert steps.started["b"].wait(SECONDS)
    runner.submit(task("c", start_after=2))
    runner.submit(task("d", start_after=3))
    assert not steps.started["c"].is_set()
    steps.may_end["b"].set()
    assert steps.started["c"].wait(SECONDS)
    assert not steps.started["d"].is_set()
    for event in steps.may_end.values():
        event.set()
    pipe.wait_for(4)
