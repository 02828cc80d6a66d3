"""What a child process prints, as lines of the job's log that say whose they are."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from contract.control_characters import replace_control_characters
from contract.json_text import JsonError, parse_json
from scoring.job_log.events import ERROR_EVENT, OUTPUT_EVENT, event_line, write_log
from scoring.job_log.fields import job_fields
from scoring.job_log.printed_lines import PrintedLine, PrintedLines

_READ_BYTES = 1 << 16
_END_SECONDS = 2.0


class ProcessOutput:
    """Copies the output of a process to the job's log, line by line, in a thread of its own.

    `describe` returns the fields that say what the process is doing. Each line is wrapped, so that
    code of models and scripts cannot write events that look like those of the job itself; only with
    `has_errors` an error that the process has logged is an event of its own. `on_line` is called
    with each line.

    A process that prints faster than the log takes it waits, so nothing piles up in memory.
    """

    def __init__(
        self,
        pipe: IO[bytes],
        describe: Callable[[], Mapping[str, Any]],
        *,
        has_errors: bool = False,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._pipe = pipe
        self._describe = describe
        self._has_errors = has_errors
        self._on_line = on_line
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def finish(self, seconds: float = _END_SECONDS) -> None:
        """Wait until all output is copied, but not for processes that hold the pipe open."""
        self._thread.join(seconds)

    def _copy(self) -> None:
        lines = PrintedLines()
        # The pipe may be closed while the job ends.
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._pipe.fileno(), _READ_BYTES):
                self._log(lines.add(data))
        self._log(lines.end())

    def _log(self, lines: Iterable[PrintedLine]) -> None:
        for line in lines:
            if self._on_line is not None:
                self._on_line(line.text)
            error = _logged_error(line.text) if self._has_errors else None
            if error is not None and job_fields():
                write_log(sys.stdout, event_line(ERROR_EVENT, traceback=error, **self._describe()))
            else:
                write_log(sys.stdout, output_line(line, **self._describe()))


def output_line(line: PrintedLine, **fields: object) -> str:
    """Return a line of the job's log for a printed one; outside of a job, the line itself."""
    if not job_fields():
        return replace_control_characters(line.text) + ("" if line.continues else "\n")
    continues = {"continues": True} if line.continues else {}
    return event_line(OUTPUT_EVENT, text=line.text, **continues, **fields)


def _logged_error(text: str) -> str | None:
    """Return the traceback of a line that `log_error` has written; None for any other line."""
    if not text.startswith("{"):
        return None
    with contextlib.suppress(JsonError):
        found = parse_json(text, keep_surrogates=True)
        if isinstance(found, dict) and found.get("event") == ERROR_EVENT and isinstance(found.get("traceback"), str):
            return str(found["traceback"])
    return None
