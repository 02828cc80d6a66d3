"""Routes of a fleet's rows: their type, and what happens to rows of no model."""

from typing import Literal

from contract.checks import Matches
from contract.names import MODEL_ID

RouteType = Literal["string", "int64"]
"""Type of the column with the routes."""
QUARANTINE, SKIP, MODEL_START = "quarantine", "skip", "model:"
"""What happens to rows of no model: they go to quarantine, are left out of the output, or are scored
by the model whose id follows."""
UNMATCHED = Matches(
    rf"{QUARANTINE}|{SKIP}|{MODEL_START}{MODEL_ID.pattern}",
    f"{QUARANTINE!r}, {SKIP!r} or '{MODEL_START}<model id>'",
)


def fallback_of(unmatched: str) -> str:
    """Return the id of the model for rows of no other model; empty if there is none.

    >>> fallback_of("model:delays-all"), fallback_of("skip")
    ('delays-all', '')
    """
    return unmatched.removeprefix(MODEL_START) if unmatched.startswith(MODEL_START) else ""
