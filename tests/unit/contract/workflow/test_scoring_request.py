import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from contract.problems import InvalidInputError
from contract.workflow.scoring_request import (
    ExecutionRequest,
    ModelFilter,
    TrainFirst,
    hide_task_token,
    parse_request,
)
from contract.workflow.training_request import parse_training_request
from tests.unit.contract import strategies


def test_empty_request_sets_no_field() -> None:
    assert parse_request({}) == ExecutionRequest()


def test_request_accepts_every_field() -> None:
    data = {
        "models": ["delays-ua", "delays-aa"],
        "dataset": "flights",
        "max_concurrency": 10,
        "tolerated_failure_percentage": 12.5,
        "instance_type": "ml.m5.large",
        "instance_count": 2,
        "models_per_job": "auto",
        "deadline": "PT6H",
        "strict_deadline": True,
        "objective": "time",
        "execution_label": "nightly",
        "objects_manifest": "uploads/flights/0a1b.json",
    }
    assert parse_request(data) == ExecutionRequest(**{**data, "models": ("delays-ua", "delays-aa")})  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["nightly ads", "夜間スコア 2026", "Größe/klein", "данные"])
def test_labels_have_letters_of_any_script(label: str) -> None:
    assert parse_request({"execution_label": label}).execution_label == label


def test_train_is_an_object_and_absent_by_default() -> None:
    assert parse_request({}).train is None
    assert parse_request({"train": None}).train is None
    assert parse_request({"train": {}}).train == TrainFirst(None, continue_on_failure=False)
    found = parse_request({"train": {"models": ["delays-ua"], "continue_on_failure": True}}).train
    assert found == TrainFirst(("delays-ua",), continue_on_failure=True)


def test_request_selects_models_by_tags() -> None:
    assert parse_request({"models": {"tags": {"team": "ops"}}}).models == ModelFilter({"team": "ops"})


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"model": "delays-ua"}, "model"),
        ({"models": "delays-ua"}, "models"),
        ({"models": []}, "models"),
        ({"models": ["UPPER"]}, "models[0]"),
        ({"models": ["ok", "a/b"]}, "models[1]"),
        ({"models": ["a", "a"]}, "models"),
        ({"models": [1]}, "models[0]"),
        ({"models": {"tags": {}}}, "models.tags"),
        ({"models": {"tags": {"team": 3}}}, "models.tags.team"),
        ({"dataset": ""}, "dataset"),
        ({"dataset": "a/b"}, "dataset"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": 10_001}, "max_concurrency"),
        ({"max_concurrency": "10"}, "max_concurrency"),
        ({"max_concurrency": True}, "max_concurrency"),
        ({"tolerated_failure_percentage": -1}, "tolerated_failure_percentage"),
        ({"tolerated_failure_percentage": 100.1}, "tolerated_failure_percentage"),
        ({"tolerated_failure_percentage": 10**400}, "tolerated_failure_percentage"),
        ({"instance_type": "m5.large"}, "instance_type"),
        ({"instance_count": 101}, "instance_count"),
        ({"models_per_job": 0}, "models_per_job"),
        ({"models_per_job": "all"}, "models_per_job"),
        ({"objective": "speed"}, "objective"),
        ({"objects_manifest": "executions/e/jobs.json"}, "objects_manifest"),
        ({"objects_manifest": "uploads/UPPER/a.json"}, "objects_manifest"),
        ({"objects_manifest": "uploads/flights/../a.json"}, "objects_manifest"),
        ({"objects_manifest": "uploads/flights/parts/a.json"}, "objects_manifest"),
        ({"execution_label": " "}, "execution_label"),
        ({"execution_label": "a\u202eb"}, "execution_label"),
        ({"execution_label": "a\nb"}, "execution_label"),
        ({"train": True}, "train"),
        ({"train": {"models": []}}, "train.models"),
        ({"train": {"models": ["ok", "UPPER"]}}, "train.models[1]"),
        ({"train": {"models": ["a", "a"]}}, "train.models"),
        ({"train": {"continue_on_failure": "yes"}}, "train.continue_on_failure"),
        ({"train": {"always": True}}, "train.always"),
        ({"execution_label": "x" * 65}, "execution_label"),
    ],
)
def test_invalid_field_is_reported_with_its_value(data: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_request(data)
    (problem,) = refused.value.problems
    assert problem.field.startswith(field)
    shown = str(problem.value).lower() if isinstance(problem.value, bool) else repr(problem.value)
    assert shown[:100] in str(problem)
    assert problem.expected


def test_number_larger_than_any_float_is_refused_in_every_field() -> None:
    fields = ("max_concurrency", "tolerated_failure_percentage", "instance_count", "models_per_job")
    with pytest.raises(InvalidInputError) as refused:
        parse_request(dict.fromkeys(fields, -(10**400)))
    assert {problem.field for problem in refused.value.problems} == set(fields)


def test_field_of_two_types_reports_only_problems_of_the_values_own_type() -> None:
    """A wrong object is not reported as a wrong list."""
    with pytest.raises(InvalidInputError) as refused:
        parse_request({"models": {"tag": {"team": "ads"}}})
    assert {problem.field for problem in refused.value.problems} == {"models.tag", "models.tags"}
    with pytest.raises(InvalidInputError, match="models: got 'all', expected a list or a JSON object"):
        parse_request({"models": "all"})


def test_forty_thousand_model_ids_are_checked_quickly() -> None:
    """An input of 250 KB holds this many ids. A quadratic check would exceed the plan's timeout."""
    ids = [f"m{number}" for number in range(40_000)]
    started = time.process_time()
    with pytest.raises(InvalidInputError, match="each model id once"):
        parse_request({"models": [*ids, *ids[:5]]})
    assert time.process_time() - started < 5


def test_all_problems_of_a_request_are_reported_at_once() -> None:
    data = {"colour": "red", "models": ["A"], "max_concurrency": "x", "instance_count": 0, "dataset": 7}
    with pytest.raises(InvalidInputError) as refused:
        parse_request(data)
    named = {problem.field for problem in refused.value.problems}
    assert named >= {"colour", "models[0]", "max_concurrency", "instance_count", "dataset"}


@given(strategies.json_values)
def test_any_json_is_parsed_or_refused_with_reasons(data: Any) -> None:
    try:
        request = parse_request(data)
    except InvalidInputError as error:
        reasons = error.problems
    else:
        reasons = ()
        assert isinstance(request, ExecutionRequest)
    assert reasons or isinstance(data, dict)


TOKEN = 'AQC"\\é' * 400


@pytest.mark.parametrize("parse", [parse_request, parse_training_request])
@pytest.mark.parametrize("value", [TOKEN, [TOKEN], {"a": TOKEN}])
def test_problems_do_not_quote_the_task_token(parse: Callable[[Any], object], value: object) -> None:
    with pytest.raises(InvalidInputError, match=r"task_token: got '\(hidden\)'") as refused:
        parse({"task_token": value, "max_concurrency": 0})
    assert "AQC" not in str(refused.value)
    assert "max_concurrency: got 0" in str(refused.value)


@pytest.mark.parametrize("rest", [{}, {"max_concurrency": float("inf")}, {"models": [[[]]]}])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_text_of_a_request_shows_the_task_token(rest: dict[str, Any], ascii_only: bool) -> None:
    request = {"execution_label": '"task_token": "mine"', "task_token": TOKEN, **rest}
    hidden = json.loads(hide_task_token(json.dumps(request, ensure_ascii=ascii_only)))
    assert hidden == {**request, "task_token": "(hidden)"} == hide_task_token(request)
