"""Retry and Catch: which entry applies to an error, and how long a retry waits."""

import random
from typing import Any

from embedded.ministack.step_functions.tasks import TaskError


def matches(error_equals: list[str], error: str, *, of_task: bool = True) -> bool:
    """Return whether an entry's ErrorEquals matches an error.

    States.Runtime is never matched, not even by its name. States.ALL matches a Task whose result is
    too large, as recorded on AWS. Other states are documented to fail then.

    >>> matches(["States.TaskFailed"], "Lambda.Unknown")
    True
    >>> matches(["States.TaskFailed"], "States.Timeout")
    False
    """
    if error == "States.Runtime":
        return False
    if error in error_equals:
        return True
    if error == "States.DataLimitExceeded":
        return of_task and "States.ALL" in error_equals
    return "States.ALL" in error_equals or ("States.TaskFailed" in error_equals and error != "States.Timeout")


class Retries:
    """The retries of one visit to a state. Each Retry entry has its own count."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._entries: list[dict[str, Any]] = state.get("Retry", [])
        self._of_task = state.get("Type") == "Task"
        self._used = [0] * len(self._entries)

    @property
    def count(self) -> int:
        return sum(self._used)

    def next_delay(self, failure: TaskError) -> float | None:
        """Count a retry and return the seconds until it starts.

        None means that no entry applies or that its attempts are used up.
        """
        for index, entry in enumerate(self._entries):
            if not matches(entry.get("ErrorEquals", []), failure.error, of_task=self._of_task):
                continue
            used = self._used[index]
            if used >= entry.get("MaxAttempts", 3):
                return None
            self._used[index] = used + 1
            delay = float(entry.get("IntervalSeconds", 1)) * float(entry.get("BackoffRate", 2.0)) ** used
            delay = min(delay, float(entry.get("MaxDelaySeconds", delay)))
            if entry.get("JitterStrategy") == "FULL":
                delay = random.uniform(0, delay)  # noqa: S311 - jitter needs no secrecy
            return delay
        return None


def catcher(state: dict[str, Any], failure: TaskError) -> dict[str, Any] | None:
    """Return the first Catch entry that applies to a failure; None if none does."""
    of_task = state.get("Type") == "Task"
    for entry in state.get("Catch", []):
        if matches(entry.get("ErrorEquals", []), failure.error, of_task=of_task):
            caught: dict[str, Any] = entry
            return caught
    return None
