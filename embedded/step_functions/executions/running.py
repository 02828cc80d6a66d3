"""The executions that are running, by ARN."""

import threading
from collections import deque

from embedded.ministack.step_functions import workflows
from embedded.step_functions.executions.execution import Execution

_lock = threading.Lock()
_added = threading.Condition(_lock)
_POLL_SECONDS = 0.1
_running: dict[str, Execution] = {}
MAX_ENDED = 20_000
"""Largest number of ended executions to keep, children of Maps included.

AWS keeps all for 90 days.
"""
_ended: deque[str] = deque()


def add(execution: Execution) -> None:
    with _lock:
        _running[execution.arn] = execution
        _added.notify_all()


def remove(execution: Execution) -> None:
    """Log an ended execution and wake the threads that wait for it."""
    with _lock:
        _running.pop(execution.arn, None)
        _ended.append(execution.arn)
        oldest = _ended.popleft() if len(_ended) > MAX_ENDED else None
        if oldest is not None and oldest not in _running and oldest not in _ended:
            workflows.forget_execution(oldest)
    execution.log.write(execution.record)
    execution.done.set()


def any_running() -> bool:
    return bool(_running)


def find(execution_arn: str) -> Execution | None:
    with _lock:
        return _running.get(execution_arn)


def find_started(execution_arn: str) -> Execution | None:
    """Return a started execution, even before its thread begins; None if it has ended."""
    with _added:
        while execution_arn not in _running:
            record = workflows.execution_record(execution_arn)
            if record is None or record["status"] != "RUNNING":
                return None
            # Deleting the state machine deletes the execution without a notification, so poll.
            _added.wait(_POLL_SECONDS)
        return _running[execution_arn]


def stop(execution_arn: str, *, cause: str) -> None:
    """Abort an execution, as the API's StopExecution does."""
    execution = find(execution_arn)
    if execution is not None:
        execution.fail("ABORTED", "", cause)
        execution.cancellation.cancel()


def stopped(execution_arn: str) -> None:
    """Cancel an execution that StopExecution has marked, with its children and tasks."""
    execution = find(execution_arn)
    if execution is not None:
        execution.cancellation.cancel()


def stop_all() -> None:
    """Cancel all running executions. Their records stay as they are."""
    with _lock:
        running = list(_running.values())
    for execution in running:
        execution.cancellation.cancel()
