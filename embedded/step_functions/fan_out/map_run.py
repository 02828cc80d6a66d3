"""Map Runs: the record that DescribeMapRun shows, and the children that it counts."""

import threading
import uuid
from typing import Any

from embedded.ministack.step_functions import workflows
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import check_size
from embedded.step_functions.executions.cancellation import Cancellation
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.fan_out.child_execution import ChildExecution

UNLIMITED_CONCURRENCY = 200
"""Default limit of child executions that run concurrently.

AWS runs up to 10,000. Here each child is a thread on a few cores.
"""

_COUNTS = (
    "pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten",
    "failuresNotRedrivable", "pendingRedrive",
)  # fmt: skip
_INCLUDED = {"included": True}
"""Shared by the records of all children, of which there may be many thousands. Nothing changes it."""
_OUTCOMES = {"SUCCEEDED": "succeeded", "FAILED": "failed", "TIMED_OUT": "timedOut", "ABORTED": "aborted"}


class MapRun:
    """A Map Run and its children.

    `children` has one entry per item; None until the item's child starts. `items` is None until the
    ItemReader has read them. `failure` is set once more children have failed than are tolerated.
    """

    def __init__(self, branch: Branch, label: str, concurrency: int, tolerated: dict[str, float]) -> None:
        parent = branch.execution
        name = str(parent.record["stateMachineArn"]).split(":")[6]
        self._here = f"arn:aws:states:{parent.region}:{parent.account_id}"
        self._machine_name = f"{name}/{label or uuid.uuid4()}"
        self._parent = parent
        self._lock = threading.Lock()
        self._tolerated = tolerated
        self.arn = f"{self._here}:mapRun:{self._machine_name}:{uuid.uuid4()}"
        self.cancellation: Cancellation = branch.cancellation.child()
        self.failure: TaskError | None = None
        self.items: list[Any] | None = None
        self.children: list[ChildExecution | None] = []
        self.record: workflows.Record = {
            "mapRunArn": self.arn,
            "executionArn": parent.arn,
            "status": "RUNNING",
            "startDate": workflows.timestamp(),
            "maxConcurrency": concurrency,
            "toleratedFailurePercentage": tolerated.get("ToleratedFailurePercentage", 0.0),
            "toleratedFailureCount": int(tolerated.get("ToleratedFailureCount", 0)),
            "itemCounts": dict.fromkeys(_COUNTS, 0),
            "executionCounts": dict.fromkeys(_COUNTS, 0),
            "redriveCount": 0,
            "_stateMachineArn": f"{self._here}:stateMachine:{self._machine_name}",
        }
        workflows.store_map_run(self.record)

    def set_items(self, items: list[Any]) -> None:
        self.items = items
        self.children = [None] * len(items)
        with self._lock:
            for counts in (self.record["itemCounts"], self.record["executionCounts"]):
                counts.update(total=len(items), pending=len(items))

    def unfinished(self) -> list[int]:
        """Return the indexes of the items whose child has not succeeded, or has not started."""
        return [
            index for index, child in enumerate(self.children) if child is None or child.record["status"] != "SUCCEEDED"
        ]

    def concurrency(self) -> int:
        return int(self.record["maxConcurrency"]) or UNLIMITED_CONCURRENCY

    def child_arn(self, name: str) -> str:
        return f"{self._here}:execution:{self._machine_name}:{name}"

    def start_child(self, index: int, data: Any) -> ChildExecution:
        text = check_size(data, "The input of a child workflow execution")
        name = str(uuid.uuid4())
        record: workflows.Record = {
            "executionArn": self.child_arn(name),
            "stateMachineArn": self.record["_stateMachineArn"],
            "name": name,
            "status": "RUNNING",
            "startDate": workflows.timestamp(),
            "stopDate": None,
            "input": text,
            "inputDetails": _INCLUDED,
            "output": None,
            "outputDetails": _INCLUDED,
            "mapRunArn": self.arn,
            "events": [],
        }
        child = self.children[index] = ChildExecution(record, self._parent, self.cancellation.child())
        workflows.store_execution(record)
        self._move("pending", "running")
        return child

    def redrive(self, branch: Branch) -> None:
        """Let the children that did not succeed wait for their redrive."""
        self.cancellation = branch.cancellation.child()
        self.failure = None
        self._parent = branch.execution
        with workflows.EVENT_LOCK:
            self.record.update(
                status="RUNNING", redriveCount=self.record["redriveCount"] + 1, redriveDate=workflows.timestamp()
            )
            self.record.pop("stopDate", None)
        for child in self._unsuccessful():
            self._move(_OUTCOMES[child.record["status"]], "pendingRedrive")
            child.record["_endedAs"], child.record["status"] = child.record["status"], "PENDING_REDRIVE"

    def redrive_child(self, child: ChildExecution) -> None:
        """Start the next run of a child that waits for its redrive."""
        child.record.pop("_endedAs")
        child.redrive(self._parent, self.cancellation.child())
        self._move("pendingRedrive", "running")

    def child_ended(self, child: ChildExecution) -> None:
        self._move("running", _OUTCOMES[child.record["status"]])
        if self.failure is None and not self.cancellation.is_set and self._is_exceeded():
            text = "The specified tolerated failure threshold was exceeded"
            self.failure = TaskError("States.ExceedToleratedFailureThreshold", text)
            self.cancellation.cancel()

    def end(self, status: str) -> None:
        for child in self._unsuccessful():
            if child.record["status"] == "PENDING_REDRIVE":
                child.record["status"] = child.record.pop("_endedAs")
                self._move("pendingRedrive", _OUTCOMES[child.record["status"]])
        with self._lock:
            for counts in (self.record["itemCounts"], self.record["executionCounts"]):
                # Also counted without a ResultWriter, as recorded on AWS.
                counts["resultsWritten"] = sum(counts[outcome] for outcome in _OUTCOMES.values())
        self.record.update(status=status, stopDate=workflows.timestamp())

    def _unsuccessful(self) -> list[ChildExecution]:
        return [child for child in self.children if child is not None and child.record["status"] != "SUCCEEDED"]

    def _is_exceeded(self) -> bool:
        with self._lock:
            counts = dict(self.record["itemCounts"])
        failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
        values = {"ToleratedFailureCount": failed, "ToleratedFailurePercentage": failed * 100 / counts["total"]}
        limits = {field: self.record[field[0].lower() + field[1:]] for field in values}
        # UpdateMapRun can set a limit that the definition lacks.
        set_limits = [field for field in values if field in self._tolerated or limits[field]]
        return any(values[field] > limits[field] for field in set_limits) if set_limits else failed > 0

    def _move(self, before: str, after: str) -> None:
        with self._lock:
            for counts in (self.record["itemCounts"], self.record["executionCounts"]):
                counts[before] -= 1
                counts[after] += 1
