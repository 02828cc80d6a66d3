"""Concurrent work with a limit that may change while it runs."""

import threading
from collections.abc import Callable

from embedded.step_functions.executions.cancellation import Cancellation, CancelledError
from embedded.threads import start_thread

_POLL_SECONDS = 1.0
"""Longest time until a limit changed by UpdateMapRun takes effect."""


def run_concurrently(count: int, work: Callable[[int], None], *, limit: Callable[[], int], token: Cancellation) -> None:
    """Call `work(0)` to `work(count - 1)`, at most `limit()` at once, and wait for all.

    Once `token` is cancelled, no further call starts. `work` must handle its own failures, except
    for `CancelledError`. Any other exception cancels `token` and is raised after the running calls
    have ended.
    """
    changed = threading.Condition()
    running = 0
    unexpected: list[Exception] = []

    def run_one(index: int) -> None:
        nonlocal running
        try:
            work(index)
        except CancelledError:
            pass
        except Exception as failure:
            unexpected.append(failure)
            token.cancel()
        finally:
            with changed:
                running -= 1
                changed.notify_all()

    def wake() -> None:
        with changed:
            changed.notify_all()

    take_back = token.on_cancel(wake)
    try:
        for index in range(count):
            with changed:
                while running >= max(1, limit()) and not token.is_set:
                    changed.wait(_POLL_SECONDS)
                if token.is_set:
                    break
                running += 1
            start_thread(run_one, index, name=f"branch-{index}")
        with changed:
            changed.wait_for(lambda: running == 0)
    finally:
        take_back()
    if unexpected:
        raise unexpected[0]
