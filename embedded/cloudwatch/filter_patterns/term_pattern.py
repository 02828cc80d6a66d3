"""Patterns of terms: `ERROR -timeout`, `?WARN ?ERROR`, `"a phrase"`, `%regex%`."""

import re

from embedded.cloudwatch.filter_patterns.problems import FilterPatternError, Matcher
from embedded.cloudwatch.filter_patterns.regular_expression import compile_regular_expression

_TERM = re.compile(r'\s*(?P<sign>[?-]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|%(?P<regex>[^%]+)%|(?P<word>\S+))(?=\s|$)')
_WORD = re.compile(r"\w+")


def compile_term_pattern(text: str) -> Matcher:
    """Return a function that tells whether a message contains the terms.

    Upper and lower case differ.

    Raises:
        FilterPatternError: The pattern is invalid, or mixes optional terms with others.
    """
    signed: dict[str, list[Matcher]] = {"": [], "?": [], "-": []}
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            raise FilterPatternError(f"expected a term, a phrase in quotes or %regex% at {text[position:].strip()!r}")
        signed[found["sign"]].append(_term(found))
        position = found.end()
    required, optional, excluded = signed[""], signed["?"], signed["-"]
    if optional and (required or excluded):
        raise FilterPatternError(
            "the embedded AWS does not support optional terms (?TERM) together with other terms: AWS ignores some of "
            "them. Use only optional terms, or a JSON pattern"
        )

    def matches(message: str) -> bool:
        if optional:
            return any(term(message) for term in optional)
        return all(term(message) for term in required) and not any(term(message) for term in excluded)

    return matches


def _term(found: re.Match[str]) -> Matcher:
    if found["regex"] is not None:
        return compile_regular_expression(found["regex"])
    if found["phrase"] is not None:
        text = re.sub(r"\\(.)", r"\1", found["phrase"])
    else:
        text = found["word"]
        if not _WORD.fullmatch(text):
            raise FilterPatternError(f"invalid character(s) in term {text!r}: write it in double quotes")
    return lambda message: text in message
