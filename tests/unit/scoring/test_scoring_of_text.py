"""`python -m scoring` on CSV and JSON Lines, compared with Parquet."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from contract.catalog.model_fields import Feature
from contract.dataset.input_options import InputOptions
from scoring.columns.features import FeatureBatch
from tests.unit.scoring.readers.reading import COMPRESSORS
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder, failure_reasons, joblib_saver

NUMBERS = ["distance", "delay", "hour"]
TYPES = {"distance": "double", "delay": "double", "hour": "int32", "carrier": "string"}
FEATURES = [Feature(name, kind) for name, kind in TYPES.items()]


@pytest.fixture(scope="module")
def pipeline(training: pd.DataFrame) -> Any:
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(), NUMBERS), ("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier"])]
    )
    return make_pipeline(columns, LogisticRegression(C=1e-3)).fit(training[list(TYPES)], training["late"])


def outputs(job: JobFolder) -> dict[str, Any]:
    """Return every output of the only model by its object's key."""
    [folder] = job.paths.predictions.iterdir()
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): pq.ParquetFile(path).read() for path in found}


def text_of(flights: pd.DataFrame, key: str) -> bytes:
    if ".jsonl" in key:
        text = flights.to_json(orient="records", lines=True, double_precision=15)
    else:
        text = flights.to_csv(index=False, sep="\t" if ".tsv" in key else ",", float_format="%.17g")
    end = key[key.rindex(".") :]
    return COMPRESSORS.get(end, COMPRESSORS[""])(text.encode())


KEYS = ["a.csv", "b.csv.gz", "c.tsv.zst", "d.jsonl", "e.jsonl.gz"]


def test_text_is_scored_like_parquet(job: JobFolder, pipeline: Any) -> None:
    job.add_model("late", joblib_saver(pipeline), features=FEATURES, key_columns=("flight_id",), method="predict_proba")
    flights = make_flights(2_000, seed=5)
    flights["distance"] = flights["distance"].round(3)
    for key in KEYS:
        job.add_object(key, text_of(flights, key))
    job.write_spec(batch_rows=300)
    job.score()
    expected = pipeline.predict_proba(flights[list(TYPES)])[:, 1]
    found = outputs(job)
    assert len(found) == len(KEYS)
    for table in found.values():
        assert table["flight_id"].to_pylist() == flights["flight_id"].astype(str).tolist()
        assert table["prediction_1"].to_pylist() == pytest.approx(expected.tolist(), rel=1e-12)
        assert str(table.schema.field("hour").type) == "int32"
    for key in KEYS:
        commit = job.commit("late", key)
        assert (commit.rows_in, commit.rows_scored, commit.rows_quarantined) == (2_000, 2_000, 0)


def test_partition_columns_are_features_and_not_written(job: JobFolder, pipeline: Any) -> None:
    job.add_model("late", joblib_saver(pipeline), features=FEATURES, partition_columns=("carrier",))
    flights = make_flights(100, seed=6)
    key = "carrier=UA/a.csv"
    job.add_object(key, text_of(flights.drop(columns="carrier"), key))
    job.write_spec()
    job.score()
    [table] = outputs(job).values()
    # The output's key contains the carrier, as the object's key does.
    assert table.column_names == ["flight_id", *NUMBERS, "late", "prediction"]
    assert table["prediction"].to_pylist() == pipeline.predict(flights.assign(carrier="UA")).tolist()


def test_partition_column_that_is_a_key_column_is_written(job: JobFolder, pipeline: Any) -> None:
    fields = {"key_columns": ("flight_id", "carrier"), "columns": "keys"}
    job.add_model("late", joblib_saver(pipeline), features=FEATURES, partition_columns=("carrier",), **fields)
    key = "carrier=UA/a.parquet"
    job.add_object(key, make_flights(100, seed=6).drop(columns="carrier"))
    job.write_spec()
    job.score()
    [table] = outputs(job).values()
    assert table.column_names == ["flight_id", "carrier", "prediction"]
    assert set(table["carrier"].to_pylist()) == {"UA"}


def test_problems_of_text_objects_are_explained(job: JobFolder, pipeline: Any) -> None:
    job.add_model("late", joblib_saver(pipeline), features=FEATURES)
    problems = {
        "bad-row.csv": (
            b"distance,delay,hour,carrier\n1,2,3,UA\n1,2,noon,UA\n",
            "has a value in column 'hour' that is not int32",
        ),
        "no-carrier.csv": (b"distance,delay,hour\n1,2,3\n", "feature column 'carrier' of type string is missing"),
        "no-header.csv": (
            b"1,2,3,UA\n",
            "its first line, which is read as the header, has none of the features carrier",
        ),
        "blank.csv": (b"distance, delay,hour,carrier\n", "'delay' of type double is missing (it has ' delay'"),
        "other-case.jsonl": (
            b'{"distance":1,"delay":2,"Hour":3,"carrier":"x"}\n',
            "'hour' of type int32 is missing (it has 'Hour': names are case-sensitive)",
        ),
        "other-names.jsonl": (b'{"a":1}\n', "feature column 'distance' of type double is missing"),
        "twice.csv": (b"distance,delay,hour,carrier,hour\n1,2,3,x,3\n", "column 'hour' appears more than once"),
        "parquet.csv": (b"PAR1PAR1", "object 'parquet.csv' is not CSV as its name says, it looks like Parquet"),
        "csv.parquet": (
            b"distance\n1\n",
            "object 'csv.parquet' is not Parquet as its name says, it looks like something else",
        ),
    }
    for key, (content, _) in problems.items():
        job.add_object(key, content)
    job.write_spec()

    ended = job.run()

    assert ended.returncode == 1
    assert job.message.startswith("DATA: 9 of 9 objects failed: ")
    reasons = failure_reasons(ended)
    assert set(reasons) == set(problems)
    for key, (_, reason) in problems.items():
        assert reason in reasons[key]
    assert not [path for path in Path(job.paths.predictions).rglob("*") if path.is_file()]


def test_models_with_conflicting_inputs_are_refused(job: JobFolder, pipeline: Any) -> None:
    job.add_model("late", joblib_saver(pipeline), features=FEATURES)
    other = [*FEATURES[:2], Feature("hour", "int64"), FEATURES[3]]
    job.add_model("other", joblib_saver(pipeline), features=other)
    job.add_object("a.csv", b"distance,delay,hour,carrier\n1,2,3,UA\n")
    job.write_spec()
    assert job.run().returncode == 1
    assert job.message.startswith("CONFIGURATION: 1 of 1 objects failed: object 'a.csv' cannot be read once for all")
    assert "column 'hour' is int32 for model 'late' and int64 for 'other'" in job.message


def test_bad_text_rows_are_quarantined_with_their_text(job: JobFolder, pipeline: Any) -> None:
    job.add_model("late", joblib_saver(pipeline), features=FEATURES, tolerated_quarantine_fraction=0.5)
    flights = make_flights(1_000, seed=8)
    lines = text_of(flights, "a.csv").splitlines(keepends=True)
    bad = {3: b"not,enough\n", 500: b"\0,".join(lines[501].rsplit(b",", 1)), 999: b'8,"open\n'}
    for row, line in bad.items():
        lines[row + 1] = line
    job.add_object("a.csv", b"".join(lines))
    job.write_spec(batch_rows=64)
    job.score()
    commit = job.commit("late", "a.csv")
    assert (commit.rows_in, commit.rows_scored, commit.rows_quarantined) == (1_000, 997, 3)
    [table] = outputs(job).values()
    good = flights.drop(index=list(bad))
    assert table["prediction"].to_pylist() == pipeline.predict(good[list(TYPES)]).tolist()
    [file] = [path for path in job.paths.quarantine.rglob("*") if path.is_file()]
    rows = pq.ParquetFile(file).read().to_pylist()
    assert [row["row"] for row in rows] == list(bad)
    assert [row["reason"] for row in rows] == [
        "has 2 cells, expected 6 as the header has",
        "holds a NUL byte in column 'carrier'",
        "has a quote that opens cell 2 and is never closed",
    ]
    assert rows[0]["raw"] == "not,enough"


class _Zeros(FunctionModel):
    """Predicts 0 for each row, whose features may be texts."""

    def predict(self, batch: FeatureBatch) -> Any:
        return np.zeros(batch.rows)


def test_a_header_that_the_record_denies_is_refused(job: JobFolder) -> None:
    """With text features only, the header would be scored as a row."""
    features = [Feature("plan", "string"), Feature("city", "string")]
    spec = model_spec(*features, model_id="late", input=InputOptions(csv_header=False))
    rows = b"a,x\nb,y\n"
    headers = {"a.csv": b"plan,city\n", "b.csv": b" Plan , City\r\n", "c.csv": b'"city","plan"\n', "good.csv": b""}
    for key, header in headers.items():
        job.add_object(key, header + rows)
    *refused, good = score_in_process(job, {spec: _Zeros(len)})
    for done in refused:
        [failure] = done.failures
        assert (
            "its first line has the names of the columns, but the record says that there is no header" in failure.text
        )
    assert (good.failures, good.rows) == ((), 2)


def test_json_lines_may_lack_nullable_features_and_begin_without_fields(job: JobFolder) -> None:
    """Spark leaves out nulls, so a field may appear first after megabytes or in no line at all."""
    features = [Feature("x", "double"), Feature("opt", "double")]
    spec = model_spec(*features, model_id="late", key_columns=("id",))
    before = "".join(f'{{"id":{row},"x":{row / 7}}}\n' for row in range(60_000))
    job.add_object("a.jsonl", (before + '{"id":60000,"x":1.0,"opt":2.0,"note":1.50,"größe":"x"}\n').encode())
    job.add_object("b.jsonl", b'{"id":1,"x":1.0}\n')
    score_in_process(job, {spec: FunctionModel(lambda matrix: np.nan_to_num(matrix, nan=10).sum(axis=1))})
    [written] = job.commit("late", "a.jsonl").outputs
    table = pq.ParquetFile(job.paths.predictions / written.key).read()
    assert table.num_rows == 60_001
    assert table["prediction"].to_pylist()[::60_000] == [10.0, 3.0]
    assert table.column_names == ["id", "x", "opt", "note", "größe", "prediction"]
    assert table["note"].to_pylist()[-2:] == [None, "1.50"]
    assert table["opt"].to_pylist()[-2:] == [None, 2.0]
    note = "column 'opt' is not in the beginning of objects; rows without it are null"
    assert job.commit("late", "b.jsonl").counts == {note: 1}
