"""The error and the types that all kinds of filter patterns share."""

from collections.abc import Callable

Matcher = Callable[[str], bool]
"""Function that tells whether a message matches."""


class FilterPatternError(ValueError):
    """A filter pattern is invalid, or not supported by the embedded AWS."""
