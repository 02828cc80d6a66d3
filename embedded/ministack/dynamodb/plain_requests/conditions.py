"""Conditions on items, compiled to functions."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from embedded.ministack.dynamodb.ministack_module import dynamodb
from embedded.ministack.dynamodb.rows import Item

Values = Mapping[str, Any]
Condition = Callable[[Item, Values], Any]
"""Returns something true if an item fulfills a condition with some values."""

_COMPARISONS = {"EQ": "=", "NE": "<>", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
_FUNCTIONS = frozenset({"attribute_exists", "attribute_not_exists"})


class _NotCompiledError(Exception):
    """A condition uses a rare part of the syntax."""


def compile_condition(text: str, names: Mapping[str, str]) -> Condition | None:
    """Return the function of a condition; None if DynamoDB refuses its text for every item."""
    tokens = dynamodb()._tokenize(text)
    if (
        dynamodb()._check_redundant_parens(tokens)
        or dynamodb()._check_reserved_keyword_usage(tokens)
        or dynamodb()._condition_syntax_error(text, "ConditionExpression")
    ):
        return None
    try:
        return _Compiler(tokens, names).disjunction()
    except _NotCompiledError:
        evaluator = dynamodb()._ExprEval
        return lambda item, values: evaluator(tokens, item, values, names).evaluate()


def value_bounds(text: str) -> tuple[tuple[str, str], ...]:
    """Return the names of the two values of each BETWEEN of a condition."""
    tokens = dynamodb()._tokenize(text)
    found = []
    for place, (kind, word) in enumerate(tokens[:-3]):
        (low_kind, low), _and, (high_kind, high) = tokens[place + 1 : place + 4]
        if kind == "IDENT" and word.upper() == "BETWEEN" and low_kind == high_kind == "VALUE_REF":
            found.append((low, high))
    return tuple(found)


class _Compiler:
    """Reads tokens whose grammar has been checked."""

    def __init__(self, tokens: list[tuple[str, str]], names: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._names = names
        self._place = 0

    def disjunction(self) -> Condition:
        left = self._conjunction()
        while self._take_word("OR"):
            left = _either(left, self._conjunction())
        return left

    def _conjunction(self) -> Condition:
        left = self._negation()
        while self._take_word("AND"):
            left = _both(left, self._negation())
        return left

    def _negation(self) -> Condition:
        if self._take_word("NOT"):
            inner = self._negation()
            return lambda item, values: not inner(item, values)
        return self._comparison()

    def _comparison(self) -> Condition:
        kind, word = self._tokens[self._place]
        if kind == "LPAREN":
            self._place += 1
            inner = self.disjunction()
            self._take("RPAREN")
            return inner
        if kind == "IDENT" and self._tokens[self._place + 1][0] == "LPAREN":
            return self._existence(word.lower())
        left = self._operand()
        kind, _text = self._tokens[self._place]
        if kind in _COMPARISONS:
            self._place += 1
            return _compared(left, _COMPARISONS[kind], self._operand())
        if self._take_word("BETWEEN"):
            low = self._operand()
            if not self._take_word("AND"):
                raise _NotCompiledError
            return _both(_compared(low, "<=", left), _compared(left, "<=", self._operand()))
        if not self._take_word("IN"):
            raise _NotCompiledError
        self._take("LPAREN")
        found = _compared(left, "=", self._operand())
        while self._tokens[self._place][0] == "COMMA":
            self._place += 1
            found = _either(found, _compared(left, "=", self._operand()))
        self._take("RPAREN")
        return found

    def _existence(self, function: str) -> Condition:
        if function not in _FUNCTIONS:
            raise _NotCompiledError
        self._place += 2
        attribute = self._path()
        self._take("RPAREN")
        if function == "attribute_exists":
            return lambda item, values: attribute(item, values) is not None
        return lambda item, values: attribute(item, values) is None

    def _operand(self) -> Condition:
        kind, name = self._tokens[self._place]
        if kind != "VALUE_REF":
            return self._path()
        self._place += 1
        return lambda _item, values: values.get(name)

    def _path(self) -> Condition:
        kind, name = self._tokens[self._place]
        if kind not in ("NAME_REF", "IDENT") or self._tokens[self._place + 1][0] in ("DOT", "LBRACKET", "LPAREN"):
            raise _NotCompiledError
        self._place += 1
        attribute = self._names.get(name, name) if kind == "NAME_REF" else name
        return lambda item, _values: item.get(attribute)

    def _take(self, kind: str) -> None:
        if self._tokens[self._place][0] != kind:
            raise _NotCompiledError
        self._place += 1

    def _take_word(self, word: str) -> bool:
        kind, text = self._tokens[self._place]
        if kind != "IDENT" or text.upper() != word:
            return False
        self._place += 1
        return True


def _either(left: Condition, right: Condition) -> Condition:
    return lambda item, values: left(item, values) or right(item, values)


def _both(left: Condition, right: Condition) -> Condition:
    return lambda item, values: left(item, values) and right(item, values)


def _compared(left: Condition, operator: str, right: Condition) -> Condition:
    compare = dynamodb()._compare_ddb
    if operator not in ("=", "<>"):
        return lambda item, values: compare(left(item, values), operator, right(item, values))
    is_wanted = operator == "="

    def are_equal(item: Item, values: Values) -> bool:
        first, second = left(item, values), right(item, values)
        if first is not None and first == second:
            return is_wanted
        if first is not None and second is not None and "S" in first and "S" in second:
            return not is_wanted
        return bool(compare(first, operator, second))

    return are_equal
