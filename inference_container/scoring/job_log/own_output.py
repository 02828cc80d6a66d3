"""What libraries print in this process with `print`, `logging` and `warnings`, as events of the job's log."""

import io
import sys
from typing import Any, TextIO

from scoring.job_log.events import write_log
from scoring.job_log.fields import job_fields
from scoring.job_log.printed_lines import PrintedLines
from scoring.job_log.process_output import output_line


class OutputStream(io.TextIOWrapper):
    """A stream in place of stdout or stderr; `log` is the one that it stands for."""

    def __init__(self, log: TextIO) -> None:
        self.log = log
        self._output = _Output(log)
        super().__init__(self._output, encoding="utf-8", errors="backslashreplace", write_through=True)

    def end(self) -> None:
        """Write a line without an end."""
        self._output.end()


class _Output(io.RawIOBase):
    name = "<output>"

    def __init__(self, log: TextIO) -> None:
        super().__init__()
        self._log = log
        self._lines = PrintedLines()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._log.fileno()

    def write(self, data: Any, /) -> int:
        text = bytes(data)
        for line in self._lines.add(text):
            write_log(self._log, output_line(line))
        return len(text)

    def end(self) -> None:
        for line in self._lines.end():
            write_log(self._log, output_line(line))


def log_own_output() -> None:
    """Make events of what this process prints from now on. Does nothing outside of a job."""
    if job_fields():
        sys.stdout, sys.stderr = OutputStream(sys.stdout), OutputStream(sys.stderr)


def end_own_output() -> None:
    """Write what is not written yet. Call it before the process ends without Python's own clean-up."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, OutputStream):
            stream.end()
        write_log(stream, "")
