"""Fields of the scoring request that guide the planner."""

from dataclasses import dataclass, field
from typing import Literal

from contract.planner.problem import Objective
from contract.problems import Problem
from contract.schema.field_info import describe
from contract.workflow.deadline import DeadlineText

AUTO: Literal["auto"] = "auto"
"""Value of `models_per_job` with which the planner decides."""


@dataclass(frozen=True, kw_only=True)
class PlanningOptions:
    """What the execution is planned for."""

    deadline: str | None = field(
        default=None,
        metadata=describe(
            "When everything must be scored: a time with its offset from UTC, or a duration such as PT6H, which counts "
            "from the execution's start.",
            check=DeadlineText(),
        ),
    )
    strict_deadline: bool = field(
        default=False,
        metadata=describe(
            "Refuse the request if even the shortest expected duration ends after the deadline, and let jobs wait for "
            "instances until then only."
        ),
    )
    objective: Objective | None = field(
        default=None,
        metadata=describe(
            "What the planner minimizes where it may choose: cost, which is the default, or time. It keeps the "
            "deadline with both, if it can."
        ),
    )

    def check_deadline(self) -> list[Problem]:
        """Return the problem of a strict deadline without a deadline."""
        if not self.strict_deadline or self.deadline is not None:
            return []
        remedy = "Set deadline, or leave strict_deadline out."
        return [Problem("strict_deadline", True, "false, because the request has no deadline", remedy)]
