"""Child executions of a distributed Map."""

import json
from typing import Any

from embedded.ministack.step_functions import workflows
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.executions import redrive, running
from embedded.step_functions.executions.cancellation import Cancellation, CancelledError
from embedded.step_functions.executions.execution import Branch, Execution
from embedded.step_functions.executions.resume_point import ResumePoint
from embedded.step_functions.fan_out.branches import RunStates


class ChildExecution:
    """The child execution of one item, which may run again in a redrive."""

    def __init__(self, record: workflows.Record, parent: Execution, cancellation: Cancellation) -> None:
        self.record = record
        self._resume_point: ResumePoint | None = None
        self._execution: Execution | None = self._begin(parent, cancellation)
        """The run that has begun; None when it has ended, as thousands of children may be kept."""

    def redrive(self, parent: Execution, cancellation: Cancellation) -> None:
        """Begin the next run; `cancellation` is its own token."""
        redrive.reopen(self.record)
        self._execution = self._begin(parent, cancellation)

    def _begin(self, parent: Execution, cancellation: Cancellation) -> Execution:
        """Register the execution, so that it can be found and stopped."""
        execution = Execution(self.record, role_arn=parent.role_arn, cancellation=cancellation, log=parent.log)
        if not self.record["events"]:
            details = {
                "input": self.record["input"], "inputDetails": {"truncated": False}, "roleArn": parent.role_arn,
            }  # fmt: skip
            execution.add_event("ExecutionStarted", {"executionStartedEventDetails": details}, 0)
        running.add(execution)
        return execution

    def run(self, parent: Branch, processor: dict[str, Any], run_states: RunStates) -> None:
        """Run the states of the child to their end, from where an earlier run ended."""
        execution, self._execution = self._execution, None
        if execution is None:
            raise RuntimeError(f"{self.record['executionArn']} has ended: call redrive first")
        language = processor.get("QueryLanguage", parent.query_language)
        branch = Branch(
            execution=execution,
            context=self._context(execution, language),
            cancellation=execution.cancellation,
            last_event=len(self.record["events"]) if self._resume_point else 0,
            time_scale=parent.time_scale,
            query_language=language,
        )
        try:
            output = run_states(branch, processor, branch.context["Execution"]["Input"], self._resume_point)
            execution.succeed(output, branch.last_event)
        except TaskError as failure:
            execution.fail("FAILED", failure.error, failure.cause, branch.last_event)
        except CancelledError:
            execution.fail("ABORTED", "", "The Map Run was stopped", branch.last_event)
        finally:
            self._resume_point = branch.resume_point or self._resume_point
            execution.cancellation.close()
            running.remove(execution)
            if self.record["status"] == "SUCCEEDED":  # others may be redriven
                workflows.pack_history(self.record)

    def _context(self, execution: Execution, query_language: str) -> dict[str, Any]:
        # As on AWS, a child has its own context, and `$$.Map.Item` exists in the ItemSelector only.
        record = self.record
        return {
            "QueryLanguage": query_language,
            "Execution": {
                "Id": execution.arn,
                "Input": json.loads(record["input"]),
                "Name": record["name"],
                "RoleArn": execution.role_arn,
                "StartTime": record["startDate"],
                **redrive.context_fields(record),
            },
            "StateMachine": {"Id": record["stateMachineArn"], "Name": record["stateMachineArn"].rpartition(":")[2]},
            "variables": {},
        }


def output_of(record: workflows.Record) -> Any:
    """Return a child's result in the Map: its output, or its description if it failed."""
    return json.loads(record["output"]) if record["status"] == "SUCCEEDED" else describe_child(record)


def describe_child(record: workflows.Record) -> dict[str, Any]:
    """Return the description of an ended child.

    A ResultWriter exports it, and a Map's result contains it for a failed child.
    """
    names = {
        "ExecutionArn": "executionArn", "Input": "input", "InputDetails": "inputDetails", "Name": "name",
        "Output": "output", "Error": "error", "Cause": "cause", "StartDate": "startDate",
        "StateMachineArn": "stateMachineArn", "Status": "status", "StopDate": "stopDate",
    }  # fmt: skip
    described = {name: record[key] for name, key in names.items() if record.get(key) is not None}
    succeeded = record["status"] == "SUCCEEDED"
    described |= {"InputDetails": {"Included": True}, "OutputDetails": {"Included": succeeded}}
    if succeeded:
        described["RedriveStatusReason"] = "Execution is SUCCEEDED and cannot be redriven"
    return {**described, "RedriveCount": record.get("redriveCount", 0), "RedriveStatus": "NOT_REDRIVABLE"}
