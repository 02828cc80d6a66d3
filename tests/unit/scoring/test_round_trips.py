"""The output of one model, in every format, as the dataset of another model."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from scoring.columns.features import FeatureBatch
from tests.unit.scoring.support.in_process import model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

_NOON = dt.datetime(2026, 2, 3, 12, 0, 0, 5, dt.UTC)
ROWS = pa.table(
    {
        "id": pa.array([2**63 - 1, -(2**63), 0, 2**53 + 1, 2, 3], pa.int64()),
        "x": pa.array([0.1, -0.0, float("nan"), float("inf"), float("-inf"), None], pa.float64()),
        "f": pa.array([0.1, 1e-45, 3.4028235e38, -0.0, float("nan"), None], pa.float32()),
        "flag": pa.array([True, False, None, True, False, None]),
        "u": pa.array([2**64 - 1, 0, None, 1, 2, 3], pa.uint64()),
        "text": pa.array(["NA", 'a "b",\r\nc', "=1+1", " \\n é ", "null", None]),
        "day": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None, None, None, dt.date(2026, 2, 3)]),
        "when": pa.array([dt.datetime.fromisoformat("1600-01-01T01:02:03.000004")] * 5 + [None], pa.timestamp("us")),
        "instant": pa.array([_NOON, None] * 3, pa.timestamp("us", "UTC")),
        "nanoseconds": pa.array([1, None, -1, 2, 3, 4], pa.int64()).view(pa.timestamp("ns")),
    }
)
FEATURES = [Feature(name, str(kind)) for name, kind in zip(ROWS.column_names, ROWS.schema.types, strict=True)]


class _Rows:
    """Predicts the text of each row's features as the model gets them."""

    concurrent = True
    notes: tuple[str, ...] = ()
    native = None

    def __init__(self, output: str) -> None:
        self.outputs = (pa.field(output, pa.string()),)

    def predict(self, batch: FeatureBatch) -> Any:
        return np.array(_texts(batch.arrays), dtype=object)


def _texts(arrays: Any) -> list[str]:
    return [repr(row) for row in zip(*(array.to_pylist() for array in arrays), strict=True)]


def score(folder: Path, key: str, content: bytes, output: str, **fields: Any) -> Path:
    job = JobFolder(folder)
    job.add_object(key, content)
    spec = model_spec(*FEATURES, **fields)
    [done] = score_in_process(job, {spec: _Rows(output)}, batch_rows=4)
    assert done.failures == ()
    commit = job.commit("code", key)
    assert commit.rows_scored == ROWS.num_rows
    return job.paths.predictions / commit.outputs[0].key


@pytest.mark.parametrize("second", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("first", ["parquet", "csv", "jsonl"])
def test_a_model_gets_the_same_features_from_another_models_output(tmp_path: Path, first: str, second: str) -> None:
    pq.write_table(ROWS, tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    output = score(tmp_path / "one", "a.parquet", content, "one", output_format=first)
    again = score(tmp_path / "two", f"b.{first}", output.read_bytes(), "two", output_format=second)
    third = score(tmp_path / "three", f"c.{second}", again.read_bytes(), "three")
    # In CSV, the word nan is null for numbers.
    with_nulls = [_without_nan(column) if column.type in _FLOATS else column for column in ROWS.columns]
    found = pq.read_table(third)
    expected, without_nan = _texts(ROWS.columns), _texts(with_nulls)
    assert found["one"].to_pylist() == expected
    assert found["two"].to_pylist() == (without_nan if first == "csv" else expected)
    assert found["three"].to_pylist() == (without_nan if "csv" in (first, second) else expected)


_FLOATS = (pa.float32(), pa.float64())


def _without_nan(column: Any) -> Any:
    return pa.array([None if value != value else value for value in column.to_pylist()], column.type)  # noqa: PLR0124


@pytest.mark.parametrize(("output_format", "empty"), [("parquet", ""), ("csv", None), ("jsonl", "")])
def test_only_csv_input_takes_an_empty_text_for_null(tmp_path: Path, output_format: str, empty: str | None) -> None:
    rows = ROWS.set_column(5, "text", pa.array(["", None] * 3))
    pq.write_table(rows, tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    output = score(tmp_path / "one", "a.parquet", content, "one", output_format=output_format)
    again = score(tmp_path / "two", f"b.{output_format}", output.read_bytes(), "two")
    assert pq.read_table(again)["text"].to_pylist() == [empty, None] * 3


def test_lists_are_read_again_from_parquet_and_json_lines(tmp_path: Path) -> None:
    table = pa.table({"e": pa.array([[1.5, -0.0], [float("inf"), 0.1]], pa.list_(pa.float64(), 2))})
    for output_format in ("parquet", "jsonl"):
        job = JobFolder(tmp_path / output_format / "one")
        job.add_object("a.parquet", table)
        spec = model_spec(Feature("e", "list<double>[2]"), output_format=output_format)
        [done] = score_in_process(job, {spec: _Rows("one")})
        assert done.failures == ()
        output = job.paths.predictions / job.commit("code", "a.parquet").outputs[0].key
        again = JobFolder(tmp_path / output_format / "two")
        again.add_object(f"b.{output_format}", output.read_bytes())
        [done] = score_in_process(again, {model_spec(Feature("e", "list<double>[2]")): _Rows("two")})
        assert done.failures == ()
        found = pq.read_table(again.paths.predictions / again.commit("code", f"b.{output_format}").outputs[0].key)
        assert found["two"].to_pylist() == found["one"].to_pylist() == _texts([table["e"]])
