"""Expressions are read once, with the results of ministack."""

from typing import Any

import pytest
from ministack.services import dynamodb

from embedded.ministack.dynamodb.expressions import install_expression_cache
from embedded.ministack.errors import MinistackChangedError

EXPRESSION = "attribute_exists(#a) AND b[0].c <> :v"


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    names = ("_tokenize", "_condition_syntax_error")
    found = {name: getattr(dynamodb, name) for name in names}
    for name, function in found.items():
        monkeypatch.setattr(dynamodb, name, function)
    install_expression_cache()
    return found


def test_results_are_those_of_ministack(original: dict[str, Any]) -> None:
    for _ in range(2):
        assert dynamodb._tokenize(EXPRESSION) == original["_tokenize"](EXPRESSION)
        for text in (EXPRESSION, "a = "):
            found = dynamodb._condition_syntax_error(text, "ConditionExpression")
            assert found == original["_condition_syntax_error"](text, "ConditionExpression")


def test_a_reader_that_changes_its_tokens_changes_no_others(original: dict[str, Any]) -> None:
    dynamodb._tokenize(EXPRESSION).clear()
    assert dynamodb._tokenize(EXPRESSION) == original["_tokenize"](EXPRESSION)


def test_another_ministack_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dynamodb, "_tokenize")
    with pytest.raises(MinistackChangedError):
        install_expression_cache()
