"""Why an attempt failed, in the parts that its record keeps apart."""

from dataclasses import dataclass

from contract.status import Shortage


@dataclass(frozen=True)
class Explanation:
    """Explanation of a failed attempt: see the fields of the same names in `AttemptRecord`."""

    rule: str = ""
    cause: str = ""
    remedy: str = ""
    shortage: Shortage | None = None


UNEXPLAINED = Explanation()
"""Explanation of attempts that succeeded, or that ended together with their execution."""
