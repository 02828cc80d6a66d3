"""Tasks of one worker: which compute beside each other, and when one that waits begins."""

import io
import threading
from collections.abc import Callable

import pytest

from contract.job.scoring_spec import PinnedObject
from scoring.protocol import ObjectDone, ObjectPredicted, ScoreObject, Task, decode
from scoring.worker.task_runner import EventPipe, TaskRunner

SECONDS = 30


class Steps:
    """An engine whose objects predict, commit and fail when the test lets them."""

    def __init__(self) -> None:
        self.begun = {key: threading.Event() for key in "abcd"}
        self.may_predict = {key: threading.Event() for key in "abcd"}
        self.may_commit = {key: threading.Event() for key in "abcd"}
        self.fails: set[str] = set()

    def run_task(self, task: Task, on_predicted: Callable[[], None]) -> ObjectDone:
        key = task.object.key
        self.begun[key].set()
        assert self.may_predict[key].wait(SECONDS)
        if key in self.fails:
            raise RuntimeError("nobody foresaw this")
        on_predicted()
        assert self.may_commit[key].wait(SECONDS)
        return ObjectDone(key, 1, 0.0)


class Pipe(io.BytesIO):
    """Lets a test wait for what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.news = threading.Condition()

    def flush(self) -> None:
        with self.news:
            self.news.notify_all()

    def wait_for(self, count: int) -> list[tuple[str, str]]:
        with self.news:
            assert self.news.wait_for(lambda: self.getvalue().count(b"\n") >= count, SECONDS)
        events = [decode(line) for line in self.getvalue().splitlines()]
        return [
            (type(event).__name__, event.key) for event in events if isinstance(event, (ObjectPredicted, ObjectDone))
        ]


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def task(key: str, start_after: int = 0) -> ScoreObject:
    return ScoreObject(PinnedObject(key, 1, "etag"), 1, start_after=start_after)


def test_the_next_object_begins_while_one_waits_for_the_disk(steps: Steps, pipe: Pipe) -> None:
    runner = TaskRunner(steps, EventPipe(pipe))
    runner.submit(task("a"))
    runner.submit(task("b", start_after=1))
    runner.submit(task("c", start_after=2))
    assert steps.begun["a"].wait(SECONDS)
    assert not steps.begun["b"].is_set()

    steps.may_predict["a"].set()
    assert steps.begun["b"].wait(SECONDS)
    assert pipe.wait_for(1) == [("ObjectPredicted", "a")]
    assert not steps.begun["c"].is_set()

    steps.may_predict["b"].set()
    assert steps.begun["c"].wait(SECONDS)
    for event in (steps.may_commit["b"], steps.may_commit["a"], steps.may_predict["c"], steps.may_commit["c"]):
        event.set()
    assert sorted(pipe.wait_for(6)) == [(name, key) for name in ("ObjectDone", "ObjectPredicted") for key in "abc"]


def test_an_object_that_fails_makes_room_for_the_next_too(steps: Steps, pipe: Pipe) -> None:
    steps.fails = {"a"}
    runner = TaskRunner(steps, EventPipe(pipe))
    runner.submit(task("a"))
    runner.submit(task("b", start_after=1))
    steps.may_predict["a"].set()
    assert steps.begun["b"].wait(SECONDS)
    assert pipe.wait_for(1) == [("ObjectDone", "a")]
    steps.may_predict["b"].set()
    steps.may_commit["b"].set()
    pipe.wait_for(3)


def test_what_comes_late_begins_at_once_and_takes_nobody_elses_turn(steps: Steps, pipe: Pipe) -> None:
    """The word that `a` has predicted and the task that waits for it may cross on their way."""
    runner = TaskRunner(steps, EventPipe(pipe))
    runner.submit(task("a"))
    steps.may_predict["a"].set()
    pipe.wait_for(1)
    steps.may_commit["a"].set()
    pipe.wait_for(2)
    runner.submit(task("b", start_after=1))
    assert steps.begun["b"].wait(SECONDS)
    runner.submit(task("c", start_after=2))
    runner.submit(task("d", start_after=3))
    assert not steps.begun["c"].is_set()
    steps.may_predict["b"].set()
    assert steps.begun["c"].wait(SECONDS)
    assert not steps.begun["d"].is_set()
    for events in (steps.may_predict, steps.may_commit):
        for event in events.values():
            event.set()
    pipe.wait_for(8)
