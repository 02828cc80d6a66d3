"""`python -m scoring` on objects that other tools name, and on objects without data."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression

from contract.catalog.model_fields import Feature
from contract.dataset.detection import NO_DATA_NOTE
from tests.unit.scoring.support.job_folder import JobFolder, joblib_saver

FEATURES = [Feature("x", "double")]
TABLE = pa.table({"id": ["a", "b"], "x": [1.0, 2.0]})
EMPTY = ("e.csv", "e.csv.gz", "e.json", "e.json.gz", "e.parquet", "other", "year=2019/blank.csv")


def add_models(job: JobFolder) -> None:
    model = joblib_saver(LinearRegression().fit(np.array([[1.0], [2.0]]), [1.0, 2.0]))
    job.add_model("all", model, features=FEATURES, key_columns=("id",))
    job.add_model("keys", model, features=FEATURES, key_columns=("id",), columns="keys", output_format="csv")
    job.add_model("lines", model, features=FEATURES, output_format="jsonl", row_number_column="row")


def outputs(job: JobFolder) -> list[str]:
    return sorted(
        path.relative_to(job.paths.predictions).as_posix()
        for path in job.paths.predictions.rglob("*")
        if path.is_file()
    )


def test_objects_without_data_are_accounted_for_without_an_output(job: JobFolder) -> None:
    add_models(job)
    for key in EMPTY:
        content = b"\xef\xbb\xbf\n\n" if "blank" in key else b""
        job.add_object(key, gzip.compress(content) if key.endswith(".gz") else content)
    job.add_object("header.csv", b"id,x\n")
    job.add_object("000", TABLE)
    job.add_object("part-0.json.gz", gzip.compress(b'{"id":"a","x":1}\n{"id":"b","x":2}\n'))
    job.write_spec()

    job.score()

    for model in job.models:
        for key in EMPTY:
            commit = job.commit(model.model_id, key)
            assert (commit.rows_in, commit.rows_scored, commit.outputs) == (0, 0, ())
            assert commit.notes == (NO_DATA_NOTE,)
            assert (commit.keys is None) == (model.model_id == "lines")
        assert job.commit(model.model_id, "000").rows_scored == 2
        assert job.commit(model.model_id, "000").notes[0].endswith("were read as Parquet, which their content shows")
        assert job.commit(model.model_id, "part-0.json.gz").rows_scored == 2
        header_only = job.commit(model.model_id, "header.csv")
        assert (header_only.rows_in, header_only.notes) == (0, ())
    keys = ("000", "header.csv", "part-0.json.gz")
    assert outputs(job) == [
        *(f"model_id=all/{key}.parquet" for key in keys),
        *(f"model_id=keys/{key}" + ("" if key == "header.csv" else ".csv") for key in keys),
        *(f"model_id=lines/{key}.jsonl" for key in keys),
    ]
    # The bytes of Parquet are copied whatever the object's name.
    assert job.commit("all", "000").writer == "parquet, input copied"
    assert job.output("all", "000.parquet")["prediction"].to_pylist() == pytest.approx([1.0, 2.0])


def test_a_table_of_outputs_has_the_columns_of_its_data(job: JobFolder, tmp_path: Path) -> None:
    """An output of no columns would hide the columns of all others from readers."""
    add_models(job)
    job.add_object("a.csv", b"")
    job.add_object("b.csv", b"id,more,x\na,1,1\n")
    job.write_spec()
    job.score()
    table = pq.read_table(job.paths.predictions / "model_id=all", partitioning=None)
    assert table.column_names == ["id", "more", "x", "prediction"]
