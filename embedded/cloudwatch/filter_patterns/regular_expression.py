"""Regular expressions in filter patterns, written between `%`."""

import re

from embedded.cloudwatch.filter_patterns.problems import FilterPatternError, Matcher

_ALLOWED = re.compile(r"[A-Za-z0-9:_#=@/;,\-^$?\[\]{}|\\*+.]+")
"""Characters that the documentation lists. Parentheses are absent."""
_UNKNOWN_ESCAPE = re.compile(r"\\(?![dDsSwW]|x[0-9a-fA-F]{2}|[^A-Za-z0-9])")


def compile_regular_expression(text: str) -> Matcher:
    """Return a function that tells whether the expression matches anywhere in a text.

    Raises:
        FilterPatternError: The expression is invalid, or has a character that AWS does not support.
    """
    if not _ALLOWED.fullmatch(text) or _UNKNOWN_ESCAPE.search(text.replace("\\\\", "")):
        raise FilterPatternError(f"%{text}% has characters that regular expressions in patterns do not support")
    try:
        expression = re.compile(text, re.ASCII)
    except re.error as failure:
        raise FilterPatternError(f"%{text}% is not a regular expression: {failure}") from failure
    return lambda value: expression.search(value) is not None
