import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given

from contract.codec import SCHEMA_VERSION, decode_fields, dumps, from_json, loads, to_json
from contract.job.scoring_spec import JobSpec
from contract.problems import InvalidInputError
from contract.workflow.messages import JobPointer
from tests.unit.contract import strategies


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    name: str
    size: int = 0


@dataclass(frozen=True)
class Message:
    text: str
    number: int = 0
    share: float = 0.0
    flag: bool = False
    colour: Colour = Colour.RED
    word: Literal["a", "b"] = "a"
    inner: Inner | None = None
    items: tuple[Inner, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def problems_of(data: Mapping[str, Any]) -> list[str]:
    with pytest.raises(InvalidInputError) as refused:
        from_json(Message, {"schema_version": SCHEMA_VERSION, **data})
    return [f"{problem.field}: {problem.expected}" for problem in refused.value.problems]


@given(strategies.messages | strategies.table_records)
def test_every_message_survives_json_text(message: Any) -> None:
    assert loads(type(message), dumps(message)) == message


@given(strategies.job_specs)
def test_job_spec_is_plain_json_with_a_schema_version(spec: JobSpec) -> None:
    data = json.loads(dumps(spec))
    assert data == to_json(spec)
    assert data["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "text: a value: the field is required"),
        ({"text": 3}, "text: a string"),
        ({"text": None}, "text: a string"),
        ({"text": "x", "number": "3"}, "number: a whole number"),
        ({"text": "x", "number": True}, "number: a whole number"),
        ({"text": "x", "number": 1.5}, "number: a whole number"),
        ({"text": "x", "share": "half"}, "share: a number"),
        ({"text": "x", "flag": 1}, "flag: true or false"),
        ({"text": "x", "colour": "blue"}, "colour: one of 'red'"),
        ({"text": "x", "word": "c"}, "word: one of 'a', 'b'"),
        ({"text": "x", "inner": []}, "inner: a JSON object"),
        ({"text": "x", "inner": {}}, "inner.name: a value: the field is required"),
        ({"text": "x", "items": {}}, "items: a list"),
        ({"text": "x", "items": [{"name": "y"}, {"name": 1}]}, "items[1].name: a string"),
        ({"text": "x", "tags": ["y"]}, "tags: a JSON object"),
        ({"text": "x", "tags": {"y": 1}}, "tags.y: a string"),
        ({"text": "x", "extra": 1}, "extra: no such field"),
    ],
)
def test_ill_formed_field_is_refused_by_name(data: dict[str, Any], problem: str) -> None:
    assert problems_of(data) == [problem]


def test_every_problem_of_a_message_is_reported_at_once() -> None:
    found = problems_of({"number": "x", "colour": "blue", "extra": 1, "inner": {"size": "big"}})
    assert sorted(found) == [
        "colour: one of 'red'",
        "extra: no such field",
        "inner.name: a value: the field is required",
        "inner.size: a whole number",
        "number: a whole number",
        "text: a value: the field is required",
    ]


def test_whole_number_is_accepted_as_a_number() -> None:
    message = from_json(Message, {"schema_version": SCHEMA_VERSION, "text": "x", "share": 1})
    assert isinstance(message.share, float)


@pytest.mark.parametrize("version", [None, 0, SCHEMA_VERSION + 1, "1"])
def test_message_of_another_schema_version_reports_only_the_version(version: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"schema_version: got .*different releases") as refused:
        from_json(JobPointer, {"schema_version": version, "unknown": True})
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize("text", ["", "{", "nothing", b"\xff"])
def test_text_that_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidInputError, match="JSON text"):
        loads(JobPointer, text)


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_message_that_is_not_an_object_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInputError, match="a JSON object"):
        from_json(JobPointer, data)


def test_fields_that_people_write_need_no_schema_version() -> None:
    assert decode_fields(Inner, {"name": "x"}) == (Inner("x"), [])
