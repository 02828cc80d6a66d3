"""Retry and Catch: which entry applies to an error, and how long a retry waits."""

import random
from typing import Any

from embedded.seams.tasks import TaskError

_TERMINAL = frozenset({"States.DataLimitExceeded", "States.Runtime"})
"""Errors that States.ALL and States.TaskFailed do not match.

States.Runtime is not even matched by its name.
"""


def matches(error_equals: list[str], error: str) -> bool:
    """Return whether an entry's ErrorEquals matches an error.

    >>> matches(["States.TaskFailed"], "Lambda.Unknown")
    True
    >>> matches(["States.TaskFailed"], "States.Timeout")
    False
    """
    if error == "States.Runtime":
        return False
    if error in error_equals:
        return True
    if error in _TERMINAL:
        return False
    return "States.ALL" in error_equals or ("States.TaskFailed" in error_equals and error != "States.Timeout")


class Retries:
    """The retries of one visit to a state. Each Retry entry has its own count."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._entries: list[dict[str, Any]] = state.get("Retry", [])
        self._used = [0] * len(self._entries)

    @property
    def count(self) -> int:
        return sum(self._used)

    def next_delay(self, failure: TaskError) -> float | None:
        """Count a retry and return the seconds until it starts.

        None means that no entry applies or that its attempts are used up.
        """
        for index, entry in enumerate(self._entries):
            if not matches(entry.get("ErrorEquals", []), failure.error):
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
    entries: list[dict[str, Any]] = state.get("Catch", [])
    return next((entry for entry in entries if matches(entry.get("ErrorEquals", []), failure.error)), None)
