"""Calls of Python workers: the request, the answer and the log lines of each, read in the caller's thread."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import contextlib
import json
import os
import select
import threading
import time
from typing import Any

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.functions.log_streams import LogStream, answers_from

_CHUNK_BYTES = 65_536
"""Size of a read, in bytes: all that a pipe holds."""
_LAST_LINES_SECONDS = 0.25
"""Longest wait for the last lines of a worker that has ended, in seconds."""

_MINISTACK_RETURNED = "            result = handler_fn(event, context)\n"
_MINISTACK_RAISED = (
    '        except Exception as e:\n            _real_stdout.write(json.dumps({"status": "error", "error"'
)
_FLUSH = "            sys.__stderr__.flush()\n"
_NEEDED = ("_spawn", "_read_stderr", "invoke")

_received = threading.local()


def install_worker_calls() -> None:
    """Call Python workers without a thread per call and a thread per worker.

    A worker flushes its log lines before it answers, so they are in the pipe when the answer arrives. ministack looks
    for lines until there has been none for five milliseconds. Install it before anything that changes how the worker
    reports exceptions.
    """
    from ministack.core import lambda_runtime

    script, worker = lambda_runtime._PYTHON_WORKER_SCRIPT, lambda_runtime.Worker
    if _FLUSH in script:
        return
    missing = [name for name in _NEEDED if not callable(getattr(worker, name, None))]
    if missing or script.count(_MINISTACK_RETURNED) != 1 or script.count(_MINISTACK_RAISED) != 1:
        raise MinistackChangedError("ministack's Python worker answers in another way: install the pinned version")
    except_line, separator, write = _MINISTACK_RAISED.partition("\n")
    script = script.replace(_MINISTACK_RETURNED, f"{_MINISTACK_RETURNED}{_FLUSH}")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_MINISTACK_RAISED, f"{except_line}{separator}{_FLUSH}{write}")
    ministack_spawn, ministack_read, ministack_invoke = worker._spawn, worker._read_stderr, worker.invoke

    def spawn(self: Any) -> None:
        if not _is_python(self):
            ministack_spawn(self)
            return
        self.pipes = _Pipes()
        try:
            ministack_spawn(self)
        finally:
            self.pipes.end_start(self._stderr_thread)
        self.pipes.open(self._proc)

    def read_stderr(self: Any) -> None:
        # In a thread that ministack starts with the worker.
        if _is_python(self):
            self.pipes.read_start(self._proc.stderr.fileno())
        else:
            ministack_read(self)

    def invoke(self: Any, event: Any, request_id: str, **context: Any) -> dict[str, Any]:
        if not _is_python(self):
            result: dict[str, Any] = ministack_invoke(self, event, request_id, **context)
            return result
        with self._lock:
            return _invoke(self, event, request_id, **context)

    worker._spawn, worker._read_stderr, worker.invoke = spawn, read_stderr, invoke


def take_answer_bytes() -> int | None:
    """Return the size of the text that this thread's last call received; None if it is not known.

    The answer as JSON in UTF-8 is not larger.
    """
    size, _received.size = getattr(_received, "size", None), None
    return size


def _is_python(worker: Any) -> bool:
    return str(worker.config.get("Runtime", "python")).startswith("python")


def _invoke(
    worker: Any,
    event: Any,
    request_id: str,
    *,
    trace_id: str | None = None,
    depth: Any = None,
    durable: dict[str, Any] | None = None,
    invoked_function_arn: str | None = None,
) -> dict[str, Any]:
    """Send a request to a worker that runs, or that starts now, and return its answer as ministack's worker does."""
    is_cold = worker._proc is None or worker._proc.poll() is not None
    if is_cold:
        worker._spawn()
        worker._cold = False
    process, pipes, timeout = worker._proc, worker.pipes, worker.config.get("Timeout", 30)
    answers_from(pipes.log_stream)
    context = {
        "request_id": request_id,
        "invoked_function_arn": worker.config.get("FunctionArn", "")
        if invoked_function_arn is None
        else invoked_function_arn,
        "timeout_ms": int(float(timeout) * 1000),
        "trace_id": trace_id,
        "depth": depth,
        "durable": durable or {},
    }
    request = json.dumps({"event": event, "ctx": context}).encode() + b"\n"
    try:
        answer = pipes.exchange(request, time.monotonic() + float(timeout))
    except TimeoutError:
        answer = {"status": "error", "error": f"Task timed out after {timeout}.00 seconds"}
        _end(worker, process)
    except OSError:
        pipes.read_last_lines()
        answer = {"status": "error", "error": "Worker process died"}
        _end(worker, process)
    else:
        _received.size = pipes.answer_bytes
        if answer["status"] == "error":
            _end(worker, process)
    return {**answer, "cold_start": is_cold, "log": pipes.take_log()}


def _end(worker: Any, process: Any) -> None:
    """End the process of a call that has failed. The next call starts another one."""
    from ministack.core import lambda_runtime

    worker._proc = None
    lambda_runtime._signal(process)
    lambda_runtime._collect(process, time.monotonic() + lambda_runtime._REAP_GRACE)


class _Pipes:
    """The pipes of a worker: requests to it, its answers, and the lines of its log."""

    def __init__(self) -> None:
        self.log_stream = LogStream()
        self.answer_bytes = 0
        self._log = bytearray()
        self._ended, self._end = os.pipe()
        """Closing the second ends `read_start`."""
        self._stdin = self._stdout = self._stderr = -1

    def read_start(self, stderr: int) -> None:
        """Read the lines of a worker that starts, until `end_start` is called."""
        poller = select.poll()
        poller.register(stderr, select.POLLIN)
        poller.register(self._ended, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if stderr in ready:
                read = os.read(stderr, _CHUNK_BYTES)
                self._log += read
                if not read:
                    return
            elif ready:
                return

    def end_start(self, reader: Any) -> None:
        """End the thread that reads the lines of the start."""
        os.close(self._end)
        if reader is not None:
            reader.join()
        os.close(self._ended)

    def open(self, process: Any) -> None:
        """Take over the pipes of a worker that has started."""
        self._stdin, self._stdout, self._stderr = (
            pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr)
        )
        for descriptor in (self._stdin, self._stderr):
            os.set_blocking(descriptor, False)

    def exchange(self, request: bytes, deadline: float) -> dict[str, Any]:
        """Send a request and return the answer. `deadline` is a time of `time.monotonic`.

        Raises:
            TimeoutError: There was no answer in time.
            OSError: The worker has ended.
        """
        poller = select.poll()
        poller.register(self._stdout, select.POLLIN)
        poller.register(self._stderr, select.POLLIN)
        unsent, lines = self._send(memoryview(request)), _Lines()
        if unsent:
            poller.register(self._stdin, select.POLLOUT)
        while True:
            left = deadline - time.monotonic()
            ready = {descriptor for descriptor, _ in poller.poll(left * 1000)} if left > 0 else ()
            if not ready:
                raise TimeoutError
            if unsent and self._stdin in ready:
                unsent = self._send(unsent)
                if not unsent:
                    poller.unregister(self._stdin)
            if self._stderr in ready and not self._read_log():
                poller.unregister(self._stderr)
            if self._stdout in ready:
                read = os.read(self._stdout, _CHUNK_BYTES)
                if not read:
                    raise BrokenPipeError("the worker has ended")
                if (answer := lines.answer(read)) is not None:
                    # The worker has flushed the lines of the call before it answered.
                    self._read_log()
                    self.answer_bytes = lines.answer_bytes
                    return answer

    def read_last_lines(self) -> None:
        """Read what a worker that has ended left in its log."""
        deadline = time.monotonic() + _LAST_LINES_SECONDS
        poller = select.poll()
        poller.register(self._stderr, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and poller.poll(left * 1000):
            if not self._read_log():
                return

    def take_log(self) -> str:
        """Return the lines since the last call."""
        text = self._log.decode(errors="replace").replace("\r\n", "\n").removesuffix("\n")
        self._log.clear()
        return text

    def _send(self, data: memoryview) -> memoryview:
        """Send as much as the pipe takes, and return the rest."""
        with contextlib.suppress(BlockingIOError):
            while data:
                data = data[os.write(self._stdin, data) :]
        return data

    def _read_log(self) -> bool:
        """Read the lines that are in the pipe. Return False if the worker has closed it."""
        with contextlib.suppress(BlockingIOError):
            while True:
                read = os.read(self._stderr, _CHUNK_BYTES)
                self._log += read
                if len(read) < _CHUNK_BYTES:
                    return bool(read)
        return True


class _Lines:
    """The lines that a worker writes. Its child processes may write others than answers."""

    def __init__(self) -> None:
        self.answer_bytes = 0
        self._line = bytearray()

    def answer(self, read: bytes) -> dict[str, Any] | None:
        """Return the answer if what was read completes it."""
        *ended, rest = read.split(b"\n")
        for part in ended:
            self._line += part
            line, self._line = bytes(self._line).strip(), bytearray()
            if line.startswith(b"{"):
                with contextlib.suppress(ValueError):
                    found: dict[str, Any] = json.loads(line)
                    if found.get("status") in {"ok", "error"}:
                        self.answer_bytes = len(line)
                        return found
        self._line += rest
        return None
