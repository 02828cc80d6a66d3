"""Delays of retries, and the errors that Retry and Catch match."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.retrying import Retries, catcher, matches

BUSY = TaskError("Busy", "")


def delays(count: int, **fields: Any) -> list[float | None]:
    retries = Retries({"Retry": [{"ErrorEquals": ["Busy"], **fields}]})
    return [retries.next_delay(BUSY) for _ in range(count)]


def test_delays_grow_by_the_backoff_rate_up_to_max_attempts() -> None:
    assert delays(5, IntervalSeconds=2, BackoffRate=3, MaxAttempts=4) == [2, 6, 18, 54, None]


def test_defaults_follow_the_states_language() -> None:
    assert delays(4) == [1, 2, 4, None]


def test_only_max_delay_limits_a_delay() -> None:
    assert delays(3, IntervalSeconds=100, BackoffRate=10, MaxDelaySeconds=500) == [100, 500, 500]
    assert delays(3, IntervalSeconds=100, BackoffRate=10) == [100, 1000, 10_000]


def test_zero_max_attempts_disables_retries() -> None:
    assert delays(1, MaxAttempts=0) == [None]


@given(st.integers(1, 100), st.integers(1, 8))
def test_full_jitter_is_between_zero_and_the_delay(interval: int, attempts: int) -> None:
    plain = delays(attempts, IntervalSeconds=interval, MaxAttempts=attempts)
    jittered = delays(attempts, IntervalSeconds=interval, MaxAttempts=attempts, JitterStrategy="FULL")
    for most, delay in zip(plain, jittered, strict=True):
        assert most is not None
        assert delay is not None
        assert 0 <= delay <= most


def test_full_jitter_is_random() -> None:
    assert len({delays(1, IntervalSeconds=100, JitterStrategy="FULL")[0] for _ in range(20)}) > 1


def test_each_retry_entry_counts_its_own_attempts() -> None:
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
        ("States.ALL", "States.DataLimitExceeded", True),
        ("States.ALL", "States.Runtime", False),
        ("States.TaskFailed", "Busy", True),
        ("States.TaskFailed", "States.Timeout", False),
        ("States.TaskFailed", "States.DataLimitExceeded", False),
        ("States.Runtime", "States.Runtime", False),
        ("States.DataLimitExceeded", "States.DataLimitExceeded", True),
    ],
)
def test_wildcards_match_as_on_aws(wildcard: str, error: str, *, caught: bool) -> None:
    assert matches([wildcard], error) is caught


def test_only_a_tasks_result_can_be_caught_when_it_is_too_large() -> None:
    """Recorded on AWS for Task states. For other states the documentation's rule stays."""
    too_large, any_error = TaskError("States.DataLimitExceeded", ""), {"ErrorEquals": ["States.ALL"], "Next": "A"}
    assert catcher({"Type": "Task", "Catch": [any_error]}, too_large) is any_error
    assert catcher({"Type": "Map", "Catch": [any_error]}, too_large) is None


def test_the_first_matching_catch_applies() -> None:
    first, second = {"ErrorEquals": ["Busy"], "Next": "A"}, {"ErrorEquals": ["States.ALL"], "Next": "B"}
    assert catcher({"Catch": [first, second]}, BUSY) is first
    assert catcher({"Catch": [first, second]}, TaskError("Other", "")) is second
    assert catcher({"Catch": [first]}, TaskError("Other", "")) is None
