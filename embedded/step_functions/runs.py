"""The executions that run now."""

import threading

from embedded.step_functions.execution import Run

_lock = threading.Lock()
_running: dict[str, Run] = {}


def add(run: Run) -> None:
    with _lock:
        _running[run.arn] = run


def remove(run: Run) -> None:
    with _lock:
        _running.pop(run.arn, None)
    run.log.write(run.record)
    run.done.set()


def find(execution_arn: str) -> Run | None:
    with _lock:
        return _running.get(execution_arn)


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
