import dataclasses
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract.problems import InvalidInputError
from contract.workflow.request_schema import request_schema, schema_text
from contract.workflow.scoring_request import ExecutionRequest, parse_request
from tests.unit.contract import strategies
from tests.unit.contract.json_schema_reader import accepts

PUBLISHED = Path(__file__).parents[4] / "docs/reference/schemas/request.schema.json"

names = st.one_of(st.text("ab-_A/ .", max_size=4), st.sampled_from(["a" * 63, "a" * 64, "ok", "a\u0301"]))
numbers = st.one_of(st.integers(-1, 3), st.sampled_from([99, 100, 101, 1_000, 1_001, 10_000, 10_001, 0.5, 99.5, 100.5]))
values: dict[str, st.SearchStrategy[Any]] = {
    "models": st.one_of(
        st.lists(names, max_size=3),
        st.fixed_dictionaries({}, optional={"tags": st.dictionaries(names, st.one_of(names, numbers), max_size=2)}),
        st.just({"tags": {"team": "ads"}, "more": 1}),
        names,
    ),
    "dataset": names,
    "max_concurrency": numbers,
    "tolerated_failure_percentage": numbers,
    "instance_type": st.sampled_from(["ml.m5.xlarge", "m5.xlarge", "ml.m5", "ml.m5.xlarge ", ""]),
    "instance_count": numbers,
    "models_per_job": st.one_of(numbers, st.sampled_from(["auto", "AUTO", ""])),
    "deadline": st.sampled_from(
        ["PT6H", "P1DT30M", "P", "PT", "2026-03-02T06:00Z", "2026-03-02T06:00:00.5+01:00", "6h"]
    ),
    "objective": st.sampled_from(["cost", "time", "speed"]),
    "execution_label": st.one_of(names, st.sampled_from(["nightly ads", " x", "x" * 64, "x" * 65])),
    "objects_manifest": st.sampled_from(
        ["uploads/ok/0a.json", "uploads/ok/parts/0a.json", "uploads//a.json", "a.json"]
    ),
    "task_token": st.sampled_from(["", "AAAA", "x" * 2_048, "x" * 2_049]),
    "train": st.fixed_dictionaries(
        {},
        optional={
            "models": st.one_of(st.none(), st.lists(names, max_size=3), names),
            "continue_on_failure": st.one_of(st.booleans(), st.none(), numbers),
            "always": st.just(True),
        },
    ),
}
any_value = st.one_of(st.none(), st.booleans(), numbers, names, st.lists(names, max_size=2), st.just({}))
requests = st.fixed_dictionaries(
    {},
    optional={**{name: st.one_of(found, any_value) for name, found in values.items()}, "colour": any_value},
)


def is_request(data: Any) -> bool:
    try:
        parse_request(data)
    except InvalidInputError:
        return False
    return True


def test_published_schema_is_current() -> None:
    remedy = "Run: python -m cli.documents.reference docs/reference"
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(request_schema()), remedy


def test_schema_has_every_field_of_the_request() -> None:
    assert set(request_schema()["properties"]) == {field.name for field in dataclasses.fields(ExecutionRequest)}


@given(requests)
def test_schema_and_parser_accept_the_same_requests(data: dict[str, Any]) -> None:
    assert accepts(json.loads(schema_text(request_schema())), data) == is_request(data)


@given(strategies.json_values)
def test_schema_and_parser_agree_on_any_json(data: Any) -> None:
    assert accepts(request_schema(), data) == is_request(data)


@given(st.sampled_from(sorted(values)), st.data())
def test_schema_and_parser_agree_on_each_field(name: str, data: st.DataObject) -> None:
    request = {name: data.draw(st.one_of(values[name], any_value))}
    assert accepts(request_schema(), request) == is_request(request)
