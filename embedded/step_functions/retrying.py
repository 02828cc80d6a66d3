"""Which Retry or Catch entry applies to an error, and how long a retry waits."""

import random
from typing import Any

from embedded.seams.tasks import TaskError

# States.ALL and States.TaskFailed do not catch these; States.Runtime is never caught at all.
_TERMINAL = frozenset({"States.DataLimitExceeded", "States.Runtime"})


def matches(error_equals: list[str], error: str) -> bool:
    if error == "States.Runtime":
        return False
    if error in error_equals:
        return True
    if error in _TERMINAL:
        return False
    return "States.ALL" in error_equals or ("States.TaskFailed" in error_equals and error != "States.Timeout")


class Retries:
    """The retry count of one visit to a state; each Retry entry counts for itself."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._entries: list[dict[str, Any]] = state.get("Retry", [])
        self._used = [0] * len(self._entries)

    @property
    def count(self) -> int:
        return sum(self._used)

    def next_delay(self, failure: TaskError) -> float | None:
        """Seconds until the state is tried again, or None when no entry applies or its attempts are used up."""
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
    """The first Catch entry that applies."""
    entries: list[dict[str, Any]] = state.get("Catch", [])
    return next((entry for entry in entries if matches(entry.get("ErrorEquals", []), failure.error)), None)
