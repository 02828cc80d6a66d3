from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.seams import TaskError
from embedded.step_functions.retrying import Retries, catcher, matches

BUSY = TaskError("Busy", "")


def delays(count: int, **fields: Any) -> list[float | None]:
    retries = Retries({"Retry": [{"ErrorEquals": ["Busy"], **fields}]})
    return [retries.next_delay(BUSY) for _ in range(count)]


def test_delays_grow_by_the_backoff_rate_until_the_attempts_are_used_up() -> None:
    assert delays(5, IntervalSeconds=2, BackoffRate=3, MaxAttempts=4) == [2, 6, 18, 54, None]


def test_the_defaults_are_those_of_the_language() -> None:
    assert delays(4) == [1, 2, 4, None]


def test_max_delay_bounds_each_delay_and_nothing_else_does() -> None:
    assert delays(3, IntervalSeconds=100, BackoffRate=10, MaxDelaySeconds=500) == [100, 500, 500]
    assert delays(3, IntervalSeconds=100, BackoffRate=10) == [100, 1000, 10_000]


def test_no_attempts_means_no_retry() -> None:
    assert delays(1, MaxAttempts=0) == [None]


@given(st.integers(1, 100), st.integers(1, 8))
def test_full_jitter_stays_between_nothing_and_the_delay(interval: int, attempts: int) -> None:
    plain = delays(attempts, IntervalSeconds=interval, MaxAttempts=attempts)
    jittered = delays(attempts, IntervalSeconds=interval, MaxAttempts=attempts, JitterStrategy="FULL")
    for most, delay in zip(plain, jittered, strict=True):
        assert most is not None
        assert delay is not None
        assert 0 <= delay <= most


def test_full_jitter_differs_from_time_to_time() -> None:
    assert len({delays(1, IntervalSeconds=100, JitterStrategy="FULL")[0] for _ in range(20)}) > 1


def test_each_entry_counts_for_itself_and_the_first_that_matches_decides() -> None:
    retries = Retries(
        {
            "Retry": [
                {"ErrorEquals": ["Busy"], "MaxAttempts": 1, "IntervalSeconds": 1},
                {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1, "IntervalSeconds": 9},
            ]
        }
    )
    assert retries.next_delay(BUSY) == 1
    assert retries.next_delay(TaskError("Other", "")) == 9
    assert retries.next_delay(BUSY) is None
    assert retries.count == 2


@pytest.mark.parametrize(
    ("wildcard", "error", "caught"),
    [
        ("States.ALL", "Busy", True),
        ("States.ALL", "States.Timeout", True),
        ("States.ALL", "States.DataLimitExceeded", False),
        ("States.ALL", "States.Runtime", False),
        ("States.TaskFailed", "Busy", True),
        ("States.TaskFailed", "States.Timeout", False),
        ("States.TaskFailed", "States.DataLimitExceeded", False),
        ("States.Runtime", "States.Runtime", False),
        ("States.DataLimitExceeded", "States.DataLimitExceeded", True),
    ],
)
def test_what_the_wildcards_match(wildcard: str, error: str, *, caught: bool) -> None:
    assert matches([wildcard], error) is caught


def test_the_first_catch_that_matches_is_taken() -> None:
    first, second = {"ErrorEquals": ["Busy"], "Next": "A"}, {"ErrorEquals": ["States.ALL"], "Next": "B"}
    assert catcher({"Catch": [first, second]}, BUSY) is first
    assert catcher({"Catch": [first, second]}, TaskError("Other", "")) is second
    assert catcher({"Catch": [first]}, TaskError("Other", "")) is None
