"""The executions that run now."""

import threading

from embedded.seams import workflows
from embedded.step_functions.executions.execution import Run

_lock = threading.Lock()
_added = threading.Condition(_lock)
_LOOK_AGAIN_SECONDS = 0.1
_running: dict[str, Run] = {}


def add(run: Run) -> None:
    with _lock:
        _running[run.arn] = run
        _added.notify_all()


def remove(run: Run) -> None:
    with _lock:
        _running.pop(run.arn, None)
    run.log.write(run.record)
    run.done.set()


def find(execution_arn: str) -> Run | None:
    with _lock:
        return _running.get(execution_arn)


def find_started(execution_arn: str) -> Run | None:
    """The run of an execution that was just started, whose thread may not have begun yet; None when it has ended."""
    with _added:
        while execution_arn not in _running:
            record = workflows.execution_record(execution_arn)
            if record is None or record["status"] != "RUNNING":
                return None
            _added.wait(_LOOK_AGAIN_SECONDS)  # it may be gone with its state machine, which nothing tells
        return _running[execution_arn]


def stop(execution_arn: str, *, cause: str) -> None:
    """Abort an execution from inside, as StopExecution does from outside."""
    run = find(execution_arn)
    if run is not None:
        run.fail("ABORTED", None, cause)
        run.cancellation.cancel()


def stopped(execution_arn: str) -> None:
    """StopExecution has marked the record; end what it is doing, its child executions and their tasks included."""
    run = find(execution_arn)
    if run is not None:
        run.cancellation.cancel()


def stop_all() -> None:
    with _lock:
        running = list(_running.values())
    for run in running:
        run.cancellation.cancel()
