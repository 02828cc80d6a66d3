"""The fields that every line of a job's log has: its execution, job and attempt."""

import os
from collections.abc import Mapping

from contract import environment


def job_fields() -> Mapping[str, str]:
    """Return the fields of this job's lines; none outside of a job, as in `fleetscore models test`."""
    names = {"execution": environment.EXECUTION_ID, "job": environment.JOB_ID, "attempt": environment.ATTEMPT}
    found = {field: os.environ.get(name, "") for field, name in names.items()}
    return found if all(found.values()) else {}
