"""The branches of a Parallel state and the iterations of an inline Map.

The first that fails stops the others. A redrive runs only those that did not succeed.
"""

import copy
from collections.abc import Callable
from typing import Any

from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.executions.resume_point import Finished, Part, ResumePoint
from embedded.step_functions.fan_out.concurrency import run_concurrently

RunStates = Callable[[Branch, dict[str, Any], Any, ResumePoint | None], Any]
RunOne = Callable[[int, Branch, ResumePoint | None], Any]


def run_branches(branch: Branch, count: int, run_one: RunOne, *, most: int) -> list[Any]:
    """Call `run_one(index, fork, resume point)` for each branch, at most `most` concurrently.

    Return the results in the branches' order.

    Raises:
        TaskError: The failure of the branch that failed first.
        CancelledError: The branch was cancelled.
    """
    token = branch.cancellation.child()
    parts: list[Part] = list(branch.attempt.parts or [None] * count)
    unfinished = [index for index, part in enumerate(parts) if not isinstance(part, Finished)]
    failures: list[TaskError] = []

    def work(position: int) -> None:
        index = unfinished[position]
        before = parts[index]
        fork = branch.fork(copy.deepcopy(branch.context), token)
        try:
            parts[index] = Finished(run_one(index, fork, before if isinstance(before, ResumePoint) else None))
        except TaskError as failure:
            failures.append(failure)
            token.cancel()
        finally:
            if not isinstance(parts[index], Finished):
                parts[index] = fork.resume_point or before

    try:
        run_concurrently(len(unfinished), work, limit=lambda: most, token=token)
    finally:
        token.close()
        branch.attempt.parts = parts
    branch.cancellation.check()
    if failures:
        branch.attempt.is_reported = True
        raise failures[0]
    # A failure from here on makes a redrive repeat the whole state.
    branch.attempt.parts = None
    return [part.result for part in parts if isinstance(part, Finished)]
