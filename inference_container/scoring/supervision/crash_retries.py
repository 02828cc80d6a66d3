"""Limited retries of tasks that crashed their worker, each alone and with smaller batches."""

from dataclasses import replace

from contract.status import FailureKind
from scoring.errors import ScoringError
from scoring.protocol import Failure, ObjectTask, PredictPart, ScoreObject

RetriedTask = ObjectTask | PredictPart
"""A task about one object: those of a group are retried one by one."""

_MAX_TRIES = 3
_BATCH_DIVISOR = 8
"""Divisor of the batch size at each retry."""
_MIN_BATCH_ROWS = 256
_MAX_LOSSES_IN_A_ROW = 3
"""Failed objects plus lost idle workers, without a success in between, after which the job fails.
The cause is then not a single object, so trying the other objects would only take time."""
_CRASHES_BEFORE_RETRIES_FIRST = 3
"""Crashes without a success in between after which retries run before new tasks."""


class CrashRetries:
    """Tasks waiting for their retry, and the crashes so far."""

    def __init__(self, batch_rows: int) -> None:
        self.pending: list[RetriedTask] = []
        """Tasks to retry once no other task is left, or before all others if `urgent`."""
        self._batch_rows = batch_rows
        self._tries: dict[tuple[str, str], int] = {}
        self._losses_in_a_row = 0
        self._crashes_in_a_row = 0

    @property
    def urgent(self) -> bool:
        """Whether pending retries must run before any new task starts."""
        return bool(self.pending) and self._crashes_in_a_row >= _CRASHES_BEFORE_RETRIES_FIRST

    def record_success(self) -> None:
        self._losses_in_a_row = self._crashes_in_a_row = 0

    def record_crash(self) -> None:
        self._crashes_in_a_row += 1

    def record_loss(self, error: ScoringError) -> None:
        """Count a failed object or lost idle worker. Raises `error` after too many in a row."""
        self._losses_in_a_row += 1
        if self._losses_in_a_row >= _MAX_LOSSES_IN_A_ROW:
            raise error

    def retry(self, task: RetriedTask) -> bool:
        """Queue a crashed task again, with smaller batches.

        Returns False, without queueing the task, after its last try.
        """
        unit = (task.object.key, f"part {task.part}" if isinstance(task, PredictPart) else type(task).__name__)
        tries = self._tries[unit] = self._tries.get(unit, 0) + 1
        if tries >= _MAX_TRIES:
            return False
        self.pending.insert(0, self._smaller(task))
        return True

    def drop(self, key: str) -> None:
        """Drop all retries of an object."""
        self.pending = [task for task in self.pending if task.object.key != key]

    def _smaller(self, task: RetriedTask) -> RetriedTask:
        rows = task.batch_rows or self._batch_rows
        smaller = replace(task, threads=1, batch_rows=min(rows, max(_MIN_BATCH_ROWS, rows // _BATCH_DIVISOR)))
        return replace(smaller, start_after=0) if isinstance(smaller, ScoreObject) else smaller


def give_up(task: RetriedTask, error: ScoringError) -> Failure:
    """Return the failure, for all models, of a task that crashed its worker at its last try."""
    tries = f"it was tried {_MAX_TRIES} times, the last time alone and with batches of {task.batch_rows:,} rows"
    return Failure("", FailureKind(error.kind), f"{error.text}; {tries}")
