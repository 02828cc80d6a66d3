"""Retries of tasks that crashed their worker, and when to give up."""

import pytest

from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.errors import TransientError
from scoring.protocol import PredictPart, ScoreObject
from scoring.supervision.crash_retries import CrashRetries, give_up

ERROR = TransientError("a worker was killed (SIGKILL)")


def task(key: str = "a.parquet") -> ScoreObject:
    return ScoreObject(PinnedObject(key, 1, "etag"), threads=4, start_after=7)


def test_task_is_retried_twice_alone_with_smaller_batches() -> None:
    retries = CrashRetries(batch_rows=65_536)
    assert retries.retry(task())
    [second] = retries.pending
    assert second == ScoreObject(task().object, threads=1, batch_rows=8_192)
    retries.pending.clear()
    assert retries.retry(second)
    [third] = retries.pending
    assert third.batch_rows == 1_024
    assert not retries.retry(third)
    failure = give_up(third, ERROR)
    assert failure.kind is FailureKind.TRANSIENT
    assert failure.text == (
        "a worker was killed (SIGKILL); it was tried 3 times, the last time alone and with batches of 1,024 rows"
    )


@pytest.mark.parametrize(("batch_rows", "smaller"), [(65_536, 8_192), (1_000, 256), (100, 100)])
def test_smaller_batches_have_a_minimum(batch_rows: int, smaller: int) -> None:
    retries = CrashRetries(batch_rows)
    retries.retry(task())
    assert retries.pending[0].batch_rows == smaller


def test_parts_of_an_object_are_counted_separately() -> None:
    retries = CrashRetries(1_000)
    for part in range(3):
        assert retries.retry(PredictPart(task().object, part, 3))
    retries.retry(task("other"))
    retries.drop("a.parquet")
    assert [pending.object.key for pending in retries.pending] == ["other"]


def test_three_losses_without_a_success_fail_the_job() -> None:
    retries = CrashRetries(1_000)
    retries.record_loss(ERROR)
    retries.record_loss(ERROR)
    retries.record_success()
    retries.record_loss(ERROR)
    retries.record_loss(ERROR)
    with pytest.raises(TransientError, match="SIGKILL"):
        retries.record_loss(ERROR)


def test_retries_become_urgent_after_three_crashes_without_a_success() -> None:
    retries = CrashRetries(1_000)
    retries.retry(task())
    for _ in range(2):
        retries.record_crash()
    assert not retries.urgent
    retries.record_crash()
    assert retries.urgent
    retries.record_success()
    assert not retries.urgent
