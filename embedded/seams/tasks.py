"""How a service of our own becomes a Task resource of the state machines."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TaskCall:
    """One call that a Task state makes to an integration.

    `resource` is the state's Resource with its suffix (`….sync`), `parameters` the resolved parameters, `role_arn` the
    state machine's role. `cancelled` is set when the state has timed out or its execution was stopped: the handler
    must then undo or stop what it has started and return soon; what it returns is ignored.
    """

    resource: str
    parameters: dict[str, Any]
    execution_arn: str
    role_arn: str
    cancelled: threading.Event = field(default_factory=threading.Event)


class TaskError(Exception):
    """The integration failed: `error` is what Retry and Catch match, `cause` the text that Step Functions reports."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


TaskHandler = Callable[[TaskCall], dict[str, Any]]

_integrations: dict[str, TaskHandler] = {}


def add_task_integration(resource_prefix: str, handler: TaskHandler) -> None:
    """Serve Task states whose Resource is `resource_prefix`, with or without a suffix such as `.sync`.

    The handler runs in a worker thread and may block until its work ends; it raises `TaskError` to fail the state.
    """
    _integrations[resource_prefix] = handler


def task_integration(resource: str) -> TaskHandler | None:
    """The handler that serves `resource`, or None when ministack is to serve it."""
    return _integrations.get(resource.removesuffix(".sync").removesuffix(".waitForTaskToken"))
