from dataclasses import replace

from cli.documents.comparison import compare
from cli.views.models.models import comparison_json, feature_lines
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, ModelVersion

SPEC = ModelSpec(
    model_id="churn",
    version="1",
    artifact_sha256="0" * 64,
    artifact_bytes=10,
    framework="sklearn",
    format="sklearn-joblib",
    model_file="model.joblib",
    method="predict",
    features=(Feature("age", "double"), Feature("plan", "string"), Feature("visits", "int32")),
)
FIRST = ModelVersion(
    spec=SPEC, dataset="customers", compute=Compute("ml.m5.large"), registered_at="monday", registered_by="me"
)


def test_versions_that_differ_only_in_name_and_date_are_equal() -> None:
    second = replace(FIRST, spec=replace(SPEC, version="2"), registered_at="tuesday", registered_by="you")
    found = compare(FIRST, second)
    assert found.fields == {}
    assert feature_lines(found.features) == []


def test_differing_fields_are_listed_with_both_values() -> None:
    spec = replace(SPEC, version="2", artifact_sha256="1" * 64, artifact_bytes=12, method="predict_proba")
    second = replace(FIRST, spec=spec, compute=Compute("ml.c5.large"), max_attempts=1, tags={"team": "ads"})
    assert compare(FIRST, second).fields == {
        "artifact_sha256": ("0" * 64, "1" * 64),
        "artifact_bytes": (10, 12),
        "method": ("predict", "predict_proba"),
        "instance_type": ("ml.m5.large", "ml.c5.large"),
        "max_attempts": (3, 1),
        "tag team": (None, "ads"),
    }


def test_feature_changes_are_listed_by_kind() -> None:
    features = (Feature("visits", "int64"), Feature("age", "double", nullable=False), Feature("spend", "double"))
    found = compare(FIRST, replace(FIRST, spec=replace(SPEC, version="2", features=features)))
    assert found.fields == {}
    assert feature_lines(found.features) == [
        "feature added: spend:double",
        "feature removed: plan:string",
        "feature retyped: age:double -> age:double:required",
        "feature retyped: visits:int32 -> visits:int64",
        "The features are in another order.",
    ]
    assert [item["name"] for item in comparison_json(found)["features"]["added"]] == ["spend"]
