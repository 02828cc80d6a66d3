import json
from pathlib import Path
from typing import Any

import pytest

from cli.command_line.record_options import given_fields
from cli.commands.models.registration import register
from cli.documents.model_document import read_draft, read_features, read_tags
from contract.catalog.model_fields import Feature
from contract.problems import InvalidInputError

GOOD: dict[str, Any] = {
    "artifact": "model.tar.gz",
    "dataset": "customers",
    "format": "sklearn-joblib",
    "model_file": "model.joblib",
    "method": "predict",
    "features": "age:double,plan:string:required",
}


def test_document_takes_the_framework_from_the_format() -> None:
    read = read_draft("churn", GOOD).read()
    assert read.problems == ()
    assert read.document is not None
    assert read.document.features == (Feature("age", "double"), Feature("plan", "string", nullable=False))
    version = read.document.model_version("7", "a" * 64, 12)
    assert version.spec.framework == "sklearn"
    assert version.spec.version == "7"
    assert version.max_attempts == 3


def test_artifact_path_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    fields = {**GOOD, "model_id": "churn", "features": [{"name": "age", "type": "double"}], "tags": {"team": "ads"}}
    path = tmp_path / "model.json"
    path.write_text(json.dumps(fields))
    read = read_draft(f"@{path}", {}).read()
    assert read.folder == tmp_path
    assert read.document is not None
    assert read.document.tags == {"team": "ads"}


def test_flags_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**GOOD, "model_id": "churn", "features": [{"name": "age", "type": "double"}]}))
    read = read_draft(f"@{path}", {"dataset": "others", "artifact": "here.tar.gz"}).read()
    assert read.document is not None
    assert read.document.dataset == "others"
    assert read.folder == Path()


def test_all_problems_of_a_document_are_reported_at_once() -> None:
    flags = {
        **GOOD,
        "dataset": "No Such Name",
        "method": "margin",
        "features": "age",
        "instance_type": "m5.xlarge",
        "max_attempts": 99,
        "version": "-1",
    }
    read = read_draft("Churn!", flags).read()
    assert read.document is None
    fields = {problem.field for problem in read.problems}
    assert fields == {
        "model_id", "dataset", "method", "features[0]", "instance_type", "max_attempts", "version"
    }  # fmt: skip


def test_prediction_column_named_like_an_output_column_is_refused() -> None:
    read = read_draft("churn", {**GOOD, "output_columns": ("plan",)}).read()
    assert [(problem.field, problem.value) for problem in read.problems] == [("output_columns", ["plan"])]
    keys = {"columns": "keys", "key_columns": ("id",)}
    assert read_draft("churn", {**GOOD, **keys, "output_columns": ("plan",)}).read().problems == ()
    unnamed = read_draft("churn", {**GOOD, "features": "prediction:double"}).read()
    assert [problem.field for problem in unnamed.problems] == ["output_columns"]


def test_missing_field_is_reported() -> None:
    read = read_draft("churn", {name: value for name, value in GOOD.items() if name != "dataset"}).read()
    assert [problem.field for problem in read.problems] == ["dataset"]


@pytest.mark.parametrize("text", ["age", ":double", "age:double:nullable", "age:double,,visits:int64"])
def test_malformed_feature_is_refused(text: str) -> None:
    _, problems = read_features(text)
    assert len(problems) == 1


def test_types_may_have_commas_and_colons_in_brackets() -> None:
    text = "t:timestamp[us, tz=+05:30]:required, u:timestamp[s,tz=UTC],e:list<float>[768],x[1]:double,d:date32[day]"
    features, problems = read_features(text)
    assert problems == []
    assert [tuple(feature.values()) for feature in features] == [
        ("t", "timestamp[us, tz=+05:30]", False),
        ("u", "timestamp[s, tz=UTC]", True),
        ("e", "list<float>[768]", True),
        ("x[1]", "double", True),
        ("d", "date32[day]", True),
    ]
    for feature in features:
        Feature(**feature)


@pytest.mark.parametrize(
    "declared", ["timestamp", "timestamp[h]", "list<float>", "list<float>[0]", "list<int8>[2]", "date64[ms]"]
)
def test_other_types_are_refused(declared: str) -> None:
    with pytest.raises(InvalidInputError, match=r"type: got .*expected one of bool"):
        Feature("x", declared)


def test_type_of_a_database_is_refused_with_the_type_to_use() -> None:
    [age, _], problems = read_features("age:decimal(18,4),plan:string")
    assert problems == []
    with pytest.raises(InvalidInputError, match=r"got 'decimal\(18,4\)', expected .*\. Use double: decimals"):
        Feature(**age)


def test_features_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "features.json"
    path.write_text('[{"name": "age", "type": "double"}]')
    assert read_features(f"@{path}") == ([{"name": "age", "type": "double"}], [])
    path.write_text('{"name": "age"}')
    with pytest.raises(InvalidInputError, match="a JSON list"):
        read_features(f"@{path}")


def test_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"@.*nothing\.json.*No such file"):
        read_draft(f"@{tmp_path}/nothing.json", {}).read()


def test_tags_are_read_as_key_and_value() -> None:
    tags, problems = read_tags(["team=ads", "url=a=b", "novalue"])
    assert tags == {"team": "ads", "url": "a=b"}
    assert [problem.value for problem in problems] == ["novalue"]


def test_flags_for_loading_and_custom_code_reach_the_spec() -> None:
    words = ["own", "--artifact", "m.tar.gz", "--dataset", "customers", "--format", "custom"]
    words += ["--model-file", "code/inference.py", "--method", "predict", "--features", "age:double", "--custom-code"]
    words += ["--output-columns", "a,b", "--output-types", "string,double", "--content-type", "application/json"]
    flags = given_fields(register.make_context("register", [*words, "--accept", "text/csv"]).params)
    read = read_draft("own", flags).read()
    assert read.problems == ()
    assert read.document is not None
    spec = read.document.model_version("1", "a" * 64, 12).spec
    assert (spec.custom_code, spec.output_types, spec.content_type) == (True, ("string", "double"), "application/json")
    assert (spec.framework, spec.accept, spec.accelerator, spec.trusted_types) == ("custom", "text/csv", "", ())
    refused = read_draft("own", {**flags, "accelerator": "warp"}).read()
    assert [problem.field for problem in refused.problems] == ["accelerator"]


@pytest.mark.parametrize("features", ["age:double", "@features.json"])
def test_file_may_give_the_features_as_text(features: str, tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text('[{"name": "age", "type": "double"}]')
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**GOOD, "model_id": "churn", "features": features}))
    document = read_draft(f"@{path}", {}).read().document
    assert document is not None
    assert document.features == (Feature("age", "double"),)


def test_wrong_features_of_a_file_matter_only_without_the_option(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**GOOD, "model_id": "churn", "features": "@missing.json"}))
    assert [problem.field for problem in read_draft(f"@{path}", {}).read().problems] == ["features"]
    assert read_draft(f"@{path}", {"features": "age:double"}).read().problems == ()
