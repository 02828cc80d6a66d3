"""Map states: run the same machine for each item, inline or as child executions."""

import copy
from collections.abc import Callable
from typing import Any

from embedded.seams import language
from embedded.seams.tasks import TaskError
from embedded.step_functions import data_flow
from embedded.step_functions.data_flow import State
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.fan_out import item_reader
from embedded.step_functions.fan_out.concurrency import run_concurrently
from embedded.step_functions.fan_out.distributed_map import run_distributed

RunStates = Callable[[Branch, dict[str, Any], Any], Any]

INLINE_CONCURRENCY = 40
"""Limit of iterations of an inline Map that run concurrently, as on AWS."""


def run_map(branch: Branch, state: State, raw: Any, run_states: RunStates) -> Any:
    """Return the results of all items in their order, before ResultSelector."""
    processor = state["ItemProcessor"]
    is_jsonata = branch.query_language == "JSONata"
    effective = raw if is_jsonata else data_flow.state_input(state, raw, branch.context)
    items = _items(branch, state, raw, effective)

    def item_input(index: int) -> Any:
        context = {**branch.context, "Map": {"Item": {"Index": index, "Value": items[index]}}}
        template = state.get("ItemSelector")
        if template is None:
            return copy.deepcopy(items[index])
        if is_jsonata:
            return language.jsonata_template(template, raw, context)
        return copy.deepcopy(data_flow.fill(template, effective, context))

    concurrency = _number(branch, state, "MaxConcurrency", raw, effective)
    if processor.get("ProcessorConfig", {}).get("Mode") != "DISTRIBUTED":
        return _run_inline(
            branch, processor, len(items), item_input, concurrency=int(concurrency), run_states=run_states
        )
    tolerated = {
        field: _number(branch, state, field, raw, effective)
        for field in ("ToleratedFailurePercentage", "ToleratedFailureCount")
        if field in state or f"{field}Path" in state
    }
    return run_distributed(
        branch, state, processor, len(items), item_input, concurrency=int(concurrency), tolerated=tolerated,
        run_states=run_states, effective=effective,
    )  # fmt: skip


def _items(branch: Branch, state: State, raw: Any, effective: Any) -> list[Any]:
    if "ItemReader" in state:
        items = item_reader.read(branch, state["ItemReader"], effective)
    elif "Items" in state:
        items = language.jsonata_template(state["Items"], raw, branch.context)
    else:
        items = data_flow.resolve(state.get("ItemsPath", "$"), effective, branch.context, "ItemsPath")
    if not isinstance(items, list):
        text = f"The items of the Map state are not an array but {data_flow.dump(items)[:200]}"
        raise TaskError("States.ItemReaderFailed" if "ItemReader" in state else "States.Runtime", text)
    return items


def _run_inline(
    branch: Branch,
    processor: dict[str, Any],
    count: int,
    item_input: Callable[[int], Any],
    *,
    concurrency: int,
    run_states: RunStates,
) -> list[Any]:
    name = branch.context["State"]["Name"]
    branch.add_event("MapStateStarted", {"mapStateStartedEventDetails": {"length": count}})
    token = branch.cancellation.child()
    results: list[Any] = [None] * count
    failures: list[TaskError] = []

    def run_one(index: int) -> None:
        context = copy.deepcopy(branch.context)
        fork = branch.fork(context, token)
        details = {"name": name, "index": index}
        try:
            data = item_input(index)
            context["Map"] = {"Item": {"Index": index}}
            fork.add_event("MapIterationStarted", {"mapIterationStartedEventDetails": details})
            results[index] = run_states(fork, processor, data)
            fork.add_event("MapIterationSucceeded", {"mapIterationSucceededEventDetails": details})
        except TaskError as failure:
            failures.append(failure)
            fork.add_event("MapIterationFailed", {"mapIterationFailedEventDetails": details})
            token.cancel()

    most = min(concurrency or INLINE_CONCURRENCY, INLINE_CONCURRENCY)
    try:
        run_concurrently(count, run_one, limit=lambda: most, token=token)
    finally:
        token.close()
    branch.cancellation.check()
    if failures:
        branch.add_event("MapStateFailed")
        raise failures[0]
    branch.add_event("MapStateSucceeded")
    return results


def _number(branch: Branch, state: State, field: str, raw: Any, effective: Any) -> float:
    if branch.query_language == "JSONata" and field in state:
        state = {field: language.jsonata_template(state[field], raw, branch.context)}
    value = data_flow.number(state, field, effective, branch.context, default=0)
    if field == "ToleratedFailurePercentage" and value > 100:
        raise TaskError("States.Runtime", f"{field}: expected a number from 0 to 100, but it is {value:g}")
    return value
