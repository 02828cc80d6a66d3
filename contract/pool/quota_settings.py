"""The settings of a stage's pool of instances: their limits and checks."""

import json
import re
from collections.abc import Mapping
from typing import Any

from contract.problems import Problem

DEFAULT_CAPACITY_WAIT_SECONDS = 86_400
CAPACITY_WAIT_LIMITS = (60, 259_200)
"""Limits of `capacity_wait_seconds`. Three days, because Step Functions limits the history of a job's waits."""
DEFAULT_JOB_STARTS_PER_SECOND = 1.0
JOB_STARTS_LIMITS = (0.1, 100)
"""Limits of `job_starts_per_second`."""
MAX_QUOTA = 100_000
_LONGEST = 600
"""Largest `instance_quotas` as JSON, in bytes: Lambda allows 4 KB for all variables."""
_KEY = re.compile(r"((processing|training|spot-training):)?ml\.[a-z0-9.-]{1,60}")


def check_instance_quotas(field: str, value: Mapping[str, Any]) -> list[Problem]:
    """Check the quotas that a stage sets: numbers of instances by type, or by kind of job and type."""
    expected = "an instance type such as 'ml.m5.xlarge', or one for a kind of job such as 'training:ml.m5.xlarge'"
    problems = [Problem(field, key, expected) for key in value if not _KEY.fullmatch(key)]
    problems += [
        Problem(f"{field}.{key}", quota, f"0 to {MAX_QUOTA:,} instances")
        for key, quota in value.items()
        if not isinstance(quota, int) or isinstance(quota, bool) or not 0 <= quota <= MAX_QUOTA
    ]
    size = len(json.dumps(dict(value), default=str))
    if size > _LONGEST:
        limit = f"at most {_LONGEST:,} bytes as JSON, so that the functions' variables fit into 4 KB"
        remedy = "Name only types whose quota differs from that in Service Quotas."
        problems.append(Problem(field, f"{size:,} bytes", limit, remedy))
    return problems
