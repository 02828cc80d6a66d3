"""The log lines of one call of a function, which end with a mark of the worker."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import queue
import time
from typing import Any

from embedded.ministack.errors import MinistackChangedError

_MARK = "embedded-aws:end-of-call "
_LONGEST_SECONDS = 0.25
"""Longest wait for the lines of a worker that has answered, in seconds."""
_MINISTACK_ANSWERED = '"trace": traceback.format_exc()}) + "\\n")\n        _real_stdout.flush()\n'
_ANSWERED = f"""{_MINISTACK_ANSWERED}        sys.stderr.write("{_MARK}" + _ms_ctx.get("request_id", "") + "\\n")
        sys.stderr.flush()
"""


def install_call_logs() -> None:
    """Let workers mark the end of a call's lines, and read the lines up to the mark.

    ministack looks for lines every millisecond until there has been none for five. Install it before anything that
    changes how the worker reports exceptions.
    """
    from ministack.core import lambda_runtime

    script, worker = lambda_runtime._PYTHON_WORKER_SCRIPT, lambda_runtime.Worker
    if _MARK in script:
        return
    if script.count(_MINISTACK_ANSWERED) != 1 or not callable(getattr(worker, "_drain_stderr_bounded", None)):
        raise MinistackChangedError("ministack's Python worker answers in another way: install the pinned version")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_MINISTACK_ANSWERED, _ANSWERED)
    invoke, drain = worker.invoke, worker._drain_stderr_bounded

    def invoke_marked(self: Any, event: Any, request_id: str, **named: Any) -> Any:
        self.end_of_call = f"{_MARK}{request_id}"
        return invoke(self, event, request_id, **named)

    def drain_to_mark(self: Any, *arguments: Any, **named: Any) -> Any:
        # The worker has ended, or is not of our script.
        if self._proc is None or not self.config.get("Runtime", "python").startswith("python"):
            return drain(self, *arguments, **named)
        return _lines(self._stderr_queue, self.end_of_call)

    worker.invoke, worker._drain_stderr_bounded = invoke_marked, drain_to_mark


def _lines(stderr: "queue.Queue[str]", end: str) -> str:
    """Return the lines up to the mark of a call, without the marks of calls before it."""
    lines = []
    latest = time.monotonic() + _LONGEST_SECONDS
    while True:
        try:
            line = stderr.get(timeout=max(0.0, latest - time.monotonic()))
        except queue.Empty:
            break
        text, mark, call = line.rpartition(_MARK)
        if not mark or text:
            lines.append(text if mark else line)
        if mark and mark + call == end:
            break
    return "\n".join(lines)
