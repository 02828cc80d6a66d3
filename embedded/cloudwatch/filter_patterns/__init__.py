"""Filter patterns of CloudWatch Logs: `compile_pattern` compiles one to a function."""

from embedded.cloudwatch.filter_patterns.json_pattern import compile_json_pattern
from embedded.cloudwatch.filter_patterns.problems import FilterPatternError, Matcher
from embedded.cloudwatch.filter_patterns.term_pattern import compile_term_pattern

__all__ = ["FilterPatternError", "Matcher", "compile_pattern"]


def compile_pattern(pattern: str) -> Matcher:
    """Return a function that tells whether a message matches the pattern.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html describes
    the syntax.

    Raises:
        FilterPatternError: The pattern is invalid, or not supported here.

    >>> matches = compile_pattern('{ $.level = "ERROR" && $.rows > 10 }')
    >>> matches('{"level": "ERROR", "rows": 11}'), matches('{"level": "ERROR", "rows": 9}')
    (True, False)
    >>> compile_pattern("?ERROR ?Exception")("NullPointerException in line 3")
    True
    """
    text = pattern.strip()
    if not text:
        return lambda _message: True
    if text.startswith("{"):
        return compile_json_pattern(text)
    if text.startswith("["):
        raise FilterPatternError(
            "the embedded AWS does not support space-delimited patterns ([w1, w2, ...]): use terms or a JSON pattern"
        )
    return compile_term_pattern(text)
