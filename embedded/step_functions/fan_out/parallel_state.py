"""Parallel states: run branches concurrently. The first that fails stops the others."""

import copy
from collections.abc import Callable
from typing import Any

from embedded.seams.tasks import TaskError
from embedded.step_functions import data_flow
from embedded.step_functions.data_flow import State
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.fan_out.concurrency import run_concurrently

RunStates = Callable[[Branch, dict[str, Any], Any], Any]


def run_parallel(branch: Branch, state: State, raw: Any, run_states: RunStates) -> Any:
    """Return the outputs of all branches in their order, before ResultSelector."""
    data = raw
    if branch.query_language != "JSONata":
        data = data_flow.state_input(state, raw, branch.context)
        if "Parameters" in state:
            data = data_flow.fill(state["Parameters"], data, branch.context)
    machines = state["Branches"]
    branch.add_event("ParallelStateStarted")
    token = branch.cancellation.child()
    results: list[Any] = [None] * len(machines)
    failures: list[TaskError] = []

    def run_one(index: int) -> None:
        fork = branch.fork(copy.deepcopy(branch.context), token)
        try:
            results[index] = run_states(fork, machines[index], copy.deepcopy(data))
        except TaskError as failure:
            failures.append(failure)
            token.cancel()

    try:
        run_concurrently(len(machines), run_one, limit=lambda: len(machines), token=token)
    finally:
        token.close()
    branch.cancellation.check()
    if failures:
        branch.add_event("ParallelStateFailed")
        raise failures[0]
    branch.add_event("ParallelStateSucceeded")
    return results
