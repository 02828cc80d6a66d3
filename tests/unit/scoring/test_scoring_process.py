"""`python -m scoring` on trained models: its predictions, and the files that it leaves."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from contract.catalog.model_fields import Feature
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder, joblib_saver

NUMBERS = ["distance", "delay", "hour"]
NUMBER_FEATURES = [Feature("distance", "double"), Feature("delay", "double"), Feature("hour", "int32")]
MIXED_FEATURES = [*NUMBER_FEATURES, Feature("carrier", "string")]


@pytest.fixture(scope="module")
def classifier(training: pd.DataFrame) -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(training[NUMBERS], training["late"])


@pytest.fixture(scope="module")
def pipeline(training: pd.DataFrame) -> object:
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(training[[*NUMBERS, "carrier"]], training["late"])


def add_classifier(job: JobFolder, classifier: xgboost.XGBClassifier, model_id: str = "late", **fields: object) -> None:
    job.add_model(
        model_id,
        classifier.save_model,
        file="model.ubj",
        declared="xgboost-sklearn-ubj",
        features=NUMBER_FEATURES,
        **fields,
    )


def test_each_row_gets_the_models_own_prediction(
    job: JobFolder, classifier: xgboost.XGBClassifier, pipeline: object
) -> None:
    add_classifier(job, classifier, method="predict_proba")
    job.add_model("pipeline", joblib_saver(pipeline), features=MIXED_FEATURES)
    rows = {"2013/01.parquet": 2_500, "2013/02.parquet": 1, "03.parquet": 700}
    for seed, (key, count) in enumerate(rows.items()):
        job.add_object(key, make_flights(count, seed))
    job.write_spec(batch_rows=300)

    events = job.score()

    for key, count in rows.items():
        frame = pd.read_parquet(job.objects_folder / key)
        expected = classifier.predict_proba(frame[NUMBERS])
        scored = job.output("late", key).to_pandas()
        np.testing.assert_array_equal(scored[["prediction_0", "prediction_1"]].to_numpy(), expected)
        pd.testing.assert_frame_equal(scored[list(frame.columns)], frame)
        labels = job.output("pipeline", key)["prediction"]
        assert labels.type == pa.int64()
        np.testing.assert_array_equal(labels, pipeline.predict(frame[[*NUMBERS, "carrier"]]))  # type: ignore[attr-defined]
        for model_id in ("late", "pipeline"):
            commit = job.commit(model_id, key)
            output = job.output_path(model_id, key).read_bytes()
            assert (commit.rows_in, commit.rows_scored, commit.rows_quarantined) == (count, count, 0)
            assert [(o.bytes, o.sha256) for o in commit.outputs] == [(len(output), hashlib.sha256(output).hexdigest())]
            assert job.paths.predictions / commit.outputs[0].key == job.output_path(model_id, key)
    assert {e["object"]: e["rows"] for e in events if e["event"] == "object_scored"} == rows
    assert len(job.files()) == 2 * 2 * len(rows), "nothing but outputs and commits is left"


def test_workers_threads_and_batches_change_no_prediction(tmp_path: Path, training: pd.DataFrame) -> None:
    forest = RandomForestRegressor(6, max_depth=6, random_state=0, n_jobs=-1)
    forest.fit(training[["distance", "hour"]].to_numpy(), training["late"])
    boosted = HistGradientBoostingClassifier(max_iter=5).fit(training[NUMBERS], training["late"])
    outputs = []
    for name, arguments, batch_rows in (
        ("one", ("--workers", "1", "--cores", "1"), 65_536),
        ("workers", ("--workers", "2", "--cores", "2"), 512),
        ("threads", ("--workers", "1", "--cores", "3"), 512),
    ):
        job = JobFolder(tmp_path / name)
        job.add_model(
            "forest", joblib_saver(forest), features=[Feature("distance", "double"), Feature("hour", "int32")]
        )
        job.add_model("boosted", joblib_saver(boosted), features=NUMBER_FEATURES, method="predict_proba")
        for seed, count in enumerate((5_000, 900, 900)):
            job.add_object(f"{seed}.parquet", make_flights(count, seed), row_group_size=1_000)
        job.write_spec(batch_rows)
        job.score(*arguments)
        outputs.append(job)

    one, workers, threads = outputs
    assert workers.files() == threads.files()
    for key in ("0.parquet", "1.parquet", "2.parquet"):
        for model_id in ("forest", "boosted"):
            assert one.output(model_id, key).equals(threads.output(model_id, key), check_metadata=True)
        frame = pd.read_parquet(one.objects_folder / key)
        forest.n_jobs = 1
        expected = forest.predict(frame[["distance", "hour"]].to_numpy())
        np.testing.assert_array_equal(one.output("forest", key)["prediction"], expected)


def test_columns_keep_types_values_and_metadata(job: JobFolder, classifier: xgboost.XGBClassifier) -> None:
    frame = make_flights(5, 1)
    nested = pa.array([[{"a": 1, "b": "x"}], None, [], [{"a": None, "b": None}], [{"a": 2, "b": "y"}]])
    table = pa.Table.from_pandas(frame)
    extra = {
        "nested": nested,
        "money": pa.array(["1.10", None, "2.20", "3.30", "4.40"]).cast(pa.decimal128(12, 2)),
        "when": pa.array([1, 2, None, 4, 5], pa.timestamp("ns", "America/New_York")),
        "kind": pa.array(["a", "b", "a", None, "b"]).dictionary_encode(),
        "raw": pa.array([b"\x00", None, b"", b"\xff", b"1"]),
        "day": pa.array([1, 2, 3, None, 5], pa.date32()),
        "small": pa.array([1, 2, 3, 4, None], pa.uint8()),
        "dotted.name": pa.array([1.5, None, 2.5, float("nan"), -0.0], pa.float32()),
    }
    for name, column in extra.items():
        table = table.append_column(pa.field(name, column.type, metadata={b"unit": b"none"}), column)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"owner": b"someone"})
    job.add_object("types.parquet", table)
    add_classifier(job, classifier)
    job.write_spec(batch_rows=2)

    job.score()

    scored = job.output("late", "types.parquet")
    with pq.ParquetFile(job.objects_folder / "types.parquet") as file:
        source = file.read()
    kept = scored.select(source.column_names)
    assert kept.schema.types == source.schema.types
    # As text, because NaN != NaN and -0.0 == 0.0.
    assert repr(kept.to_pylist()) == repr(source.to_pylist())
    assert scored.schema.metadata[b"owner"] == b"someone"
    for name in extra:
        assert scored.schema.field(name).metadata[b"unit"] == b"none"
    described = json.loads(scored.schema.metadata[b"pandas"])
    assert [c["name"] for c in described["columns"]] == [*frame.columns, "prediction"]
    assert scored.to_pandas()["prediction"].tolist() == classifier.predict(frame[NUMBERS]).tolist()


def test_record_can_ask_for_key_columns_only(job: JobFolder, classifier: xgboost.XGBClassifier) -> None:
    add_classifier(job, classifier, columns="keys", key_columns=("flight_id",), output_columns=("is_late",))
    frame = make_flights(50, 3).set_index("carrier")
    job.add_object("a.parquet", frame)
    job.write_spec()

    job.score()

    scored = job.output("late", "a.parquet").to_pandas()
    assert list(scored.columns) == ["flight_id", "is_late"]
    assert scored["flight_id"].tolist() == frame["flight_id"].tolist()


def test_object_without_rows_gives_an_output_and_a_commit(
    job: JobFolder, classifier: xgboost.XGBClassifier, pipeline: object
) -> None:
    add_classifier(job, classifier)
    job.add_model("pipeline", joblib_saver(pipeline), features=MIXED_FEATURES, method="predict_proba")
    job.add_object("none.parquet", make_flights(3, 3).head(0))
    job.add_object("some.parquet", make_flights(3, 3))
    job.write_spec()

    job.score()

    for model_id in ("late", "pipeline"):
        none, some = job.output(model_id, "none.parquet"), job.output(model_id, "some.parquet")
        assert none.num_rows == 0
        assert none.schema.equals(some.schema)
        assert job.commit(model_id, "none.parquet").rows_in == 0


def test_instance_without_objects_succeeds(job: JobFolder, classifier: xgboost.XGBClassifier) -> None:
    add_classifier(job, classifier)
    path = job.add_object("elsewhere.parquet", make_flights(3, 3))
    job.write_spec()
    path.unlink()

    assert job.score() == [
        {"event": "shard_ended", "objects": 0, "failed": 0, "rows": 0, "seconds": pytest.approx(0, abs=60)}
    ]
    assert job.files() == {}


def test_memory_is_bounded_by_batches_not_by_objects(job: JobFolder, classifier: xgboost.XGBClassifier) -> None:
    """1.2 million rows of 30 columns are 280 MB; the peak stays far below libraries + object."""
    random = np.random.default_rng(0)
    group = pa.Table.from_pandas(make_flights(60_000, 1), preserve_index=False)
    for index in range(24):
        group = group.append_column(f"filler_{index}", pa.array(random.random(60_000)))
    path = job.objects_folder / "big.parquet"
    with pq.ParquetWriter(path, group.schema, compression="none", use_dictionary=False) as writer:
        for _ in range(20):
            writer.write_table(group)
    content_bytes = path.stat().st_size
    assert content_bytes > 275_000_000
    job.add_object("small.parquet", group.slice(0, 10))
    job.objects.append(type(job.objects[0])("big.parquet", content_bytes, "etag"))
    add_classifier(job, classifier)
    job.write_spec(batch_rows=16_384)
    measure = (
        "import resource, subprocess, sys; code = subprocess.call([sys.executable, '-m', 'scoring', '--cores', '2']);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", measure], env=job.environment(), capture_output=True, text=True, check=True, timeout=300
    )

    peak_megabytes = int(ended.stdout.splitlines()[-1]) / 1024
    assert job.commit("late", "big.parquet").rows_scored == 1_200_000
    assert peak_megabytes < 300
