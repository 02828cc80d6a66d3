"""Distributed Map: a Map Run with one child execution per item."""

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from embedded.seams import workflows
from embedded.seams.tasks import TaskError
from embedded.step_functions import authorization
from embedded.step_functions.authorization import Permission
from embedded.step_functions.data_flow import State, dump, limited
from embedded.step_functions.executions import running
from embedded.step_functions.executions.cancellation import Cancellation, CancelledError
from embedded.step_functions.executions.execution import Branch, Execution
from embedded.step_functions.fan_out.concurrency import run_concurrently

RunStates = Callable[[Branch, dict[str, Any], Any], Any]

UNLIMITED_CONCURRENCY = 200
"""Default limit of child executions that run concurrently.

AWS runs up to 10,000. Here each child is a thread on a few cores.
"""

_COUNTS = (
    "pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten",
    "failuresNotRedrivable", "pendingRedrive",
)  # fmt: skip
_OUTCOMES = {"SUCCEEDED": "succeeded", "FAILED": "failed", "TIMED_OUT": "timedOut", "ABORTED": "aborted"}


def run_distributed(
    branch: Branch,
    state: State,
    processor: dict[str, Any],
    count: int,
    item_input: Callable[[int], Any],
    *,
    concurrency: int,
    tolerated: dict[str, float],
    run_states: RunStates,
) -> list[Any]:
    """Run the children and return their outputs in the order of their items.

    The output of a child whose failure is tolerated is its description.

    Raises:
        TaskError: More children failed than tolerated, or one could not start.
        CancelledError: The branch was cancelled.
    """
    machine_arn = str(branch.execution.record["stateMachineArn"])
    permission = Permission("states:StartExecution", machine_arn)
    authorization.check(branch.execution, permission, "States.Permissions")
    branch.add_event("MapStateStarted", {"mapStateStartedEventDetails": {"length": count}})
    map_run = _MapRun(branch, state, count, concurrency, tolerated)
    branch.add_event("MapRunStarted", {"mapRunStartedEventDetails": {"mapRunArn": map_run.arn}})
    results: list[Any] = [None] * count

    def run_item(index: int) -> None:
        child = map_run.start_child(item_input(index))
        fork = Branch(
            execution=child,
            context=_child_context(branch, child),
            cancellation=child.cancellation,
            time_scale=branch.time_scale,
            query_language=processor.get("QueryLanguage", branch.query_language),
        )
        _run_child(fork, processor, run_states)
        map_run.child_ended(child)
        status = child.record["status"]
        results[index] = fork.context["Output"] if status == "SUCCEEDED" else describe_child(child.record)

    try:
        run_concurrently(count, run_item, limit=map_run.concurrency, token=map_run.cancellation)
    except TaskError as failure:
        map_run.end("FAILED")
        branch.add_event("MapRunFailed", {"mapRunFailedEventDetails": {"error": failure.error, "cause": failure.cause}})
        branch.add_event("MapStateFailed")
        raise
    finally:
        map_run.cancellation.close()
    if branch.cancellation.is_set:
        map_run.end("ABORTED")
        branch.add_event("MapRunAborted")
        raise CancelledError
    if map_run.failure:
        error, cause = "States.ExceedToleratedFailureThreshold", map_run.failure
        map_run.end("FAILED")
        branch.add_event("MapRunFailed", {"mapRunFailedEventDetails": {"error": error, "cause": cause}})
        branch.add_event("MapStateFailed")
        raise TaskError(error, cause)
    map_run.end("SUCCEEDED")
    branch.add_event("MapRunSucceeded")
    branch.add_event("MapStateSucceeded")
    return results


def _run_child(branch: Branch, processor: dict[str, Any], run_states: RunStates) -> None:
    child = branch.execution
    try:
        output = run_states(branch, processor, branch.context["Execution"]["Input"])
        branch.context["Output"] = output
        child.succeed(output, branch.last_event)
    except TaskError as failure:
        child.fail("FAILED", failure.error, failure.cause, branch.last_event)
    except CancelledError:
        child.fail("ABORTED", "", "The Map Run was stopped", branch.last_event)
    finally:
        child.cancellation.close()
        running.remove(child)


def _child_context(branch: Branch, child: Execution) -> dict[str, Any]:
    # As on AWS, a child has its own context, and `$$.Map.Item` exists in the ItemSelector only.
    record = child.record
    return {
        "QueryLanguage": branch.query_language,
        "Execution": {
            "Id": child.arn,
            "Input": json.loads(record["input"]),
            "Name": record["name"],
            "RoleArn": child.role_arn,
            "StartTime": record["startDate"],
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": record["stateMachineArn"], "Name": record["stateMachineArn"].rpartition(":")[2]},
        "variables": {},
    }


def describe_child(record: workflows.Record) -> dict[str, Any]:
    """Return the description of a failed child, with its error and cause, as it appears in the
    Map's result.
    """
    names = {
        "ExecutionArn": "executionArn", "Input": "input", "InputDetails": "inputDetails", "Name": "name",
        "Error": "error", "Cause": "cause", "StartDate": "startDate", "StateMachineArn": "stateMachineArn",
        "Status": "status", "StopDate": "stopDate",
    }  # fmt: skip
    described = {name: record[key] for name, key in names.items() if record.get(key) is not None}
    return {**described, "OutputDetails": {"Included": False}, "RedriveCount": 0, "RedriveStatus": "NOT_REDRIVABLE"}


class _MapRun:
    """The record that DescribeMapRun shows, and the decision whether too many items have failed."""

    def __init__(self, branch: Branch, state: State, count: int, concurrency: int, tolerated: dict[str, float]) -> None:
        parent = branch.execution
        name = str(parent.record["stateMachineArn"]).split(":")[6]
        self._label = str(state.get("Label") or uuid.uuid4())
        self._here = f"arn:aws:states:{parent.region}:{parent.account_id}"
        self._machine_name = f"{name}/{self._label}"
        self._parent = parent
        self._lock = threading.Lock()
        self._tolerated = tolerated
        self.arn = f"{self._here}:mapRun:{self._machine_name}:{uuid.uuid4()}"
        self.cancellation: Cancellation = branch.cancellation.child()
        self.failure = ""
        counts = dict.fromkeys(_COUNTS, 0) | {"total": count, "pending": count}
        self.record: workflows.Record = {
            "mapRunArn": self.arn,
            "executionArn": parent.arn,
            "status": "RUNNING",
            "startDate": workflows.timestamp(),
            "maxConcurrency": concurrency,
            "toleratedFailurePercentage": tolerated.get("ToleratedFailurePercentage", 0.0),
            "toleratedFailureCount": int(tolerated.get("ToleratedFailureCount", 0)),
            "itemCounts": dict(counts),
            "executionCounts": dict(counts),
            "redriveCount": 0,
            "_stateMachineArn": f"{self._here}:stateMachine:{self._machine_name}",
        }
        workflows.store_map_run(self.record)

    def concurrency(self) -> int:
        return int(self.record["maxConcurrency"]) or UNLIMITED_CONCURRENCY

    def start_child(self, data: Any) -> Execution:
        limited(data, "The input of a child workflow execution")
        name = str(uuid.uuid4())
        started = workflows.timestamp()
        record: workflows.Record = {
            "executionArn": f"{self._here}:execution:{self._machine_name}:{name}",
            "stateMachineArn": self.record["_stateMachineArn"],
            "name": name,
            "status": "RUNNING",
            "startDate": started,
            "stopDate": None,
            "input": dump(data),
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": {"included": True},
            "mapRunArn": self.arn,
            "events": [],
        }
        parent = self._parent
        child = Execution(record, role_arn=parent.role_arn, cancellation=self.cancellation.child(), log=parent.log)
        details = {"input": record["input"], "roleArn": child.role_arn}
        child.add_event("ExecutionStarted", {"executionStartedEventDetails": details}, 0)
        running.add(child)
        workflows.store_execution(record)
        self._move("pending", "running")
        return child

    def child_ended(self, child: Execution) -> None:
        self._move("running", _OUTCOMES[child.record["status"]])
        if not self.failure and not self.cancellation.is_set:
            self.failure = self._excess()
            if self.failure:
                self.cancellation.cancel()

    def _excess(self) -> str:
        """Return why the Map Run fails; empty while the failures are tolerated."""
        with self._lock:
            counts = dict(self.record["itemCounts"])
        failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
        limits = []
        for field, value in (("ToleratedFailureCount", failed), ("ToleratedFailurePercentage", self._share(counts))):
            limit = self.record[field[0].lower() + field[1:]]
            # UpdateMapRun can set a limit that the definition lacks.
            if field in self._tolerated or limit:
                limits.append((value > limit, f"{field} {limit:g}"))
        exceeded = any(over for over, _ in limits) if limits else failed > 0
        if not exceeded:
            return ""
        text = ", ".join(shown for _, shown in limits) or "none"
        return (
            f"The specified tolerated failure threshold was exceeded: {failed} of {counts['total']} items failed, "
            f"tolerated: {text}"
        )

    @staticmethod
    def _share(counts: dict[str, int]) -> float:
        return (counts["failed"] + counts["timedOut"] + counts["aborted"]) * 100 / counts["total"]

    def end(self, status: str) -> None:
        self.record.update(status=status, stopDate=workflows.timestamp())

    def _move(self, before: str, after: str) -> None:
        with self._lock:
            for counts in (self.record["itemCounts"], self.record["executionCounts"]):
                counts[before] -= 1
                counts[after] += 1
