"""`launcher train` with trainer `sklearn`: the pipeline, its report, and how it scores."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, roc_auc_score

from contract.catalog.model_fields import Feature
from contract.training.hyperparameters import ESTIMATORS
from scoring.columns.features import FeatureBatch
from scoring.models import load_model
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.training.expected_split import held_out_rows
from tests.unit.training.training_folder import MIXED, NUMBERS, TrainingFolder, doubles, numbers_frame
from training.load_check import model_spec_of

SMALL = {
    "hist_gradient_boosting": {"max_iter": "10"},
    "random_forest": {"n_estimators": "8", "max_depth": "6"},
    "extra_trees": {"n_estimators": "8", "max_depth": "6"},
}
SKLEARN = {"trainer": "sklearn", "format": "sklearn-joblib", "model_file": "model.joblib"}


def scored(job: TrainingFolder, spec: object, frame: pd.DataFrame) -> np.ndarray:
    """Predict with the real scoring loader, in two batches."""
    record = model_spec_of(spec)  # type: ignore[arg-type]
    model = load_model(record, job.paths.model / record.model_file)
    names = tuple(feature.name for feature in record.features)
    table = pa.Table.from_pandas(frame[list(names)], preserve_index=False)
    nulls = frozenset(name for name in names if table[name].null_count)
    batches = [
        FeatureBatch(names, tuple(column.combine_chunks() for column in part.columns), nulls)
        for part in (table.slice(0, 7), table.slice(7))
    ]
    return np.concatenate([model.predict(batch) for batch in batches])


@pytest.mark.parametrize(
    ("estimator", "task"), [(name, task) for name, tasks in ESTIMATORS.items() for task in sorted(tasks)]
)
def test_each_estimator_learns_mixed_columns_and_scores_with_the_real_loader(
    job: TrainingFolder, estimator: str, task: str
) -> None:
    frame = make_flights(1_500, 1).assign(
        three=lambda rows: np.digitize(rows["delay"].fillna(0), [0, 20]), value=lambda rows: rows["delay"].fillna(0) * 2
    )
    job.add_object("a.parquet", frame, row_group_size=400)
    label, metric = {
        "binary": ("late", "auc"),
        "multiclass": ("three", "accuracy"),
        "regression": ("value", "mae"),
    }[task]
    spec = job.write_spec(
        **SKLEARN,
        estimator=estimator,
        task=task,
        label=label,
        metric=metric,
        features=MIXED,
        method="predict",
        hyperparameters=SMALL.get(estimator, {}),
    )

    report = job.train()

    held = held_out_rows(spec, {"a.parquet": frame})
    model = joblib.load(job.paths.model / "model.joblib")
    names = [feature.name for feature in MIXED]
    assert list(model.feature_names_in_) == names
    predicted = scored(job, spec, held)
    np.testing.assert_array_equal(predicted, model.predict(held[names]))
    expected = {
        "auc": lambda: roc_auc_score(held[label], model.predict_proba(held[names])[:, 1]),
        "accuracy": lambda: accuracy_score(held[label], predicted),
        "mae": lambda: mean_absolute_error(held[label], predicted),
    }[metric]()
    assert report.metric_value == pytest.approx(expected, abs=1e-9)
    good = report.metric_value > 0.7 if metric != "mae" else report.metric_value < held[label].abs().mean() / 2
    assert good, report.metrics
    assert (report.framework, report.estimator, report.rows_total) == ("sklearn", estimator, 1_500)


def test_probability_columns_are_named_after_text_labels(job: TrainingFolder) -> None:
    frame = numbers_frame(900, 2)
    job.add_object("a.parquet", frame)
    spec = job.write_spec(
        **SKLEARN,
        estimator="hist_gradient_boosting",
        task="multiclass",
        label="word",
        metric="f1_macro",
        method="predict_proba",
        features=doubles(),
        hyperparameters={"max_iter": "10"},
    )

    report = job.train()

    assert report.output_columns == ("prediction_high", "prediction_low", "prediction_mid")
    held = held_out_rows(spec, {"a.parquet": frame})
    chosen = np.array(["high", "low", "mid"])[scored(job, spec, held).argmax(axis=1)]
    assert report.metric_value == pytest.approx(f1_score(held["word"], chosen, average="macro"))


def test_early_stopping_uses_the_held_out_rows(job: TrainingFolder) -> None:
    random = np.random.default_rng(0)
    frame = numbers_frame(500, 3)
    frame["two"] = np.where(random.random(500) < 0.3, 1 - frame["two"], frame["two"])
    job.add_object("a.parquet", frame)
    job.write_spec(
        **SKLEARN,
        estimator="hist_gradient_boosting",
        label="two",
        features=doubles(),
        metric="logloss",
        early_stopping_rounds=5,
        hyperparameters={"max_iter": "2000", "learning_rate": "0.5"},
    )

    report = job.train()

    assert report.best_iteration is not None
    assert report.best_iteration < 100
    assert joblib.load(job.paths.model / "model.joblib").n_iter_ == report.best_iteration + 1


def test_unknown_texts_are_scored(job: TrainingFolder) -> None:
    frame = make_flights(600, 4)
    job.add_object("a.parquet", frame)
    for estimator in ("hist_gradient_boosting", "logistic_regression", "random_forest"):
        spec = job.write_spec(
            **SKLEARN, estimator=estimator, features=MIXED, method="predict", hyperparameters=SMALL.get(estimator, {})
        )
        job.train()
        assert len(scored(job, spec, frame.head(20).assign(carrier="ZZ"))) == 20


def test_booleans_with_nulls_are_scored_as_in_training(job: TrainingFolder) -> None:
    frame = make_flights(600, 5)
    flags = pa.array([None if row % 7 == 0 else row % 2 == 0 for row in range(600)])
    table = pa.Table.from_pandas(frame, preserve_index=False).append_column("flag", flags)
    job.add_object("a.parquet", table)
    features = (*NUMBERS, Feature("flag", "bool"))
    for estimator in ("hist_gradient_boosting", "logistic_regression", "random_forest"):
        spec = job.write_spec(
            **SKLEARN,
            estimator=estimator,
            features=features,
            method="predict",
            hyperparameters=SMALL.get(estimator, {}),
        )
        job.train()
        with pq.ParquetFile(job.folders["train"] / "a.parquet") as file:
            found = file.read([feature.name for feature in features])
        model = load_model(model_spec_of(spec), job.paths.model / "model.joblib")
        names = tuple(feature.name for feature in features)
        arrays = tuple(column.combine_chunks() for column in found.columns)
        batch = FeatureBatch(names, arrays, frozenset({"flag", "delay"}))
        matrix = pd.DataFrame(batch.matrix(np.float64), columns=list(names))
        trained = joblib.load(job.paths.model / "model.joblib")
        np.testing.assert_array_equal(model.predict(batch), trained.predict(matrix))


def test_the_same_spec_gives_the_same_predictions(tmp_path: Path) -> None:
    models = []
    for name, cores in (("one", "1"), ("two", "2")):
        job = TrainingFolder(tmp_path / name)
        frame = numbers_frame(600, 6)
        job.add_object("a.parquet", frame)
        job.write_spec(
            **SKLEARN,
            estimator="random_forest",
            label="two",
            features=doubles(),
            seed=9,
            hyperparameters={"n_estimators": "10"},
        )
        job.train("--cores", cores)
        models.append(joblib.load(job.paths.model / "model.joblib").predict_proba(frame[["a", "b", "c"]]))
    np.testing.assert_array_equal(*models)
