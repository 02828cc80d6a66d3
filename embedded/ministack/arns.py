"""A cache of the ARNs that ministack parses."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import functools
import sys
from typing import Any

_ARNS = 4_096
"""Number of ARNs to remember."""


def install_arn_cache() -> None:
    """Let ministack parse each ARN once. A call of a function parses the same ones seven times.

    The results can be shared because they are immutable.
    """
    from ministack.core import arn
    from ministack.services import lambda_svc

    parse = arn.parse_arn
    cached = functools.lru_cache(_ARNS)(parse)

    def parse_arn(value: Any) -> Any:
        # ministack refuses other values, which may have no hash.
        return cached(value) if isinstance(value, str) else parse(value)

    # Of functions, ministack parses the resource of the ARN again.
    lambda_svc._lambda_function_account_region_from_arn = functools.lru_cache(_ARNS)(
        lambda_svc._lambda_function_account_region_from_arn
    )
    for name, module in list(sys.modules.items()):
        if name.startswith("ministack.") and getattr(module, "parse_arn", None) is parse:
            setattr(module, "parse_arn", parse_arn)  # noqa: B010 - a module of which mypy knows nothing
