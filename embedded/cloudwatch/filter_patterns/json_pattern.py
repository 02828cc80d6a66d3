"""Patterns for JSON messages: `{ $.level = "ERROR" && ($.rows > 10 || $.note NOT EXISTS) }`."""

import json
import operator
import re
from collections.abc import Callable
from fnmatch import translate
from typing import Any

from embedded.cloudwatch.filter_patterns.problems import FilterPatternError, Matcher
from embedded.cloudwatch.filter_patterns.regular_expression import compile_regular_expression

Condition = Callable[[Any], bool]
"""Function of a parsed message."""

_TOKEN = re.compile(
    r"\s*(?:(?P<symbol>&&|\|\||!=|>=|<=|[(){}=<>])"
    r'|"(?P<text>(?:[^"\\]|\\.)*)"'
    r"|%(?P<regex>[^%]+)%"
    r"|(?P<selector>\$(?:\.[A-Za-z0-9_\-]+|\.?\['[^']*'\]|\.?\[\"[^\"]*\"\]|\[\d+\])*)(?=[\s=!<>)}]|$)"
    r"|(?P<word>(?:(?!&&|\|\|)[^\s(){}=<>!\"%])+))"
)
_STEP = re.compile(
    r"\.(?P<name>[A-Za-z0-9_\-]+)"
    r"|\.?\['(?P<single>[^']*)'\]"
    r"|\.?\[\"(?P<double>[^\"]*)\"\]"
    r"|\[(?P<index>\d+)\]"
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ORDERINGS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_MAX_REGULAR_EXPRESSIONS = 2
_MISSING = object()
Token = tuple[str, str]
"""Kind and text. The last token has the kind `end`."""


def compile_json_pattern(text: str) -> Matcher:
    """Return a function that tells whether a message is JSON and meets the conditions.

    A property that a message lacks meets no condition except NOT EXISTS.

    Raises:
        FilterPatternError: The pattern is invalid, or not supported here.
    """
    condition = _Parser(_tokens(text)).pattern()

    def matches(message: str) -> bool:
        try:
            value = json.loads(message)
        except ValueError:
            return False
        return isinstance(value, dict | list) and condition(value)

    return matches


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position, end)
        if found is None or found.lastgroup is None:
            raise FilterPatternError(f"cannot read the JSON pattern from {text[position:].strip()!r}")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        position = found.end()
    if sum(kind == "regex" for kind, _ in tokens) > _MAX_REGULAR_EXPRESSIONS:
        raise FilterPatternError(f"a pattern may have at most {_MAX_REGULAR_EXPRESSIONS} regular expressions")
    return [*tokens, ("end", "the end")]


class _Parser:
    """A recursive-descent parser: `&&` binds more tightly than `||`."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def pattern(self) -> Condition:
        self._expect("{")
        condition = self._any_of()
        self._expect("}")
        if self._take()[0] != "end":
            raise FilterPatternError("a JSON pattern ends with its closing brace")
        return condition

    def _any_of(self) -> Condition:
        conditions = [self._all_of()]
        while self._accept("||"):
            conditions.append(self._all_of())
        return lambda value: any(condition(value) for condition in conditions)

    def _all_of(self) -> Condition:
        conditions = [self._one()]
        while self._accept("&&"):
            conditions.append(self._one())
        return lambda value: all(condition(value) for condition in conditions)

    def _one(self) -> Condition:
        if self._accept("("):
            condition = self._any_of()
            self._expect(")")
            return condition
        kind, text = self._take()
        if kind != "selector":
            raise FilterPatternError(
                f"expected a property such as $.a.b[0] or $.['a.b'], found {text!r} "
                "(the embedded AWS does not support [*])"
            )
        check = self._check()
        steps = [found.groupdict() for found in _STEP.finditer(text)]
        return lambda value: check(_select(value, steps))

    def _check(self) -> Condition:
        kind, symbol = self._take()
        if kind == "word" and symbol.upper() == "NOT" and self._take()[1].upper() == "EXISTS":
            return lambda value: value is _MISSING
        if kind == "word" and symbol.upper() == "IS":
            constants = {"TRUE": True, "FALSE": False, "NULL": None}
            name = self._take()[1].upper()
            if name in constants:
                return lambda value: value is constants[name]
        elif kind == "symbol" and symbol in ("=", "!="):
            equal = self._equality()
            if symbol == "=":
                return lambda value: value is not _MISSING and equal(value)
            return lambda value: value is not _MISSING and not equal(value)
        elif kind == "symbol" and symbol in _ORDERINGS:
            number = self._take()[1]
            if not _NUMBER.fullmatch(number):
                raise FilterPatternError(f"expected a number after {symbol}, found {number!r}")
            ordering, limit = _ORDERINGS[symbol], float(number)
            return lambda value: _is_number(value) and ordering(value, limit)
        raise FilterPatternError(
            f"expected =, !=, <, <=, >, >=, IS TRUE, IS FALSE, IS NULL or NOT EXISTS after a property, found {symbol!r}"
        )

    def _equality(self) -> Condition:
        kind, text = self._take()
        if kind == "regex":
            expression = compile_regular_expression(text)
            return lambda value: isinstance(value, str) and expression(value)
        if kind not in ("text", "word"):
            raise FilterPatternError(f"expected a text, a number or %regex%, found {text!r}")
        if kind == "text":
            text = re.sub(r"\\(.)", r"\1", text)
        elif text.lower() in ("true", "false", "null"):
            raise FilterPatternError(f"use IS {text.upper()}, because `= {text}` compares with a text")
        if "*" in text:
            wildcard = re.compile(translate(re.sub(r"([?\[])", r"[\1]", text)))
            return lambda value: wildcard.match(value if isinstance(value, str) else json.dumps(value)) is not None
        if kind == "word" and _NUMBER.fullmatch(text):
            number = float(text)
            return lambda value: value == number if _is_number(value) else value == text
        return lambda value: isinstance(value, str) and value == text

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _accept(self, symbol: str) -> bool:
        if self._tokens[self._next] != ("symbol", symbol):
            return False
        self._next += 1
        return True

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise FilterPatternError(f"expected {symbol!r}, found {self._tokens[self._next][1]!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _select(value: Any, steps: list[dict[str, Any]]) -> Any:
    for step in steps:
        name = next((step[kind] for kind in ("name", "single", "double") if step[kind] is not None), None)
        if name is not None:
            value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
        else:
            index = int(step["index"])
            value = value[index] if isinstance(value, list) and index < len(value) else _MISSING
    return value
