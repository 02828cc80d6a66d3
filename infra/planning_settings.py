"""Checks of the settings with which executions are planned."""

from typing import Any

from contract.checks import check_range, check_unique
from contract.job.limits import MAX_MODELS_PER_JOB
from contract.names import INSTANCE_TYPE
from contract.problems import Problem

_MAX_PLANNED_TYPES = 20
"""Largest number of instance types to choose from, which the functions' variables of 4 KB have room for."""


def check_planned_types(name: str, value: tuple[str, ...]) -> list[Problem]:
    """Check the instance types that the planner may choose from. None at all is allowed."""
    if len(value) > _MAX_PLANNED_TYPES:
        return [Problem(name, f"{len(value):,} types", f"at most {_MAX_PLANNED_TYPES} instance types")]
    found = [
        problem for index, item in enumerate(value) for problem in INSTANCE_TYPE.problems(f"{name}[{index}]", item)
    ]
    return [*found, *check_unique(name, list(value))]


def check_models_per_job(name: str, value: Any) -> list[Problem]:
    """Check a number of models, or 'auto'."""
    return check_range(name, value, 1, MAX_MODELS_PER_JOB, "models, or 'auto'") if isinstance(value, int) else []
