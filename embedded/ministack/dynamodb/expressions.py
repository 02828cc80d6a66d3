"""DynamoDB's expressions, which ministack reads again in each request."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import functools
from typing import Any

from embedded.ministack.errors import MinistackChangedError

_CACHED = 10_000
_CHANGED = ("_tokenize", "_condition_syntax_error")


def install_expression_cache() -> None:
    """Split each text of an expression into tokens once, and check its syntax once."""
    from ministack.services import dynamodb

    if missing := [name for name in _CHANGED if not callable(getattr(dynamodb, name, None))]:
        raise MinistackChangedError(f"ministack's DynamoDB has no {missing[0]}: install the pinned version")
    tokens_of = functools.lru_cache(_CACHED)(dynamodb._tokenize)

    def tokenize(expression: str) -> list[Any]:
        # Its readers may change the list.
        return list(tokens_of(expression))

    dynamodb._tokenize = tokenize
    dynamodb._condition_syntax_error = functools.lru_cache(_CACHED)(dynamodb._condition_syntax_error)
