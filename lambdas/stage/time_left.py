"""The time that a function has left."""

from collections.abc import Callable

from aws_lambda_powertools.utilities.typing import LambdaContext


def time_left(context: LambdaContext) -> Callable[[], float]:
    """Return a function that returns the seconds until Lambda stops the running function."""
    return lambda: context.get_remaining_time_in_millis() / 1_000
