"""Refuses a training that needs more memory than there is, so that it is not killed."""

from contract.free_memory import free_memory
from scoring.errors import ConfigurationError

_USABLE = 0.85
"""Share of the memory that data may use; the rest is for interpreter, libraries and batches."""


def refuse_if_too_large(needed: int, what: str, remedy: str, budget: int | None = None) -> None:
    """Raise ConfigurationError if `needed` bytes exceed the usable part of `budget`.

    None as the budget means the memory that is available now.
    """
    usable = int((free_memory() if budget is None else budget) * _USABLE)
    if needed > usable:
        raise ConfigurationError(
            f"{what} needs about {_gib(needed)} GiB of memory, this instance has {_gib(usable)} GiB for it: {remedy}"
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:,.2f}"
