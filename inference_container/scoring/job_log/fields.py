"""The fields that every line of a job's log has: its execution, job and attempt."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from contract import environment

_further: dict[str, str] = {}


def job_fields() -> Mapping[str, str]:
    """Return the fields of this job's lines; none outside of a job, as in `fleetscore models test`."""
    names = {"execution": environment.EXECUTION_ID, "job": environment.JOB_ID, "attempt": environment.ATTEMPT}
    found = {field: os.environ.get(name, "") for field, name in names.items()}
    return {**found, **_further} if all(found.values()) else {}


@contextmanager
def further_fields() -> Iterator[dict[str, str]]:
    """Yield a dict. What is put into it becomes a field of all later lines, until the end of the context."""
    try:
        yield _further
    finally:
        _further.clear()
