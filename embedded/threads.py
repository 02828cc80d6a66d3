"""Threads for short calls. Each runs one call after another, because starting a thread costs more than most calls."""

import contextvars
import logging
import queue
import threading
from collections.abc import Callable

_IDLE_SECONDS = 10.0
"""Time without a call after which a thread ends, in seconds."""

_logger = logging.getLogger("embedded.threads")
_Calls = queue.SimpleQueue[tuple[Callable[[], object], str]]

_idle: list[_Calls] = []
"""The queue of each thread that waits for a call. The one that has waited the shortest is last."""


def start_thread(target: Callable[..., object], *arguments: object, name: str) -> None:
    """Call `target` in a daemon thread with the caller's context variables (account and Region).

    The thread has `name` during the call. An exception of the call is logged.
    """
    scope = contextvars.copy_context()
    call = (lambda: scope.run(target, *arguments)), name
    try:
        _idle.pop().put(call)
    except IndexError:
        calls: _Calls = queue.SimpleQueue()
        calls.put(call)
        threading.Thread(target=_run_calls, args=(calls,), daemon=True).start()


def _run_calls(calls: _Calls) -> None:
    """Run the calls of a queue until there has been none for a while."""
    thread = threading.current_thread()
    while True:
        try:
            call, thread.name = calls.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            try:
                _idle.remove(calls)
            except ValueError:
                # Another thread has just chosen this one: its call follows.
                continue
            return
        try:
            call()
        except Exception:
            _logger.exception("the thread %s failed", thread.name)
        # Keep nothing of the call alive while the thread waits.
        del call
        _idle.append(calls)
