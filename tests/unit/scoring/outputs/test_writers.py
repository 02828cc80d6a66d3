"""The writer is chosen by rules, and the ledger records the choice and its reason."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoring.splice import SplicedWriter, SpliceError
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

TABLE = pa.Table.from_pandas(make_flights(500, 1))


def halves(matrix: Any) -> Any:
    return matrix[:, 0] / 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "parquet, input copied"),
        ({"row_number_column": "row"}, "parquet, input copied"),
        (
            {"columns": "keys", "key_columns": ("flight_id",)},
            "parquet, encoded: the record keeps only the key columns",
        ),
        ({"output_format": "csv"}, "csv"),
        ({"output_format": "jsonl"}, "jsonl"),
    ],
)
def test_commit_names_the_writer_and_its_reason(job: JobFolder, fields: dict[str, Any], expected: str) -> None:
    job.add_object("a.parquet", TABLE)
    (done,) = score_in_process(job, {model_spec(**fields): FunctionModel(halves)}, batch_rows=64)
    assert done.failures == ()
    assert job.commit("code", "a.parquet").writer == expected


def test_text_input_is_encoded_as_parquet(job: JobFolder) -> None:
    job.add_object("a.csv", b"flight_id,x\n1,2\n")
    score_in_process(job, {model_spec(): FunctionModel(halves)})
    assert job.commit("code", "a.csv").writer == "parquet, encoded: the input is not Parquet"
    assert job.output("code", "a.csv.parquet").to_pydict() == {"flight_id": [1.0], "x": ["2"], "prediction": [0.5]}


def test_copied_and_encoded_outputs_are_equal(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a copy fails its check at the end, the object is re-encoded and does not fail."""
    spec, code = model_spec(row_number_column="row"), FunctionModel(halves)
    job.add_object("a.parquet", TABLE, row_group_size=90)
    score_in_process(job, {spec: code}, batch_rows=64)
    copied = job.output("code", "a.parquet")

    def fail(_: Any) -> None:
        raise SpliceError("it does not read as expected")

    monkeypatch.setattr(SplicedWriter, "close", fail)
    (done,) = score_in_process(job, {spec: code}, batch_rows=64)

    assert done.failures == ()
    commit = job.commit("code", "a.parquet")
    assert commit.writer == "parquet, encoded: copying failed (it does not read as expected)"
    assert job.output("code", "a.parquet").equals(copied, check_metadata=True)
    assert copied["row"].to_pylist() == list(range(500))
    np.testing.assert_array_equal(copied["prediction"], np.array(TABLE["flight_id"]) / 2)


def test_threads_change_no_byte_and_a_failed_model_leaves_no_file(job: JobFolder) -> None:
    """With several threads the input is copied during scoring, also for a failing model."""

    def fails_late(matrix: Any) -> Any:
        if matrix[-1, 0] > 400:
            raise ValueError("too far")
        return matrix[:, 0]

    good, bad = model_spec(model_id="good"), model_spec(model_id="bad")
    job.add_object("a.parquet", TABLE, row_group_size=90)
    written = []
    for threads in (1, 2, 3):
        (done,) = score_in_process(
            job, {bad: FunctionModel(fails_late), good: FunctionModel(halves)}, batch_rows=30, threads=threads
        )
        assert [failure.model_id for failure in done.failures] == ["bad"]
        files = [
            path for path in job.paths.root.rglob("*") if path.is_file() and "good" in path.name + str(path.parent)
        ]
        written.append({path.name: path.read_bytes() for path in files})
        assert not [path for path in (job.paths.root / "scratch").rglob("*") if path.is_file()]
    assert written[0] == written[1] == written[2]
    assert list(written[0]) == ["a.parquet"]
    assert job.committed() == {("good", "a.parquet")}
