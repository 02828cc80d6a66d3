"""A field of a model's record is defined once: flag, schema, reference row and check follow from
it.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.documents import record_flags
from cli.documents.model_document import Draft, ModelDocument, read_draft
from cli.documents.record_flags import GROUPS, RecordFlag
from cli.documents.reference import model_schema
from contract.catalog.compute_fields import ComputeFields
from contract.catalog.model_fields import Feature, PredictionFields, RegistrationFields, ScoringFields
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, ModelVersion
from contract.checks import Range
from contract.dataset.input_options import InputOptions
from contract.schema.field_info import check_fields, describe, info_of, values_of
from contract.schema.field_table import field_table
from contract.schema.json_schema import json_schema
from contract.training.recipes import ModelRecipe
from tests.unit.contract.json_schema_reader import accepts

FIELDS: dict[str, Any] = {
    "model_id": "churn",
    "artifact": "model.tar.gz",
    "dataset": "customers",
    "format": "sklearn-joblib",
    "model_file": "model.joblib",
    "method": "predict",
    "features": [{"name": "age", "type": "double"}],
}


def flags() -> dict[str, RecordFlag]:
    return {flag.flag: flag for flag in record_flags.record_flags()}


def test_flag_schema_table_and_check_follow_from_a_new_field(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class WithNewField(ModelDocument):
        warm_up_rows: int = field(
            default=5, metadata=describe("Rows to warm up with.", check=Range(0, 100, "rows"), group="Output")
        )

    monkeypatch.setattr(record_flags, "ModelDocument", WithNewField)
    flag = flags()["--warm-up-rows"]
    assert (flag.kind, flag.help, flag.group) == ("integer", "Rows to warm up with. Default: 5.", "Output")
    schema = json_schema(WithNewField, title="Model", description="With a new field.")
    expected = {"type": "integer", "minimum": 0, "maximum": 100, "default": 5}
    assert schema["properties"]["warm_up_rows"] == {"description": "Rows to warm up with.", **expected}
    assert "| `warm_up_rows` | whole number | 5 | Rows to warm up with. |" in field_table(WithNewField)
    values = {**FIELDS, "features": (Feature("age", "double"),)}
    problems = check_fields(WithNewField(**values, warm_up_rows=101))
    assert [str(problem) for problem in problems] == ["warm_up_rows: got 101, expected 0 to 100 rows"]


@pytest.mark.parametrize(
    ("fields", "users"),
    [
        (PredictionFields, (ModelSpec, ModelDocument, ModelRecipe)),
        (ScoringFields, (ModelSpec, ModelDocument)),
        (RegistrationFields, (ModelVersion, ModelDocument)),
        (ComputeFields, (Compute, ModelDocument)),
    ],
)
def test_records_share_the_definitions_of_their_fields(fields: type, users: tuple[type, ...]) -> None:
    for shared in dataclasses.fields(fields):
        for user in users:
            assert user.__dataclass_fields__[shared.name] is shared  # type: ignore[attr-defined]


def test_version_has_every_shared_field_of_the_document() -> None:
    changes = {"key_columns": ["id"], "output_format": "csv", "max_attempts": 7, "instance_count": 2, "source": "arn"}
    document = read_draft("churn", {**FIELDS, "features": "age:double", **changes}).read().document
    assert document is not None
    version = document.model_version("1", "0" * 64, 1)
    assert values_of(ScoringFields, version.spec) == values_of(ScoringFields, document)
    assert values_of(RegistrationFields, version) == values_of(RegistrationFields, document)
    assert values_of(ComputeFields, version.compute) == values_of(ComputeFields, document)


@pytest.mark.parametrize("cls", [ModelSpec, ModelVersion, ModelDocument, InputOptions, Compute, Feature])
def test_every_field_of_a_record_is_described(cls: type) -> None:
    assert [item.name for item in dataclasses.fields(cls) if not info_of(item).text] == []


def test_flags_have_a_known_group_and_a_unique_name() -> None:
    found = record_flags.record_flags()
    assert {flag.group for flag in found} == set(GROUPS)
    assert len({flag.flag for flag in found}) == len(found)


def test_switch_turns_its_field_on_or_off() -> None:
    off = ("--no-csv-header", "--no-csv-escape-unquoted", "--disabled")
    expected = {"--custom-code": True, "--spot": True, **dict.fromkeys(off, False)}
    values = {name: flags()[name].switch_value for name in expected}
    assert values == expected
    assert {flag.flag for flag in record_flags.record_flags() if flag.kind == "switch"} == set(values)


any_value = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 20),
    st.sampled_from(["", "all", "csv", "a b", "ml.m5.xlarge", "predict"]),
    st.lists(st.sampled_from(["a", "b", "double"]), max_size=3),
    st.just([{"name": "age", "type": "double"}]),
    st.just([{"name": "age", "type": "doubles", "more": 1}]),
    st.just({"team": "ads"}),
    st.just({"csv_delimiter": ";"}),
)


@given(st.sampled_from(sorted(ModelDocument.__dataclass_fields__)), any_value)
def test_schema_accepts_every_document_that_can_be_registered(name: str, value: Any) -> None:
    data = {**FIELDS, name: value}
    assert accepts(model_schema(), data) or Draft(data).read().document is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("dataset", "a/b"),
        ("instance_count", 101),
        ("max_attempts", 0),
        ("method", "guess"),
        ("features", []),
        ("key_columns", ["id", "id"]),
        ("enabled", "yes"),
        ("tags", {"team": 3}),
        ("input", {"csv_separator": ";"}),
        ("output_format", None),
    ],
)
def test_schema_and_document_refuse_the_same_values(name: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**FIELDS, name: value}))
    assert read_draft(f"@{path}", {}).read().problems
    assert not accepts(model_schema(), {**FIELDS, name: value})


@pytest.mark.parametrize("name", ["artifact", "dataset", "features", "format", "method", "model_file", "model_id"])
def test_schema_requires_what_the_document_requires(name: str) -> None:
    assert accepts(model_schema(), FIELDS)
    assert not accepts(model_schema(), {field: value for field, value in FIELDS.items() if field != name})
