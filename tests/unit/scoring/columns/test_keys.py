"""Counts of duplicate and null keys, compared with Python sets."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.job.ledger import KeyReport
from scoring.columns.keys import KeyCheck
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder


def report(columns: dict[str, Any], **options: Any) -> KeyReport:
    """Check the columns in batches of three rows."""
    check = KeyCheck(tuple(columns), **options)
    batch = pa.record_batch(columns)
    for start in range(0, batch.num_rows, 3):
        check.add(batch.slice(start, 3))
    return check.report()


@given(st.lists(st.tuples(st.none() | st.integers(-3, 3), st.none() | st.sampled_from(["a", "b", ""])), max_size=30))
def test_duplicate_and_null_keys_are_counted_across_batches(rows: list[tuple[Any, Any]]) -> None:
    complete = [row for row in rows if None not in row]
    numbers = pa.array([row[0] for row in rows], pa.int64())
    texts = pa.array([row[1] for row in rows], pa.string())
    assert report({"a": numbers, "b": texts}) == KeyReport(
        len(rows), len(complete) - len(set(complete)), len(rows) - len(complete)
    )


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2, 1], pa.uint8()),
        pa.array([1.5, 2.5, 1.5]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([b"a", b"b", b"a"]),
        pa.array([1, 2, 1], pa.timestamp("ns", "UTC")),
        pa.array([2**62, 1, 2**62], pa.timestamp("s")),
        pa.array([True, False, True]),
        pa.array([[1], [2], [1]]),
        pa.array([1, 2, 1]).cast(pa.decimal128(30, 2)),
        pa.array([1, 2, 1], pa.date32()),
    ],
)
def test_key_columns_may_have_any_type(values: pa.Array) -> None:
    assert report({"a": values}) == KeyReport(3, 1, 0)
    assert report({"a": values.slice(1)}) == KeyReport(2, 0, 0)


NUMBERS = [-2.0, -1.0, 0.0, 1.0, 2.0, 0.5, 2.0**61, float("inf"), float("-inf")]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(NUMBERS),
        pa.array([-2.0, -1.0, 0.0, 0.25], pa.float32()),
        pa.array([-2, -1, 0, 2**61 - 1, 2**61]).cast(pa.decimal128(30, 2)),
        pa.array([[-1], [-2], [0]]),
    ],
)
def test_different_numbers_are_not_reported_as_duplicates(values: pa.Array) -> None:
    assert report({"a": values}) == KeyReport(len(values), 0, 0)
    assert report({"a": values, "b": pa.nulls(len(values), pa.int8()).fill_null(1)}) == KeyReport(len(values), 0, 0)


def test_zeros_and_nans_are_equal_keys() -> None:
    assert report({"a": pa.array([0.0, -0.0, 1.0, None])}) == KeyReport(4, 1, 1)
    assert report({"a": pa.array([float("nan"), 1.0, float("nan")])}) == KeyReport(3, 1, 0)


def test_rows_beyond_the_memory_limit_are_not_checked() -> None:
    assert report({"a": pa.array([1, 1, 1, 1, 1, 1])}, max_rows=4) == KeyReport(4, 3, 0)


def test_ledger_reports_duplicate_and_null_keys(job: JobFolder) -> None:
    frame = make_flights(100, 1)
    frame.loc[[10, 11], "flight_id"] = 1_000_000
    job.add_object("a.parquet", frame)
    models = {
        model_spec(model_id="keyed", key_columns=("flight_id",)): FunctionModel(lambda matrix: matrix[:, 0]),
        model_spec(model_id="other", key_columns=("flight_id", "carrier")): FunctionModel(lambda matrix: matrix[:, 0]),
        model_spec(model_id="none"): FunctionModel(lambda matrix: matrix[:, 0]),
    }

    (done,) = score_in_process(job, models, batch_rows=16)

    assert done.failures == ()
    assert job.commit("keyed", "a.parquet").keys == KeyReport(100, 2, 0)
    other = job.commit("other", "a.parquet").keys
    assert other is not None
    assert other.nulls == int(frame["carrier"].isna().sum()) > 0
    assert job.commit("none", "a.parquet").keys is None
