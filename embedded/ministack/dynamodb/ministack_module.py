"""ministack's DynamoDB, imported once: an import statement in a function takes ten times as long as a call."""

# ministack reads its environment at import.
# ruff: noqa: PLC0415

import functools
from typing import Any

from embedded.ministack.errors import MinistackChangedError


@functools.cache
def dynamodb() -> Any:
    """Return the module of ministack's DynamoDB."""
    from ministack.services import dynamodb as module

    return module


def check_names(*names: str) -> None:
    """Check that ministack's DynamoDB has names that we use.

    Raises:
        MinistackChangedError: One is missing.
    """
    if missing := [name for name in names if not hasattr(dynamodb(), name)]:
        raise MinistackChangedError(f"ministack's DynamoDB has no {missing[0]}: install the pinned version")
