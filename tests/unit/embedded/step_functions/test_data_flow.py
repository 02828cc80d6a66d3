"""Paths, templates and size limits."""

from typing import Any

import pytest

from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import (
    PAYLOAD_LIMIT_BYTES,
    check_size,
    fill,
    insert_result,
    number,
    resolve,
    state_output,
)

CONTEXT: dict[str, Any] = {"Execution": {"Id": "e"}, "variables": {}, "QueryLanguage": "JSONPath"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", {"a": [{"b": 1}, {"b": None}]}),
        ("$.a[0].b", 1),
        ("$.a[1].b", None),
        ("$.a[*].b", [1, None]),
        ("$$.Execution.Id", "e"),
        ("States.ArrayLength($.a)", 2),
    ],
)
def test_a_path_resolves_to_a_value(path: str, value: Any) -> None:
    assert resolve(path, {"a": [{"b": 1}, {"b": None}]}, CONTEXT) == value


@pytest.mark.parametrize("path", ["$.missing", "$.a[7]", "$$.Map.Item.Value", "$.a[?(@.b)]", "$..b", "plain"])
def test_a_path_without_a_match_is_an_error(path: str) -> None:
    with pytest.raises(TaskError) as failed:
        resolve(path, {"a": []}, CONTEXT, "Field")
    assert failed.value.error == "States.Runtime"
    assert path in failed.value.cause


def test_the_context_object_hides_the_interpreters_entries() -> None:
    assert resolve("$$", {}, CONTEXT) == {"Execution": {"Id": "e"}}


def test_a_template_is_filled_at_every_depth() -> None:
    template = {"a.$": "$.n", "b": {"c.$": "$$.Execution.Id"}, "d": [{"e.$": "$.n"}, "$.n"]}
    assert fill(template, {"n": 1}, CONTEXT) == {"a": 1, "b": {"c": "e"}, "d": [{"e": 1}, "$.n"]}


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("$", 9),
        (None, {"a": {"b": 1}}),
        ("$.a.c", {"a": {"b": 1, "c": 9}}),
        ("$.new.deep", {"a": {"b": 1}, "new": {"deep": 9}}),
    ],
)
def test_result_path_places_the_result(path: str | None, output: Any) -> None:
    original = {"a": {"b": 1}}
    assert insert_result(path, original, 9) == output
    assert original == {"a": {"b": 1}}


def test_result_path_must_lead_through_objects() -> None:
    for original in ([1], {"a": 1}):
        with pytest.raises(TaskError) as failed:
            insert_result("$.a.b", original, 9)
        assert failed.value.error == "States.ResultPathMatchFailure"


def test_a_result_selector_sees_the_context_object() -> None:
    state = {"ResultSelector": {"id.$": "$$.Execution.Id", "n.$": "$.n"}, "ResultPath": "$.r", "OutputPath": "$.r"}
    assert state_output(state, {"raw": 1}, {"n": 2}, CONTEXT) == {"id": "e", "n": 2}


def test_the_limit_counts_bytes_of_utf_8() -> None:
    room = PAYLOAD_LIMIT_BYTES - 2
    check_size("x" * room, "it")
    check_size("é" * (room // 2), "it")
    check_size("\ud800", "it")
    for text in ("x" * (room + 1), "é" * (room // 2 + 1)):
        with pytest.raises(TaskError) as failed:
            check_size(text, "The output")
        assert failed.value.error == "States.DataLimitExceeded"


def test_a_number_comes_from_its_field_or_its_path() -> None:
    assert number({"N": 3}, "N", {}, CONTEXT, default=1) == 3
    assert number({"NPath": "$.n"}, "N", {"n": 4}, CONTEXT, default=1) == 4
    assert number({}, "N", {}, CONTEXT, default=1) == 1
    for wrong in ("5", True, -1, None):
        with pytest.raises(TaskError, match="N: expected a number of at least 0"):
            number({"NPath": "$.n"}, "N", {"n": wrong}, CONTEXT, default=1)
