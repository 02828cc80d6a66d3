"""Writes events to the job's log, each as one line of JSON."""

import contextlib
import os
import sys
from typing import TextIO

from contract.json_text import dump_json
from scoring.job_log.fields import job_fields

ERROR_EVENT = "error"
"""Event of a line with a traceback."""
OUTPUT_EVENT = "output"
"""Event of a line that other code has printed."""


def event_line(name: str, **fields: object) -> str:
    """Return an event as a line that says which execution, job and attempt it is from."""
    return dump_json({"event": name, **fields, **job_fields()}) + "\n"


def log_event(name: str, **fields: object) -> None:
    """Write an event to the job's log."""
    write_log(sys.stdout, event_line(name, **fields))


def write_log(stream: TextIO, text: str) -> None:
    """Write to the job's log, without an error if it does not take the text.

    Model code shares the log's descriptors, and can make them non-blocking or fill the pipe.
    """
    # Where the stream makes events of what libraries print, below that.
    log: TextIO = getattr(stream, "log", stream)
    with contextlib.suppress(OSError, ValueError):
        os.set_blocking(log.fileno(), True)
    with contextlib.suppress(OSError):
        log.write(text)
        log.flush()
