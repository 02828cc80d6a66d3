import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import codec
from contract.catalog.model_fields import Feature
from contract.job.scoring_spec import PinnedObject
from contract.problems import InvalidInputError
from contract.training.hyperparameters import EARLY_STOPPING, ESTIMATORS, known_hyperparameters, parse_hyperparameters
from contract.training.training_spec import (
    DEFAULT_METRIC,
    FORMATS_OF_TRAINER,
    METRICS,
    TrainingReport,
    TrainingSpec,
    metrics_of,
)

SPEC: dict[str, Any] = {
    "execution_id": "execution-1",
    "job_id": "late",
    "model_id": "late",
    "version": "v2",
    "dataset": "flights",
    "trainer": "xgboost",
    "label": "late",
    "features": (Feature("distance", "double"),),
    "task": "binary",
    "method": "predict",
    "format": "xgboost-ubj",
    "model_file": "model.ubj",
    "objects": (PinnedObject("a.parquet", 10, "etag"),),
    "metric": "auc",
    "validation_dataset": "flights-held-out",
}
REPORT: dict[str, Any] = {
    "execution_id": "execution-1",
    "job_id": "late",
    "model_id": "late",
    "version": "v2",
    "trainer": "xgboost",
    "task": "binary",
    "framework": "xgboost",
    "framework_version": "3.2.0",
    "format": "xgboost-ubj",
    "model_file": "model.ubj",
    "method": "predict",
    "features": (Feature("distance", "double"),),
    "output_columns": ("prediction",),
    "metric": "auc",
    "greater_is_better": True,
    "metrics": {"auc": 0.75, "logloss": 0.5},
    "metric_value": 0.75,
    "rows_total": 10,
    "rows_trained": 8,
    "rows_held_out": 2,
    "best_iteration": 9,
    "seconds": 1.5,
    "resumed_from": None,
}
WRAPPER = {"format": "xgboost-sklearn-ubj"}
SKLEARN = {"trainer": "sklearn", "format": "sklearn-joblib", "estimator": "random_forest"}
SCRIPT = {"trainer": "script", "code_sha256": "a" * 64}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "holdout_fraction": st.floats(0, 0.5),
            "seed": st.integers(0, 2**31 - 1),
            "hyperparameters": st.dictionaries(
                st.sampled_from(["max_depth", "num_boost_round"]), st.integers(1, 64).map(str)
            ),
            "key_columns": st.just(("id",)),
            "validation_objects": st.just((PinnedObject("v.parquet", 1, "etag"),)),
        },
    )
)
def test_training_spec_survives_json(fields: dict[str, Any]) -> None:
    spec = TrainingSpec(**{**SPEC, **fields})
    assert codec.loads(TrainingSpec, codec.dumps(spec)) == spec


def test_training_report_survives_json_with_and_without_metrics() -> None:
    for fields in ({}, {"metrics": {}, "metric_value": None, "rows_total": None}):
        report = TrainingReport(**{**REPORT, **fields})
        assert codec.loads(TrainingReport, codec.dumps(report)) == report


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"label": "distance"}, "label"),
        ({"label": ""}, "label"),
        ({"features": ()}, "features"),
        ({"features": (Feature("carrier", "string"),)}, "features"),
        ({"features": (Feature("a", "double"), Feature("a", "double"))}, "features"),
        ({"features": (Feature("a", "list<float>[2]"),)}, "features"),
        ({**SKLEARN, "features": (Feature("a", "timestamp[s]"),)}, "features"),
        ({"objects": ()}, "objects"),
        ({"objects": (PinnedObject("a", 1, "e"), PinnedObject("a", 2, "f"))}, "objects"),
        ({"format": "sklearn-joblib"}, "format"),
        ({"method": "predict_proba"}, "method"),
        ({"metric": "rmse"}, "metric"),
        ({"task": "regression"}, "metric"),
        ({**WRAPPER, "task": "regression", "metric": "rmse", "method": "predict_proba"}, "method"),
        ({"holdout_fraction": 0.6}, "holdout_fraction"),
        ({"holdout_fraction": -0.1}, "holdout_fraction"),
        ({"holdout_fraction": float("nan")}, "holdout_fraction"),
        ({"seed": -1}, "seed"),
        ({"early_stopping_rounds": 0}, "early_stopping_rounds"),
        ({"early_stopping_rounds": 5, "holdout_fraction": 0.0}, "early_stopping_rounds"),
        ({"early_stopping_rounds": 5, "metric": "f1"}, "early_stopping_rounds"),
        ({**SKLEARN, "early_stopping_rounds": 5}, "early_stopping_rounds"),
        ({"estimator": "random_forest"}, "estimator"),
        ({**SKLEARN, "estimator": None}, "estimator"),
        ({**SKLEARN, "estimator": "ridge"}, "estimator"),
        ({**SKLEARN, "method": "decision_function"}, "method"),
        ({"model_file": "../m"}, "model_file"),
        ({"model_file": "fleetscore.json"}, "model_file"),
        ({"hyperparameters": {"eta": "2"}}, "hyperparameters.eta"),
        ({"hyperparameters": {"eta": "0.1", "learning_rate": "0.2"}}, "hyperparameters.learning_rate"),
        ({"hyperparameters": {"objective": "multi:softprob"}}, "hyperparameters.objective"),
        ({**SCRIPT, "hyperparameters": {"x": "y" * 2_501}}, "hyperparameters.x"),
        ({**SCRIPT, "hyperparameters": {f"x{i}": "" for i in range(101)}}, "hyperparameters"),
        ({"trainer": "script"}, "code_sha256"),
        ({**SCRIPT, "code_sha256": "A" * 64}, "code_sha256"),
        ({"code_sha256": "a" * 64}, "code_sha256"),
    ],
)  # fmt: skip
def test_training_spec_with_an_invalid_field_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        TrainingSpec(**{**SPEC, **fields})
    assert [problem.field for problem in refused.value.problems] == [named]


def test_all_problems_of_a_spec_are_reported_at_once() -> None:
    with pytest.raises(InvalidInputError) as refused:
        TrainingSpec(
            **{**SPEC, "label": "distance", "seed": -1, "metric": "r2", "hyperparameters": {"a": "1", "b": "2"}}
        )
    assert [problem.field for problem in refused.value.problems] == [
        "label",
        "metric",
        "seed",
        "hyperparameters.a",
        "hyperparameters.b",
    ]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"metrics": {"auc": 0.75, "x": float("nan")}}, "metrics.x"),
        ({"metrics": {"auc": 0.75, "x": 1e300}}, "metrics.x"),
        ({"metrics": {"auc": 0.75, "x": 10**399}}, "metrics.x"),
        ({"rows_total": 10**40}, "rows_total"),
        ({"metric_value": 0.5}, "metric_value"),
        ({"metric_value": None}, "metric_value"),
        ({"greater_is_better": False}, "metric"),
        ({"version": "../v"}, "version"),
        ({"model_file": "/m"}, "model_file"),
    ],
)
def test_contradictory_training_report_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        codec.loads(TrainingReport, json.dumps(codec.to_json(TrainingReport(**{**REPORT, **fields}))))
    assert refused.value.problems[0].field == named


def test_every_task_has_metrics_and_a_default() -> None:
    for task, name in DEFAULT_METRIC.items():
        assert name in metrics_of(task)
    assert {name for task in DEFAULT_METRIC for name in metrics_of(task)} == set(METRICS)


def test_every_estimator_has_hyperparameters() -> None:
    for estimator, tasks in ESTIMATORS.items():
        for task in tasks:
            assert known_hyperparameters("sklearn", estimator, task)
    assert set(EARLY_STOPPING) <= set(ESTIMATORS) | set(FORMATS_OF_TRAINER)
    assert all(metrics <= set(METRICS) for metrics in EARLY_STOPPING.values())


@pytest.mark.parametrize(
    ("given_text", "value"),
    [
        (("xgboost", None, "max_depth", " 6 "), 6),
        (("xgboost", None, "reg_lambda", "1e-3"), 0.001),
        (("xgboost", None, "external_memory", "True"), True),
        (("xgboost", None, "grow_policy", "lossguide"), "lossguide"),
        (("sklearn", "random_forest", "max_depth", "none"), None),
        (("sklearn", "logistic_regression", "C", "0"), "above 0"),
        (("sklearn", "hist_gradient_boosting", "max_bins", "256"), "from 2 up to 255"),
        (("xgboost", None, "max_depth", "6.0"), "a whole number"),
        (("xgboost", None, "gamma", "inf"), "a number from 0"),
        (("xgboost", None, "external_memory", "1"), "true or false"),
        (("xgboost", None, "grow_policy", "both"), "one of depthwise, lossguide"),
        (("xgboost", None, "booster", "dart"), "no such hyperparameter"),
        (("sklearn", "ridge", "max_dept", "1"), "no such hyperparameter"),
    ],
)
def test_hyperparameter_texts_are_parsed_strictly(given_text: tuple[str, str | None, str, str], value: object) -> None:
    trainer, estimator, name, text = given_text
    values, problems = parse_hyperparameters(trainer, estimator, "binary", {name: text})
    if problems:
        assert str(value) in problems[0].expected
        assert problems[0].field == f"hyperparameters.{name}"
    else:
        assert list(values.values()) == [value]


def test_training_document_names_every_hyperparameter_and_metric() -> None:
    text = (Path(__file__).parents[4] / "docs/reference/containers/training-container.md").read_text()
    names = {*METRICS, *ESTIMATORS, *TrainingSpec.__dataclass_fields__}
    for task in DEFAULT_METRIC:
        names |= set(known_hyperparameters("xgboost", None, task))
        for estimator in ESTIMATORS:
            names |= set(known_hyperparameters("sklearn", estimator, task))
    assert [name for name in sorted(names) if f"`{name}`" not in text and f"`{name}=" not in text] == []
