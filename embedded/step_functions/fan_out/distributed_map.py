"""Distributed Map: a Map Run with one child execution per item."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions import authorization
from embedded.step_functions.authorization import Permission
from embedded.step_functions.data_flow import State, check_result_size, dump
from embedded.step_functions.executions.cancellation import CancelledError
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.fan_out import item_reader, map_fields, result_writer
from embedded.step_functions.fan_out.branches import RunStates
from embedded.step_functions.fan_out.child_execution import describe_child, output_of
from embedded.step_functions.fan_out.concurrency import run_concurrently
from embedded.step_functions.fan_out.map_run import MapRun

ItemInput = Callable[[list[Any], int], Any]


@dataclass(frozen=True)
class MapInput:
    """The input of a Map state.

    Args:
        raw: The state's raw input.
        effective: The same after InputPath.
        items: The items; None means that the ItemReader reads them.
    """

    raw: Any
    effective: Any
    items: list[Any] | None


def run_distributed(branch: Branch, state: State, data: MapInput, item_input: ItemInput, run_states: RunStates) -> Any:
    """Run the children and return their outputs in the order of their items.

    The output of a child whose failure is tolerated is its description. With a ResultWriter, the
    results are in S3 and their address is returned. In a redrive, only children run that have not
    succeeded yet.

    Args:
        item_input: Returns the input of the child for an item.

    Raises:
        TaskError: The items cannot be read, more children failed than tolerated, one could not
            start, or their results are too large or cannot be written.
        CancelledError: The branch was cancelled.
    """
    map_run = _redriven(branch) or _started(branch, state, data)
    failure: TaskError | None = None
    try:
        if map_run.items is None:
            map_run.set_items(item_reader.read(branch, state["ItemReader"], data.raw, data.effective))
        _run_children(branch, state, map_run, item_input, run_states)
    except TaskError as error:
        failure = error
    finally:
        map_run.cancellation.close()
    failure = map_run.failure or failure
    has_unfinished = bool(map_run.unfinished())
    results: Any = None
    try:
        if "ResultWriter" in state and map_run.items is not None:
            described = _all_described(map_run, item_input)
            results = result_writer.write(branch, state["ResultWriter"], data.effective, map_run.arn, described)
        elif failure is None and not branch.cancellation.is_set:
            results = [output_of(child.record) for child in map_run.children if child is not None]
            check_result_size(results, branch.context["State"]["Name"])
    except TaskError as error:
        failure = failure or error
    if has_unfinished:
        # Otherwise a redrive repeats the whole state with a new Map Run.
        branch.attempt.parts = map_run
    if branch.cancellation.is_set:
        map_run.end("ABORTED")
        branch.add_event("MapRunAborted")
        raise CancelledError
    if failure:
        map_run.end("FAILED")
        branch.add_event("MapRunFailed", {"mapRunFailedEventDetails": {"error": failure.error, "cause": failure.cause}})
        branch.attempt.is_reported = True
        raise failure
    map_run.end("SUCCEEDED")
    branch.add_event("MapRunSucceeded")
    branch.add_event("MapStateSucceeded")
    return results


def _started(branch: Branch, state: State, data: MapInput) -> MapRun:
    raw, effective = data.raw, data.effective
    concurrency = map_fields.max_concurrency(branch, state, raw, effective)
    # As recorded on AWS: the length of items to be read is 0, and bad limits fail after this event.
    branch.add_event("MapStateStarted", {"mapStateStartedEventDetails": {"length": len(data.items or [])}})
    tolerated = map_fields.tolerated_failures(branch, state, raw, effective)
    if data.items is None:
        item_reader.max_items(branch, state["ItemReader"], raw, effective)
    machine_arn = str(branch.execution.record["stateMachineArn"])
    authorization.check(branch.execution, Permission("states:StartExecution", machine_arn), "States.Permissions")
    map_run = MapRun(branch, str(state.get("Label") or ""), concurrency, tolerated)
    branch.add_event("MapRunStarted", {"mapRunStartedEventDetails": {"mapRunArn": map_run.arn}})
    if data.items is not None:
        map_run.set_items(data.items)
    return map_run


def _redriven(branch: Branch) -> MapRun | None:
    map_run: MapRun | None = branch.attempt.parts
    branch.attempt.parts = None
    if map_run is None:
        return None
    permission = Permission("states:RedriveExecution", map_run.child_arn("*"))
    authorization.check(branch.execution, permission, "States.Permissions")
    map_run.redrive(branch)
    details = {"mapRunArn": map_run.arn, "redriveCount": map_run.record["redriveCount"]}
    branch.add_event("MapRunRedriven", {"mapRunRedrivenEventDetails": details})
    return map_run


def _run_children(branch: Branch, state: State, map_run: MapRun, item_input: ItemInput, run_states: RunStates) -> None:
    processor = state["ItemProcessor"]
    unfinished, items = map_run.unfinished(), map_run.items or []

    def run_item(position: int) -> None:
        index = unfinished[position]
        child = map_run.children[index]
        if child is None:
            child = map_run.start_child(index, item_input(items, index))
        else:
            map_run.redrive_child(child)
        child.run(branch, processor, run_states)
        map_run.child_ended(child)

    run_concurrently(len(unfinished), run_item, limit=map_run.concurrency, token=map_run.cancellation)


def _all_described(map_run: MapRun, item_input: ItemInput) -> list[dict[str, Any]]:
    """Return what a ResultWriter exports. Items that never started have only their input."""
    items = map_run.items or []
    return [
        {"Input": dump(item_input(items, index)), "InputDetails": {"Included": True}, "Status": "PENDING"}
        if child is None
        else describe_child(child.record)
        for index, child in enumerate(map_run.children)
    ]
