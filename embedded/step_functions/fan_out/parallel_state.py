"""Parallel states: run branches concurrently. The first that fails stops the others."""

import copy
from typing import Any

from embedded.step_functions import data_flow
from embedded.step_functions.data_flow import State
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.fan_out.branches import RunStates, run_branches


def run_parallel(branch: Branch, state: State, raw: Any, run_states: RunStates) -> Any:
    """Return the outputs of all branches in their order, before ResultSelector."""
    data = raw
    if branch.query_language != "JSONata":
        data = data_flow.state_input(state, raw, branch.context)
        if "Parameters" in state:
            data = data_flow.fill(state["Parameters"], data, branch.context)
    machines = state["Branches"]
    if branch.attempt.parts is None:
        branch.add_event("ParallelStateStarted")

    def run_one(index: int, fork: Branch, resume: Any) -> Any:
        return run_states(fork, machines[index], copy.deepcopy(data), resume)

    results = run_branches(branch, len(machines), run_one, most=len(machines))
    branch.add_event("ParallelStateSucceeded")
    return results
