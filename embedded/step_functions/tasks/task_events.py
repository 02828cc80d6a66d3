"""The history events of a Task state, named and filled as on AWS."""

from typing import Any

from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import dump
from embedded.step_functions.executions.execution import Branch

NO_TIMEOUT_SECONDS = 99_999_999
"""Timeout of a Task that sets none, as on AWS."""

_OPTIMIZED = "arn:aws:states:::"


class TaskEvents:
    """The events of one attempt of a Task.

    A Task whose Resource is a function's ARN has LambdaFunction events, every other Task events.

    `name` is the name under which AWS reports a result that is too large.
    """

    def __init__(self, branch: Branch, resource: str) -> None:
        self._branch = branch
        self._resource = resource
        self._is_function = not resource.startswith(_OPTIMIZED)
        kind, _, action = resource.removeprefix(_OPTIMIZED).partition(":")
        self._shown = {} if self._is_function else {"resourceType": kind, "resource": action}
        self.name = resource if self._is_function else kind
        self._is_open = True

    def scheduled(self, text: str, timeout_seconds: float) -> None:
        """Record that the task was scheduled and has started. `text` is the JSON of its parameters."""
        details: dict[str, Any]
        if self._is_function:
            details = {"resource": self._resource, "input": text, "inputDetails": {"truncated": False}}
        else:
            details = {**self._shown, "region": self._branch.execution.region, "parameters": text}
        if timeout_seconds != NO_TIMEOUT_SECONDS:
            details["timeoutInSeconds"] = int(timeout_seconds)
        self._add("Scheduled", details)
        self._add("Started", self._shown)

    def submitted(self, answer: Any) -> None:
        """Record the answer of the API call that began the work for which a `.sync` task waits.

        A call that ends after the task has timed out is not recorded.
        """
        if self._is_open:
            self._add("Submitted", {**self._shown, "output": dump(answer), "outputDetails": {"truncated": False}})

    def succeeded(self, text: str) -> None:
        """Record that the task succeeded. `text` is the JSON of its result."""
        self._is_open = False
        self._add("Succeeded", {**self._shown, "output": text, "outputDetails": {"truncated": False}})

    def failed(self, failure: TaskError) -> None:
        """Record that the task failed or timed out."""
        self._is_open = False
        given = {"error": failure.error, "cause": failure.cause}
        shown = {key: value for key, value in given.items() if value}
        self._add("TimedOut" if failure.error == "States.Timeout" else "Failed", {**self._shown, **shown})

    def _add(self, ending: str, details: dict[str, Any]) -> None:
        kind = f"{'LambdaFunction' if self._is_function else 'Task'}{ending}"
        field = f"{kind[0].lower()}{kind[1:]}EventDetails"
        self._branch.add_event(kind, {field: details} if details else {})
