"""What a worker and its models print, as lines of the job's log that say whose they are."""

import contextlib
import io
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any

from contract.json_text import JsonError, dump_json, parse_json
from scoring.errors import ERROR_EVENT, write_log
from scoring.log_fields import job_fields

_MAX_LINE_BYTES = 64 << 10
"""Longest line, in bytes. A longer one becomes several; CloudWatch Logs takes 256 KB with escapes."""
_END_SECONDS = 2.0


class WorkerOutput:
    """Copies the output of a worker to the job's log, line by line, in a thread of its own.

    `describe` returns the fields that say what the worker is doing. Each line is wrapped, so that model
    code cannot write events that look like those of the supervisor; only errors of the worker are
    events of their own.
    """

    def __init__(self, pipe: IO[bytes], describe: Callable[[], Mapping[str, Any]]) -> None:
        self._pipe = io.BufferedReader(pipe)  # type: ignore[type-var]
        self._describe = describe
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until all output is copied, but not for processes that hold the pipe open."""
        self._thread.join(_END_SECONDS)

    def _copy(self) -> None:
        # The pipe may be closed while the job ends.
        with contextlib.suppress(OSError, ValueError):
            while line := self._pipe.readline(_MAX_LINE_BYTES):
                if text := line.decode("utf-8", "replace").rstrip("\r\n"):
                    write_log(sys.stderr, dump_json({**_event(text), **self._describe(), **job_fields()}) + "\n")


def _event(text: str) -> Mapping[str, Any]:
    """Return the event of a line: an error that the worker has logged, or anything else as text."""
    with contextlib.suppress(JsonError):
        found = parse_json(text, keep_surrogates=True)
        if isinstance(found, dict) and found.get("event") == ERROR_EVENT and isinstance(found.get("traceback"), str):
            return {"event": ERROR_EVENT, "traceback": found["traceback"]}
    return {"event": "output", "text": text}
