"""Trainings that are refused: the failure has kind, reason and remedy, and there is no report."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from contract.job.scoring_spec import PinnedObject
from tests.unit.training.training_folder import TrainingFolder, doubles, numbers_frame

SKLEARN: dict[str, Any] = {
    "trainer": "sklearn",
    "format": "sklearn-joblib",
    "model_file": "m",
    "estimator": "random_forest",
    "hyperparameters": {"n_estimators": "3"},
}
QUICK: dict[str, Any] = {"label": "two", "features": doubles(), "hyperparameters": {"num_boost_round": "2"}}
ONE_OF = numbers_frame(300, 1)


def changed(**columns: Any) -> pd.DataFrame:
    return ONE_OF.assign(**columns)


NULLS = ONE_OF["two"].astype("Int64").where(ONE_OF.index != 41)
INFINITE = ONE_OF["a"].where(ONE_OF.index != 7, np.inf)
LARGE = ONE_OF["a"].where(ONE_OF.index != 7, 1e300)

REGRESSION = {"label": "value", "task": "regression", "metric": "rmse"}
REFUSED: list[tuple[str, Any, dict[str, Any], str, str]] = [
    ("a null in the label", changed(two=NULLS), {}, "DATA", "label column 'two' is null in row 41: fill these labels"),
    ("a label that is missing", ONE_OF.drop(columns="two"), {}, "DATA", "has no label column 'two'"),
    ("a feature that is missing", ONE_OF.drop(columns="b"), {}, "DATA", "feature column 'b' of type double is missing"),
    ("a feature of another type", changed(a="x"), {}, "DATA", "feature column 'a' is of type"),
    (
        "a null where none may be",
        ONE_OF,
        {"features": (Feature("b", "double", nullable=False),)},
        "DATA",
        "feature column 'b' is null",
    ),
    ("no rows", ONE_OF.head(0), {}, "DATA", "there is no row to train on"),
    ("one class", changed(two=1), {}, "DATA", "has one class only in the rows to train on"),
    ("three classes of two", changed(two=ONE_OF["three"]), {}, "DATA", "has 3 classes, task 'binary' takes"),
    ("classes with gaps", changed(two=ONE_OF["two"] * 2), {}, "DATA", "has 2 classes that are not numbered from 0"),
    ("text as a label", ONE_OF, {"label": "word", "task": "multiclass", "metric": "logloss"}, "DATA", "number them in"),
    ("a class with a fraction", changed(two=ONE_OF["a"]), {}, "DATA", "that is not a class (a whole number)"),
    (
        "a thousand classes and more",
        pd.DataFrame({"a": np.arange(1_001.0), "two": np.arange(1_001)}),
        {"features": doubles("a"), "task": "multiclass", "metric": "logloss"},
        "DATA",
        "more than 1,000 classes",
    ),
    ("nothing held out", ONE_OF.head(3), {**REGRESSION, "holdout_fraction": 0.001}, "DATA", "no row is held out of 3"),
    (
        "classes of one row each",
        pd.DataFrame({"a": np.arange(300.0), "two": np.arange(300)}),
        {"features": doubles("a"), "task": "multiclass", "metric": "logloss"},
        "DATA",
        "no row is held out of 300, because each class has one row",
    ),
    ("an infinite value", changed(a=INFINITE), {}, "DATA", "'a' is infinite, or too large for a 32-bit float"),
    ("a value too large", changed(a=LARGE), {}, "DATA", "'a' is infinite, or too large for a 32-bit float, in row 7"),
    ("an infinite value, scikit-learn", changed(a=INFINITE), SKLEARN, "DATA", "'a' has an infinite value"),
    (
        "a column of nulls, scikit-learn",
        pa.table({**{n: ONE_OF[n] for n in ("a", "c", "two")}, "b": pa.nulls(300, pa.float64())}),
        SKLEARN,
        "DATA",
        "the feature columns ['b'] have nothing but nulls",
    ),
    (
        "a label that is not finite",
        changed(value=INFINITE),
        {"label": "value", "task": "regression", "metric": "rmse"},
        "DATA",
        "label column 'value' is not finite (NaN or infinite) in row 7",
    ),
    (
        "a label that the objective does not take",
        ONE_OF,
        {
            "label": "value",
            "task": "regression",
            "metric": "rmse",
            "hyperparameters": {"objective": "count:poisson"},
        },
        "DATA",
        "objective 'count:poisson', which takes labels from 0",
    ),
    ("no Parquet", b"a,b\n1,2\n", {}, "DATA", "object 'a.parquet' cannot be read as Parquet"),
]  # fmt: skip


def test_classes_that_only_the_validation_rows_have_are_refused_and_logged(job: TrainingFolder) -> None:
    job.add_object("a.parquet", ONE_OF)
    job.add_object("b.parquet", ONE_OF.assign(two=6789), channel="validation")
    job.write_spec(**QUICK)
    ended = job.run()
    assert "classes that only the held-out rows have (1)" in job.failure
    assert "6789" not in job.failure
    assert "6789" in ended.stderr


@pytest.mark.parametrize(
    ("table", "fields", "kind", "text"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_data_that_cannot_be_trained_on_is_refused(
    job: TrainingFolder, table: Any, fields: dict[str, Any], kind: str, text: str
) -> None:
    job.add_object("a.parquet", table)
    job.write_spec(**{**QUICK, **fields})

    failure = job.refused()

    assert failure.startswith(f"{kind}: "), failure
    assert text in failure
    assert len(failure) <= 1_024


def test_all_column_problems_are_reported_together(job: TrainingFolder) -> None:
    job.add_object("1.parquet", ONE_OF.drop(columns=["a", "two"]))
    job.add_object("2.parquet", ONE_OF.assign(two="x"))
    job.write_spec(**QUICK)

    failure = job.refused()

    for part in ("'1.parquet'", "feature column 'a'", "no label column 'two'", "'two' is text"):
        assert part in failure


def test_missing_and_changed_objects_are_refused(job: TrainingFolder) -> None:
    job.add_object("a.parquet", ONE_OF)
    job.objects["train"].append(PinnedObject("gone.parquet", 10, "etag"))
    job.objects["train"][0] = PinnedObject("a.parquet", 10, "etag")
    job.write_spec(**QUICK)

    failure = job.refused()

    assert failure.startswith("DATA: channel 'train' does not match the plan: object 'a.parquet' has ")
    assert "object 'gone.parquet' is missing" in failure
    assert "give it FullyReplicated data" in failure


def test_a_channel_without_planned_objects_is_refused(job: TrainingFolder) -> None:
    job.add_object("a.parquet", ONE_OF)
    (job.paths.train / "train.manifest").write_text("[]")
    job.write_spec(**QUICK)
    assert job.train().rows_total == 300

    job.paths.validation.mkdir()
    (job.paths.validation / "v.parquet").write_bytes(b"")
    assert "channel 'validation' has 1 files, but the training spec names no validation_objects" in job.refused()


def test_all_invalid_hyperparameters_are_reported_together(job: TrainingFolder) -> None:
    job.add_object("a.parquet", ONE_OF)
    job.write_spec(**QUICK)
    job.set_hyperparameters({"learning_rat": "0.1", "max_depth": "deep", "subsample": "nan", "seed": "3"})

    failure = job.refused()

    assert failure.startswith("CONFIGURATION: hyperparameters.json: TrainingSpec has 4 problems")
    for part in (
        "hyperparameters.learning_rat",
        "hyperparameters.max_depth: got 'deep', expected a whole number from 0 up to 64",
        "hyperparameters.subsample: got 'nan'",
        "Set the training's field 'seed' instead",
    ):
        assert part in failure


@pytest.mark.parametrize("content", ["{", "[]", '{"max_depth": 3}'])
def test_hyperparameters_that_are_not_text_are_refused(job: TrainingFolder, content: str) -> None:
    job.add_object("a.parquet", ONE_OF)
    job.write_spec(**QUICK)
    job.paths.hyperparameters.write_text(content)
    assert job.refused().startswith("CONFIGURATION: hyperparameters.json ")


def test_several_instances_are_refused(job: TrainingFolder) -> None:
    job.add_object("a.parquet", ONE_OF)
    job.write_spec(**QUICK)
    job.set_hosts("algo-1", "algo-2")
    assert job.refused().startswith("CONFIGURATION: the job has 2 instances, trainer 'xgboost' uses one")


def test_a_missing_spec_or_unknown_schema_version_is_refused(job: TrainingFolder) -> None:
    assert job.refused().startswith("CONFIGURATION: the training spec cannot be read")
    job.add_object("a.parquet", ONE_OF)
    job.write_spec(**QUICK)
    job.paths.spec.write_text(job.paths.spec.read_text().replace('"schema_version": 2', '"schema_version": 99'))
    assert "schema_version: got 99" in job.refused()
