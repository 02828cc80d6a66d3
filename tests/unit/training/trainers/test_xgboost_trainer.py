"""`launcher train` with trainer `xgboost`: the model, its report, and its predictions in scoring."""

import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score, roc_auc_score

from contract.catalog.model_fields import Feature
from contract.codec import loads
from contract.training.training_spec import TrainingSpec
from scoring.columns.features import FeatureBatch
from scoring.models import load_model
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.training.expected_split import held_out_rows
from tests.unit.training.training_folder import NUMBERS, TrainingFolder, doubles, numbers_frame
from training.data.channel_files import find_channel
from training.data.training_data import TrainingData
from training.interruption import Interruption
from training.load_check import model_spec_of
from training.trainers.xgboost_trainer import BatchIterator


def scored(job: TrainingFolder, spec: object, frame: pd.DataFrame) -> np.ndarray:
    """Predict with the real scoring loader."""
    record = model_spec_of(spec)  # type: ignore[arg-type]
    model = load_model(record, job.paths.model / record.model_file)
    arrays = tuple(pa.array(frame[feature.name], from_pandas=True) for feature in record.features)
    return np.asarray(model.predict(FeatureBatch(tuple(f.name for f in record.features), arrays, frozenset())))


def test_a_model_is_trained_measured_and_scored_by_the_real_loader(job: TrainingFolder) -> None:
    frames = {f"2013/{month:02d}.parquet": make_flights(1_500, month) for month in (1, 2)}
    for key, frame in frames.items():
        job.add_object(key, frame, row_group_size=400)
    spec = job.write_spec(hyperparameters={"num_boost_round": "15", "max_depth": "3"}, seed=5)

    report = job.train()

    held = held_out_rows(spec, frames)
    library = xgboost.Booster(model_file=str(job.paths.model / "model.ubj"))
    expected = library.inplace_predict(held[[f.name for f in NUMBERS]].to_numpy(np.float32))
    np.testing.assert_array_equal(scored(job, spec, held), expected)
    assert library.feature_names == [feature.name for feature in NUMBERS]
    assert (report.rows_total, report.rows_held_out) == (3_000, len(held))
    assert report.rows_trained == 3_000 - len(held)
    assert 0.15 < len(held) / 3_000 < 0.25
    assert report.metrics["auc"] == pytest.approx(roc_auc_score(held["late"], expected), abs=1e-6)
    assert report.metrics["logloss"] == pytest.approx(log_loss(held["late"], expected.astype(float)), abs=1e-6)
    assert report.metrics["accuracy"] == pytest.approx(accuracy_score(held["late"], expected > 0.5))
    assert report.metrics["auc"] > 0.9, "the model must have learnt something"
    assert (report.metric, report.metric_value, report.greater_is_better) == ("auc", report.metrics["auc"], True)
    assert (report.model_id, report.version, report.best_iteration, report.resumed_from) == ("late", "v2", 14, None)
    assert (report.framework, report.framework_version) == ("xgboost", xgboost.__version__)
    assert report.output_columns == ("prediction",)
    assert report.model_bytes == len(job.model)
    assert sorted(path.name for path in job.paths.model.iterdir()) == ["fleetscore.json", "model.ubj"]


def test_the_recipes_number_is_missing_in_training_and_in_the_version(job: TrainingFolder) -> None:
    frame = numbers_frame(800, 1)
    frame["a"] = frame["a"].mask(frame["a"] > 0.5, -999.0)
    job.add_object("a.parquet", frame)
    spec = job.write_spec(
        label="two", features=doubles(), hyperparameters={"num_boost_round": "5"}, missing=-999.0, holdout_fraction=0.0
    )

    job.train()

    nulls = frame.replace(-999.0, np.nan)
    np.testing.assert_array_equal(scored(job, spec, frame), scored(job, spec, nulls))
    features = [feature.name for feature in doubles()]
    data = xgboost.QuantileDMatrix(frame[features].astype("float32"), label=frame["two"], missing=-999.0)
    settings = {"objective": "binary:logistic", "tree_method": "hist", "seed": spec.seed}
    library = xgboost.train(settings, data, 5)
    np.testing.assert_array_equal(scored(job, spec, frame), library.predict(data))


@pytest.mark.parametrize("saved_as", ["xgboost-json", "xgboost-sklearn-ubj", "xgboost-sklearn-json"])
@pytest.mark.parametrize(("task", "label", "metric"), [("binary", "two", "auc"), ("multiclass", "three", "logloss")])
def test_each_format_predicts_alike_in_library_and_scoring(
    job: TrainingFolder, saved_as: str, task: str, label: str, metric: str
) -> None:
    frame = numbers_frame(800, 1)
    job.add_object("a.parquet", frame)
    wrapper = "sklearn" in saved_as
    spec = job.write_spec(
        format=saved_as,
        model_file="m.file",
        method="predict_proba" if wrapper else "predict",
        task=task,
        label=label,
        metric=metric,
        features=doubles(),
        hyperparameters={"n_estimators": "5"},
    )

    report = job.train()

    path = job.paths.model / "m.file"
    matrix = frame[["a", "b", "c"]].to_numpy(np.float32)
    if wrapper:
        model = xgboost.XGBClassifier()
        suffix = ".json" if saved_as.endswith("json") else ".ubj"
        path.with_suffix(suffix).write_bytes(path.read_bytes())
        model.load_model(path.with_suffix(suffix))
        np.testing.assert_array_equal(scored(job, spec, frame), model.predict_proba(matrix))
        assert model.predict(matrix).tolist() == pytest.approx(model.predict_proba(matrix).argmax(axis=1).tolist())
    else:
        library = xgboost.Booster(model_file=bytearray(path.read_bytes()))
        np.testing.assert_array_equal(scored(job, spec, frame), library.inplace_predict(matrix))
    classes = 2 if task == "binary" else 3
    several = wrapper or classes == 3
    assert report.output_columns == (tuple(f"prediction_{i}" for i in range(classes)) if several else ("prediction",))


def test_a_regression_in_the_wrapper_format_is_measured(job: TrainingFolder) -> None:
    frame = numbers_frame(2_000, 2)
    job.add_object("a.parquet", frame)
    spec = job.write_spec(
        task="regression",
        label="value",
        metric="r2",
        features=doubles(),
        format="xgboost-sklearn-ubj",
        hyperparameters={"objective": "reg:absoluteerror", "eta": "0.3"},
    )

    report = job.train()

    held = held_out_rows(spec, {"a.parquet": frame})
    predicted = scored(job, spec, held)
    assert report.metric_value == pytest.approx(r2_score(held["value"], predicted), abs=1e-5)
    assert report.metrics["rmse"] == pytest.approx(mean_squared_error(held["value"], predicted) ** 0.5, abs=1e-5)
    assert report.metric_value > 0.7


def test_early_stopping_keeps_only_the_best_rounds(job: TrainingFolder) -> None:
    random = np.random.default_rng(0)
    frame = numbers_frame(400, 3)
    frame["two"] = np.where(random.random(400) < 0.3, 1 - frame["two"], frame["two"])
    job.add_object("a.parquet", frame)
    spec = job.write_spec(
        label="two",
        features=doubles(),
        metric="logloss",
        early_stopping_rounds=5,
        hyperparameters={"num_boost_round": "400", "eta": "0.5"},
    )

    report = job.train()

    booster = xgboost.Booster(model_file=str(job.paths.model / "model.ubj"))
    assert booster.num_boosted_rounds() == report.best_iteration + 1 < 50
    held = held_out_rows(spec, {"a.parquet": frame})
    data = xgboost.DMatrix(held[["a", "b", "c"]], held["two"])
    losses = [
        log_loss(held["two"], booster.predict(data, iteration_range=(0, rounds)).astype(float))
        for rounds in range(1, report.best_iteration + 2)
    ]
    assert int(np.argmin(losses)) == report.best_iteration
    assert report.metric_value == pytest.approx(losses[-1], abs=1e-6)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    models = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        job = TrainingFolder(tmp_path / name)
        job.add_object("a.parquet", numbers_frame(900, 4))
        job.write_spec(
            label="two",
            features=doubles(),
            seed=seed,
            hyperparameters={"subsample": "0.5", "colsample_bytree": "0.7", "num_boost_round": "8"},
        )
        job.train("--cores", "1")
        models.append(job.model)
    assert models[0] == models[1]
    assert models[0] != models[2]


def test_external_memory_gives_the_same_model(tmp_path: Path) -> None:
    models = []
    for external in ("false", "true"):
        job = TrainingFolder(tmp_path / external)
        job.add_object("a.parquet", numbers_frame(6_000, 5), row_group_size=1_000)
        job.write_spec(
            label="two", features=doubles(), hyperparameters={"num_boost_round": "6", "external_memory": external}
        )
        job.train("--cores", "1")
        models.append(job.model)
    assert models[0] == models[1]


def test_validation_objects_are_the_held_out_rows(job: TrainingFolder) -> None:
    job.add_object("a.parquet", numbers_frame(700, 6))
    validation = numbers_frame(300, 7)
    job.add_object("v.parquet", validation, "validation")
    spec = job.write_spec(label="two", features=doubles(), hyperparameters={"num_boost_round": "5"})

    report = job.train()

    assert (report.rows_trained, report.rows_held_out, report.rows_total) == (700, 300, 1_000)
    assert report.metrics["auc"] == pytest.approx(
        roc_auc_score(validation["two"], scored(job, spec, validation)), abs=1e-6
    )


def test_without_held_out_rows_there_are_no_metrics(job: TrainingFolder) -> None:
    job.add_object("a.parquet", numbers_frame(300, 8))
    job.write_spec(label="two", features=doubles(), holdout_fraction=0.0, hyperparameters={"num_boost_round": "3"})

    report = job.train()

    assert (report.rows_trained, report.rows_held_out, report.metrics, report.metric_value) == (300, 0, {}, None)


def test_hyperparameters_of_the_request_override_the_specs(job: TrainingFolder) -> None:
    job.add_object("a.parquet", numbers_frame(300, 9))
    job.write_spec(label="two", features=doubles(), hyperparameters={"num_boost_round": "9", "max_depth": "2"})
    job.set_hyperparameters({"num_boost_round": "4"})

    report = job.train()

    assert report.hyperparameters == {"num_boost_round": "4", "max_depth": "2"}
    assert xgboost.Booster(model_file=str(job.paths.model / "model.ubj")).num_boosted_rounds() == 4


def test_other_column_types_and_empty_objects_are_read(job: TrainingFolder) -> None:
    frame = numbers_frame(600, 10)
    table = pa.table(
        {
            "flag": pa.array(frame["a"] > 0),
            "small": pa.array((frame["b"] * 100).round(), from_pandas=True).cast(pa.int16()),
            "single": pa.array(frame["c"]).cast(pa.float32()),
            "two": pa.array(frame["two"] == 1),
            "unused": pa.array([[1]] * 600),
        }
    )
    job.add_object("a.parquet", table)
    job.add_object("none.parquet", table.slice(0, 0))
    features = (Feature("flag", "bool"), Feature("small", "int32"), Feature("single", "double"))
    job.write_spec(label="two", features=features, hyperparameters={"num_boost_round": "3"})

    assert job.train().rows_total == 600


def test_files_of_a_killed_training_are_removed_from_the_model_folder(job: TrainingFolder) -> None:
    job.add_object("a.parquet", numbers_frame(300, 9))
    (job.paths.model / "old").mkdir()
    (job.paths.model / "old" / "model.ubj").write_bytes(b"half")
    job.write_spec(label="two", features=doubles(), hyperparameters={"num_boost_round": "2"})

    job.train()

    assert sorted(path.name for path in job.paths.model.iterdir()) == ["fleetscore.json", "model.ubj"]


def test_at_most_two_batches_are_in_memory(job: TrainingFolder) -> None:
    """Only the batch that XGBoost has and the one that is being read are in memory."""
    with pq.ParquetWriter(
        job.folders["train"] / "a.parquet", pa.Table.from_pandas(numbers_frame(1, 1)).schema
    ) as writer:
        for seed in range(12):
            writer.write_table(pa.Table.from_pandas(numbers_frame(1_024, seed)))
    path = job.folders["train"] / "a.parquet"
    job.add_object("a.parquet", path.read_bytes())
    job.write_spec(label="two", features=doubles())
    spec = loads(TrainingSpec, job.paths.spec.read_bytes())
    dataset = TrainingData(
        spec,
        model_spec_of(spec),
        find_channel(job.paths.train, spec.dataset, spec.objects, "objects").objects,
        (),
        threads=1,
    )
    dataset.batch_rows = 512
    living: list[weakref.ref[object]] = []
    most = 0

    class Counted(BatchIterator):
        def next(self, input_data: object) -> bool:
            def count(**fields: object) -> None:
                nonlocal most
                living.append(weakref.ref(fields["data"]))
                most = max(most, sum(reference() is not None for reference in living))
                input_data(**fields)  # type: ignore[operator]

            return super().next(count)

    matrix = xgboost.QuantileDMatrix(Counted(dataset, Interruption(), held_out=False, cache_prefix=None), nthread=1)

    assert matrix.num_row() > 9_000
    assert len(living) >= 24 * 4, "every pass reads the data again"
    assert most <= 2
