"""Bad rows are found, quarantined with their reason, counted, and limited to what is tolerated."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from contract.catalog.model_fields import Feature
from contract.layout import output_key
from contract.status import FailureKind
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder, cloudpickle_saver, doubles, joblib_saver

FIRST = 1_000_000
"""The first flight_id of flights with seed 1."""
BAD_ROWS = [3, 40, 41, 99]
UNKNOWN_ROWS = [7, 64]


def fails_on_some(matrix: Any) -> Any:
    """Raise if the batch has a bad row; predict NaN for unknown rows."""
    rows = matrix[:, 0] - FIRST
    if np.isin(rows, BAD_ROWS).any():
        raise ValueError("no such customer segment")
    return np.where(np.isin(rows, UNKNOWN_ROWS), np.nan, rows * 2)


def quarantine(job: JobFolder, model_id: str, key: str) -> list[dict[str, Any]]:
    path = job.paths.quarantine / output_key(model_id, key)
    with pq.ParquetFile(path) as file:
        return file.read().to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("columns", ["all", "keys"])
def test_bad_rows_are_quarantined_and_all_others_scored(job: JobFolder, columns: Any) -> None:
    frame = make_flights(100, 1)
    job.add_object("a.parquet", frame)
    spec = model_spec(
        columns=columns, key_columns=("flight_id",), tolerated_quarantine_fraction=0.1, row_number_column="row"
    )

    (done,) = score_in_process(job, {spec: FunctionModel(fails_on_some)}, batch_rows=30)

    assert (done.failures, done.rows) == ((), 100)
    bad = sorted(BAD_ROWS + UNKNOWN_ROWS)
    commit = job.commit("code", "a.parquet")
    assert (commit.rows_in, commit.rows_scored, commit.rows_quarantined) == (100, 94, 6)
    scored = job.output("code", "a.parquet").to_pandas()
    good = [row for row in range(100) if row not in bad]
    assert scored["row"].tolist() == good
    assert scored["prediction"].tolist() == [2 * row for row in good]
    kept = frame.iloc[good].reset_index(drop=True)[[*frame.columns] if columns == "all" else ["flight_id"]]
    pd.testing.assert_frame_equal(scored[list(kept.columns)], kept)
    found = quarantine(job, "code", "a.parquet")
    assert [(row["object"], row["row"], row["model"], row["model_version"]) for row in found] == [
        ("a.parquet", row, "code", "v1") for row in bad
    ]
    for row in found:
        reason = "): no such customer segment" if row["row"] in BAD_ROWS else "gave no prediction (NaN)"
        assert reason in row["reason"]
        raw = json.loads(row["raw"])
        assert raw["flight_id"] == FIRST + row["row"]
        assert set(raw) == (set(frame.columns) if columns == "all" else {"flight_id"})


def test_batches_and_threads_change_neither_bad_rows_nor_predictions(tmp_path: Path) -> None:
    tables = []
    for name, batch_rows, threads, retry_rows in (
        ("one", 1_000, 1, 0),
        ("single rows", 1, 1, 0),
        ("threads", 16, 3, 0),
        ("again", 1_000, 1, 8),
    ):
        job = JobFolder(tmp_path / name)
        job.add_object("a.parquet", make_flights(100, 1), row_group_size=20)
        spec = model_spec(tolerated_quarantine_fraction=0.06)
        (done,) = score_in_process(
            job,
            {spec: FunctionModel(fails_on_some)},
            batch_rows=batch_rows,
            threads=threads,
            retry_rows=retry_rows,
        )
        assert done.failures == ()
        tables.append((job.output("code", "a.parquet"), quarantine(job, "code", "a.parquet"), job.files()))
    for output, rows, _ in tables[1:]:
        assert output.equals(tables[0][0], check_metadata=True)
        assert rows == tables[0][1]
    assert tables[0][2] == tables[3][2], "a retry with smaller batches gives the same bytes"


def null_feature() -> tuple[Feature, pa.Array, str]:
    values = [None if row == 5 else 1.0 for row in range(10)]
    return Feature("x", "double", nullable=False), pa.array(values), "feature column 'x' is null, the record says"


def huge_number() -> tuple[Feature, pa.Array, str]:
    values = [2**60 + 1 if row == 5 else row for row in range(10)]
    return (
        Feature("x", "double"),
        pa.array(values),
        f"has a value that double cannot hold: convert the column: {2**60 + 1}",
    )


@pytest.mark.parametrize("make", [null_feature, huge_number])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.1])
def test_invalid_feature_value_is_quarantined_with_its_row(
    job: JobFolder, make: Callable[[], tuple[Feature, pa.Array, str]], fraction: float
) -> None:
    feature, column, reason = make()
    shown, _, _ = reason.partition(": convert")
    job.add_object("a.parquet", pa.table({"x": column, "y": list(range(10))}), write_statistics=False)
    spec = model_spec(feature, tolerated_quarantine_fraction=fraction)

    (done,) = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix[:, 0])})

    if fraction == 0.1:
        assert done.failures == ()
        (row,) = quarantine(job, "code", "a.parquet")
        assert row["row"] == 5
        assert reason in row["reason"]
        assert json.loads(row["raw"]) == {"x": column[5].as_py(), "y": 5}
        assert job.output("code", "a.parquet")["y"].to_pylist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
        return
    (failure,) = done.failures
    assert failure.kind is FailureKind.DATA
    if fraction:
        assert "at least 1 of 10 rows cannot be scored, more than tolerated_quarantine_fraction 0.05 allows" in (
            failure.text
        )
        assert "the first is row 5" in failure.text
        assert shown in failure.text
        assert "1152921504606846977" not in failure.text
    assert job.files() == {}


def test_without_tolerance_the_first_bad_row_fails_the_object(job: JobFolder) -> None:
    job.add_object("a.parquet", make_flights(100, 1))
    calls: list[int] = []

    def count(matrix: Any) -> Any:
        calls.append(len(matrix))
        return fails_on_some(matrix)

    (done,) = score_in_process(job, {model_spec(): FunctionModel(count)})

    (failure,) = done.failures
    assert failure.kind is FailureKind.MODEL
    assert re.sub(r"py:\d+", "py:N", failure.text) == (
        "object 'a.parquet', model 'code': row 3 cannot be scored: its predict failed for this row (ValueError at "
        "test_quarantine.py:N); at least 1 of 100 rows are bad: correct the model or its record, or set "
        "tolerated_quarantine_fraction to quarantine such rows; its text is in the job's log"
    )
    assert job.files() == {}
    assert sum(calls) <= 3 * 100, "the search costs little more than the batch itself"


def test_a_failed_row_with_a_null_names_its_feature(job: JobFolder) -> None:
    job.add_object("a.parquet", pa.table({"distance": [1.0, None]}))

    def refuse_nulls(matrix: Any) -> Any:
        if np.isnan(matrix).any():
            raise ValueError("Input X contains NaN.")
        return matrix[:, 0]

    spec = model_spec(Feature("distance", "double"))
    (done,) = score_in_process(job, {spec: FunctionModel(refuse_nulls)})

    (failure,) = done.failures
    expected = (
        "), in which 'distance' is null: set nullable: false if the model cannot take nulls; at least 1 of 2 rows"
    )
    assert f"{expected} are bad: correct" in failure.text


def test_model_that_always_fails_is_not_called_for_every_row(job: JobFolder) -> None:
    job.add_object("a.parquet", make_flights(10_000, 1))
    calls: list[int] = []

    def fail(matrix: Any) -> Any:
        calls.append(len(matrix))
        raise RuntimeError("not today")

    (done,) = score_in_process(job, {model_spec(tolerated_quarantine_fraction=0.001): FunctionModel(fail)})

    assert "at least 11 of 10,000 rows cannot be scored" in done.failures[0].text
    assert len(calls) < 100


def test_all_rows_may_be_bad_if_the_record_allows_it(job: JobFolder) -> None:
    job.add_object("a.parquet", make_flights(20, 1))
    (done,) = score_in_process(
        job, {model_spec(tolerated_quarantine_fraction=1.0): FunctionModel(lambda matrix: np.full(len(matrix), np.nan))}
    )
    assert done.failures == ()
    assert job.output("code", "a.parquet").num_rows == 0
    assert len(quarantine(job, "code", "a.parquet")) == 20


def test_bad_rows_of_one_model_do_not_affect_other_models(job: JobFolder) -> None:
    """The other model's output, written in the same pass, still copies its input."""
    job.add_object("a.parquet", make_flights(100, 1))
    models = {
        model_spec(model_id="fails", tolerated_quarantine_fraction=0.1): FunctionModel(fails_on_some),
        model_spec(model_id="strict"): FunctionModel(fails_on_some),
        model_spec(model_id="good"): FunctionModel(lambda matrix: matrix[:, 0]),
    }

    (done,) = score_in_process(job, models)

    assert [failure.model_id for failure in done.failures] == ["strict"]
    assert job.commit("fails", "a.parquet").rows_quarantined == 6
    assert job.commit("fails", "a.parquet").writer == "parquet, encoded: rows are in quarantine"
    assert job.commit("good", "a.parquet").rows_scored == 100
    assert job.commit("good", "a.parquet").writer == "parquet, input copied"
    assert "strict" not in {model_id for model_id, _ in job.committed()}


def test_error_about_a_whole_batch_fails_the_object(job: JobFolder) -> None:
    job.add_object("a.parquet", make_flights(10, 1))
    (done,) = score_in_process(
        job, {model_spec(tolerated_quarantine_fraction=1.0): FunctionModel(lambda matrix: np.ones(len(matrix) - 1))}
    )
    assert "predict gave predictions of shape 9 for 10 rows" in done.failures[0].text


def test_batch_that_does_not_fit_in_memory_is_split(job: JobFolder) -> None:
    def predict(matrix: Any) -> Any:
        if len(matrix) > 300:
            raise MemoryError
        return matrix[:, 0]

    job.add_object("a.parquet", make_flights(1_000, 1))
    (done,) = score_in_process(job, {model_spec(): FunctionModel(predict)})
    assert done.failures == ()
    assert job.output("code", "a.parquet")["prediction"].to_pylist() == [FIRST + row for row in range(1_000)]


def test_memory_error_with_few_rows_is_transient(job: JobFolder) -> None:
    def predict(matrix: Any) -> Any:
        raise MemoryError

    job.add_object("a.parquet", make_flights(1_000, 1))
    (done,) = score_in_process(job, {model_spec(tolerated_quarantine_fraction=1.0): FunctionModel(predict)})
    assert done.failures[0].kind is FailureKind.TRANSIENT
    assert "out of memory" in done.failures[0].text


def test_unreadable_text_rows_are_quarantined_with_their_text(job: JobFolder) -> None:
    text = "flight_id,note\n" + "".join(f"{FIRST + row},n{row}\n" for row in range(10))
    text = text.replace(f"{FIRST + 4},n4\n", "four,n4\n")
    job.add_object("a.csv", text.encode())
    spec = model_spec(tolerated_quarantine_fraction=0.1, row_number_column="row", key_columns=("flight_id",))

    (done,) = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix[:, 0])})

    assert done.failures == ()
    scored = job.output("code", "a.csv.parquet").to_pydict()
    assert scored["row"] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert scored["note"] == [f"n{row}" for row in scored["row"]]
    (row,) = quarantine(job, "code", "a.csv.parquet")
    assert row["row"] == 4
    assert "four" in row["raw"]
    commit = job.commit("code", "a.csv")
    assert (commit.rows_in, commit.rows_scored, commit.rows_quarantined) == (10, 9, 1)


def test_container_quarantines_infinities_that_scikit_learn_refuses(job: JobFolder, training: pd.DataFrame) -> None:
    model = LogisticRegression().fit(training[["distance", "hour"]].to_numpy(), training["late"])
    job.add_model("late", joblib_saver(model), features=doubles("distance", "hour"), tolerated_quarantine_fraction=0.1)
    frame = make_flights(50, 1)
    frame.loc[[4, 17], "distance"] = [np.inf, -np.inf]
    job.add_object("a.parquet", frame)
    job.write_spec()

    job.score()

    found = quarantine(job, "late", "a.parquet")
    assert [row["row"] for row in found] == [4, 17]
    assert "infinity" in found[0]["reason"]
    assert [json.loads(row["raw"])["distance"] for row in found] == ["Infinity", "-Infinity"]
    good = frame.drop(index=[4, 17])
    expected = model.predict(good[["distance", "hour"]].to_numpy())
    assert job.output("late", "a.parquet")["prediction"].to_pylist() == expected.tolist()
    commit = job.commit("late", "a.parquet")
    assert [output.kind for output in commit.outputs] == ["predictions", "quarantine"]


def test_rows_on_which_the_model_calls_exit_are_quarantined(job: JobFolder) -> None:
    class ExitingModel:
        def predict(self, matrix: Any) -> Any:
            if (matrix[:, 0] == 1_000_002).any():
                raise SystemExit(1)
            return matrix[:, 0]

    job.add_model(
        "exits", cloudpickle_saver(ExitingModel()), features=doubles("flight_id"), tolerated_quarantine_fraction=0.2
    )
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    job.score()

    (row,) = quarantine(job, "exits", "a.parquet")
    assert re.fullmatch(r"its predict failed for this row \(SystemExit at test_quarantine.py:\d+\): 1", row["reason"])
