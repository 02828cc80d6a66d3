"""Map states: run the same machine for each item, inline or as child executions."""

import copy
from collections.abc import Callable
from typing import Any

from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions import data_flow
from embedded.step_functions.data_flow import State
from embedded.step_functions.executions.cancellation import CancelledError
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.executions.resume_point import ResumePoint
from embedded.step_functions.fan_out import map_fields
from embedded.step_functions.fan_out.branches import RunStates, run_branches
from embedded.step_functions.fan_out.distributed_map import MapInput, run_distributed

INLINE_CONCURRENCY = 40
"""Limit of iterations of an inline Map that run concurrently, as on AWS."""


def run_map(branch: Branch, state: State, raw: Any, run_states: RunStates) -> Any:
    """Return the results of all items in their order, before ResultSelector."""
    is_jsonata = branch.query_language == "JSONata"
    effective = raw if is_jsonata else data_flow.state_input(state, raw, branch.context)

    def item_input(items: list[Any], index: int) -> Any:
        context = {**branch.context, "Map": {"Item": {"Index": index, "Value": items[index]}}}
        template = state.get("ItemSelector")
        if template is None:
            return copy.deepcopy(items[index])
        if is_jsonata:
            return language.jsonata_template(template, raw, context)
        return copy.deepcopy(data_flow.fill(template, effective, context))

    if state["ItemProcessor"].get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
        given = None if "ItemReader" in state else _items(branch, state, raw, effective)
        return run_distributed(branch, state, MapInput(raw, effective, given), item_input, run_states)
    items = _items(branch, state, raw, effective)
    concurrency = map_fields.max_concurrency(branch, state, raw, effective)
    return _run_inline(
        branch,
        state["ItemProcessor"],
        len(items),
        lambda index: item_input(items, index),
        most=min(concurrency or INLINE_CONCURRENCY, INLINE_CONCURRENCY),
        run_states=run_states,
    )


def _items(branch: Branch, state: State, raw: Any, effective: Any) -> list[Any]:
    if "Items" in state:
        items = language.jsonata_template(state["Items"], raw, branch.context)
    else:
        items = data_flow.resolve(state.get("ItemsPath", "$"), effective, branch.context, "ItemsPath")
    if not isinstance(items, list):
        error = "States.QueryEvaluationError" if branch.query_language == "JSONata" else "States.Runtime"
        raise TaskError(error, f"Map state input must be an array but was: {data_flow.dump(items)[:1000]}")
    return items


def _run_inline(
    branch: Branch,
    processor: dict[str, Any],
    count: int,
    item_input: Callable[[int], Any],
    *,
    most: int,
    run_states: RunStates,
) -> list[Any]:
    name = branch.context["State"]["Name"]
    if branch.attempt.parts is None:
        branch.add_event("MapStateStarted", {"mapStateStartedEventDetails": {"length": count}})

    def run_one(index: int, fork: Branch, resume: ResumePoint | None) -> Any:
        def report(ending: str) -> None:
            details = {f"mapIteration{ending}EventDetails": {"name": name, "index": index}}
            fork.add_event(f"MapIteration{ending}", details)

        try:
            data = item_input(index)
            fork.context["Map"] = {"Item": {"Index": index}}
            report("Started")
            result = run_states(fork, processor, data, resume)
            report("Succeeded")
        except TaskError:
            report("Failed")
            raise
        except CancelledError:
            report("Aborted")
            raise
        return result

    results = run_branches(branch, count, run_one, most=most)
    branch.add_event("MapStateSucceeded")
    return results
