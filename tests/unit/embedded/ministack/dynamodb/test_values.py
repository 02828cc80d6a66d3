"""Attribute values are checked and measured with the results of ministack."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.services import dynamodb

from embedded.ministack.dynamodb.values import install_value_caches
from embedded.ministack.errors import MinistackChangedError

CHANGED = (
    "_number_size_bytes",
    "_number_error",
    "_ddb_canonicalize_number",
    "_attribute_value_size",
    "_item_size_bytes",
)
ORIGINAL = {name: getattr(dynamodb, name) for name in CHANGED}
NUMBERS = ("1", "-12.50", "1e5", "1E+400", "1" * 39, " 5", "", "no number", 7, None, ["1"])
SCALARS = st.one_of(
    st.builds(lambda text: {"S": text}, st.text(max_size=5)),
    st.builds(lambda number: {"N": str(number)}, st.integers() | st.decimals(allow_nan=False, allow_infinity=False)),
    st.builds(lambda content: {"B": base64.b64encode(content).decode()}, st.binary(max_size=5)),
    st.builds(lambda flag: {"BOOL": flag}, st.booleans()),
    st.just({"NULL": True}),
    st.builds(lambda texts: {"SS": texts}, st.lists(st.text(max_size=3), max_size=2)),
    st.just({"NS": ["1", "2.5"]}),
    st.just({"S": 7}),
    st.just({"N": 7}),
    st.just({"S": "a", "N": "1"}),
    st.just("no value"),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(lambda items: {"L": items}, st.lists(inner, max_size=3)),
        st.builds(lambda items: {"M": items}, st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    ),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in ORIGINAL.items():
        monkeypatch.setattr(dynamodb, name, function)
    install_value_caches()


@pytest.mark.parametrize("name", CHANGED[:3])
def test_numbers_have_the_results_of_ministack(name: str) -> None:
    for number in NUMBERS * 2:
        assert getattr(dynamodb, name)(number) == ORIGINAL[name](number)


@given(item=st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_sizes_are_those_of_ministack(item: dict[str, Any]) -> None:
    assert dynamodb._item_size_bytes(item) == _ministack_size("_item_size_bytes", item)
    for value in item.values():
        assert dynamodb._attribute_value_size(value) == _ministack_size("_attribute_value_size", value)


def test_what_is_no_item_has_no_size() -> None:
    assert dynamodb._item_size_bytes(None) == ORIGINAL["_item_size_bytes"](None) == 0


def test_another_ministack_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dynamodb, "_item_size_bytes")
    with pytest.raises(MinistackChangedError):
        install_value_caches()


def _ministack_size(name: str, value: Any) -> int:
    """Return a size by ministack alone, whose functions call each other by their names in the module."""
    with pytest.MonkeyPatch.context() as patch:
        for changed, function in ORIGINAL.items():
            patch.setattr(dynamodb, changed, function)
        return int(ORIGINAL[name](value))
