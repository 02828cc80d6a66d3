"""Registration of our own services as Task resources of state machines."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TaskCall:
    """One call of a Task state to an integration.

    `resource` is the state's Resource with its suffix (`….sync`). `parameters` are the resolved
    parameters, and `role_arn` is the state machine's role. `cancelled` is set when
    the execution was stopped, but not when the state has timed out. The handler must then stop its
    work and return soon; its result is ignored. `on_cancel(callback)` calls `callback` then, and
    returns a function that removes the callback. A handler that waits for its work (`.sync`) calls
    `submitted(answer)` with the answer of the API call that began it.
    """

    resource: str
    parameters: dict[str, Any]
    execution_arn: str
    role_arn: str
    cancelled: threading.Event = field(default_factory=threading.Event)
    submitted: Callable[[Any], object] = lambda _answer: None
    on_cancel: Callable[[Callable[[], object]], Callable[[], None]] = lambda _callback: lambda: None


class TaskError(Exception):
    """An integration failed. Retry and Catch match `error`; `cause` is the reported text.

    A Fail state can lack both, and a time-out lacks a cause: they are empty then.
    """

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


TaskHandler = Callable[[TaskCall], dict[str, Any]]

_integrations: dict[str, TaskHandler] = {}


def add_task_integration(resource_prefix: str, handler: TaskHandler) -> None:
    """Serve the Task states of a Resource, with or without a suffix such as `.sync`.

    The handler runs in a worker thread and may block. It raises `TaskError` to fail the state.
    """
    _integrations[resource_prefix] = handler


def task_integration(resource: str) -> TaskHandler | None:
    """Return the handler of `resource`; None means that ministack serves it."""
    return _integrations.get(resource.removesuffix(".sync").removesuffix(".waitForTaskToken"))
