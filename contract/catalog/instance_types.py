"""Instance types: those that a stage allows, those with local storage, and the limits of all."""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from contract.problems import Problem

MAX_INSTANCES = 100
"""Largest number of instances of a processing job."""
MAX_VOLUME_GB = 16_384
"""Largest volume that SageMaker provides."""
LOCAL_STORAGE = (
    "ml.*d.*", "ml.*dn.*", "ml.*de.*", "ml.g5.*", "ml.g6.*", "ml.g6e.*", "ml.g7.*", "ml.g7e.*", "ml.p5*", "ml.p6*",
    "ml.trn*",
)  # fmt: skip
"""Patterns of the types with local NVMe storage. The instance encrypts that storage itself, and
SageMaker refuses a key for the volumes of these types."""


def matches(instance_type: str, patterns: Iterable[str]) -> bool:
    """Return whether a type matches a pattern with `*` and `?`, as IAM's StringLike does.

    >>> matches("ml.m5.xlarge", ["ml.c5.*", "ml.m*"]), matches("ml.m5.xlarge", ["ml.m5"])
    (True, False)
    """
    return any(re.fullmatch(_expression(pattern), instance_type) for pattern in patterns)


@cache
def has_local_storage(instance_type: str) -> bool:
    """Return whether the type stores data on local disks, to which no KMS key applies.

    >>> has_local_storage("ml.g4dn.xlarge"), has_local_storage("ml.m5.xlarge")
    (True, False)
    """
    return matches(instance_type, LOCAL_STORAGE)


def check_allowed(field: str, instance_type: str, allowed: Sequence[str]) -> list[Problem]:
    """Check that the stage allows a type."""
    if matches(instance_type, allowed):
        return []
    remedy = "Choose one of these, or add the type to the stage's setting instance_types and deploy again."
    return [Problem(field, instance_type, f"an instance type that this stage allows: {', '.join(allowed)}", remedy)]


def _expression(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
