"""Whether an execution will miss its deadline."""

from datetime import datetime
from enum import StrEnum

from contract.deadlines.predicted_end import PredictedEnd


class Lateness(StrEnum):
    """What is predicted about a deadline. It only ever becomes worse in an execution's record."""

    LIKELY = "LIKELY"
    """The execution is expected to end after its deadline."""
    CERTAIN = "CERTAIN"
    """It ends after its deadline even if everything goes as fast as the fastest tenth, or the deadline has passed."""


def lateness_of(predicted: PredictedEnd | None, deadline: datetime, now: datetime) -> Lateness | None:
    """Return whether a running execution misses its deadline; None while it is expected to keep it."""
    if now >= deadline or (predicted is not None and predicted.earliest > deadline):
        return Lateness.CERTAIN
    if predicted is not None and predicted.expected > deadline:
        return Lateness.LIKELY
    return None


def has_become_worse(now: Lateness | None, before: Lateness | None) -> bool:
    """Return whether a deadline is more endangered than before.

    >>> has_become_worse(Lateness.CERTAIN, Lateness.LIKELY), has_become_worse(Lateness.LIKELY, Lateness.CERTAIN)
    (True, False)
    """
    order = [None, Lateness.LIKELY, Lateness.CERTAIN]
    return order.index(now) > order.index(before)
