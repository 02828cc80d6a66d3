"""INT96 timestamps beyond the nanosecond range, in every output."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.errors import DataError
from scoring.protocol import ObjectDone
from scoring.readers.parquet_object import ParquetObject
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

# INT96 has no time zone.
TIMES = [
    dt.datetime.fromisoformat("2020-02-03T04:05:06.789012"),
    dt.datetime.fromisoformat("9999-12-31T23:59:59.999999"),
    None,
    dt.datetime.fromisoformat("1600-01-01"),
]
ROWS = pa.table(
    {
        "id": pa.array(range(4), pa.int64()),
        "when": pa.array(TIMES, pa.timestamp("us")),
        "x": pa.array([1.0, 2.0, 3.0, 4.0]),
        "visits": pa.array([TIMES, [], None, TIMES[:1]], pa.list_(pa.timestamp("us"))),
        "a.b": pa.array(TIMES, pa.timestamp("us")),
    }
)
ALL = frozenset(ROWS.column_names)


def as_int96(path: Path, table: pa.Table, **options: Any) -> bytes:
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, **options)
    return path.read_bytes()


def scored(job: JobFolder, *specs: ModelSpec, batch_rows: int = 3) -> list[ObjectDone]:
    return score_in_process(job, {spec: FunctionModel(lambda x: x[:, 0]) for spec in specs}, batch_rows=batch_rows)


SPECS = {
    "copied": {},
    "encoded": {"partition_columns": ("day",), "key_columns": ("id", "day")},
    "keys": {"columns": "keys", "key_columns": ("id", "when", "a.b")},
    "csv": {"output_format": "csv", "columns": "keys", "key_columns": ("id", "when", "a.b")},
    "jsonl": {"output_format": "jsonl"},
}


@pytest.mark.parametrize("case", SPECS)
def test_every_output_has_the_same_instants(job: JobFolder, tmp_path: Path, case: str) -> None:
    job.add_object("day=1/a.parquet", as_int96(tmp_path / "a", ROWS, row_group_size=2))
    spec = model_spec(Feature("x", "double"), **SPECS[case])  # type: ignore[arg-type]
    [done] = scored(job, spec)
    assert done.failures == ()
    [written] = job.commit("code", "day=1/a.parquet").outputs
    path = job.paths.predictions / written.key
    if case == "csv":
        assert path.read_text().splitlines()[1:] == [
            "0,2020-02-03 04:05:06.789012,2020-02-03 04:05:06.789012,1",
            "1,9999-12-31 23:59:59.999999,9999-12-31 23:59:59.999999,2",
            "2,,,3",
            "3,1600-01-01 00:00:00.000000,1600-01-01 00:00:00.000000,4",
        ]
    elif case == "jsonl":
        texts = [time and time.isoformat(timespec="microseconds") for time in TIMES]
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["when"] for row in rows] == [row["a.b"] for row in rows] == texts
        assert [row["visits"] for row in rows] == [texts, [], None, texts[:1]]
    else:
        found = pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read()
        for name in ALL & set(found.column_names):
            assert found[name].to_pylist() == ROWS[name].to_pylist()


def test_the_quarantine_has_the_same_instants(job: JobFolder, tmp_path: Path) -> None:
    table = ROWS.set_column(2, "x", pa.array([1.0, None, 3.0, None]))
    job.add_object("a.parquet", as_int96(tmp_path / "a", table))
    spec = model_spec(Feature("x", "double", nullable=False), tolerated_quarantine_fraction=0.9)
    [done] = scored(job, spec)
    assert done.failures == ()
    predictions, quarantine = job.commit("code", "a.parquet").outputs
    kept = pq.read_table(job.paths.predictions / predictions.key)
    assert kept["when"].to_pylist() == [TIMES[0], None]
    bad = pq.read_table(job.paths.quarantine / quarantine.key)["raw"].to_pylist()
    assert [json.loads(raw)["when"] for raw in bad] == ["9999-12-31T23:59:59.999999", "1600-01-01T00:00:00.000000"]


def test_times_within_nanoseconds_keep_every_digit(tmp_path: Path) -> None:
    times = pa.array([1, -(2**62), 2**62], pa.int64()).view(pa.timestamp("ns"))
    as_int96(tmp_path / "a.parquet", pa.table({"when": times}))
    with ParquetObject("a.parquet", tmp_path / "a.parquet") as source:
        assert not source.choose_types(frozenset({"when"}))
        [item] = source.batches(9, frozenset({"when"}), use_threads=False)
        assert item.batch.column(0).equals(times)


def int96_file(path: Path, values: list[tuple[int, int]]) -> None:
    """Write a column of INT96 whose values are Julian days and nanoseconds of the day, and `x`."""
    days = range(10_957, 10_957 + len(values))
    table = pa.table(
        {"when": pa.array(days, pa.int32()).view(pa.date32()).cast(pa.timestamp("us")), "x": [1.0] * len(days)}
    )
    content = as_int96(path, table, compression="none", use_dictionary=False)
    for day, (julian, nanoseconds) in zip(days, values, strict=True):
        old = bytes(8) + (day + 2_440_588).to_bytes(4, "little")
        assert content.count(old) == 1
        content = content.replace(old, nanoseconds.to_bytes(8, "little") + julian.to_bytes(4, "little", signed=True))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([(2_440_588, 1_001), (5_373_484, 0)], r"and the columns \['when'\] have nanoseconds"),
        ([(5_373_484, 1_001)], r"and the columns \['when'\] have nanoseconds"),
        ([(2**31 - 1, 0)], "and some outside 290,000 years"),
    ],
)
def test_times_that_no_unit_holds_are_refused(tmp_path: Path, values: list[tuple[int, int]], problem: str) -> None:
    int96_file(tmp_path / "a.parquet", values)
    with ParquetObject("a.parquet", tmp_path / "a.parquet") as source:
        with pytest.raises(DataError, match=r"the INT96 columns \['when'\] have times outside the years .*" + problem):
            source.choose_types(frozenset({"when"}))
        assert str(source.schema.field("when").type) == "timestamp[ns]"


def test_columns_chosen_later_are_checked_with_the_earlier_ones(tmp_path: Path) -> None:
    exact = pa.array([1], pa.int64()).view(pa.timestamp("ns"))
    far = pa.array(TIMES[1:2], pa.timestamp("us"))
    as_int96(tmp_path / "a.parquet", pa.table({"far": far, "exact": exact, "near": pa.array(TIMES[:1])}))
    for first, then in (("exact", "far"), ("far", "exact")):
        with ParquetObject("a.parquet", tmp_path / "a.parquet") as source:
            source.choose_types(frozenset({first}))
            with pytest.raises(DataError, match="have nanoseconds"):
                source.choose_types(frozenset({then}))
    with ParquetObject("a.parquet", tmp_path / "a.parquet") as source:
        assert not source.choose_types(frozenset({"near"}))
        assert source.choose_types(frozenset({"far"}))
        assert not source.choose_types(frozenset({"far", "near"}))
        [item] = source.batches(9, frozenset({"far", "near"}), use_threads=False)
        assert item.batch.to_pylist() == [{"far": TIMES[1], "near": TIMES[0]}]


def test_only_models_that_decode_the_column_are_refused(job: JobFolder, tmp_path: Path) -> None:
    int96_file(tmp_path / "a.parquet", [(2**31 - 1, 0)])
    job.add_object("a.parquet", (tmp_path / "a.parquet").read_bytes())
    copied = model_spec(Feature("x", "double"), model_id="copied")
    text = model_spec(Feature("x", "double"), model_id="text", output_format="jsonl")
    [done] = scored(job, copied, text)
    assert [failure.model_id for failure in done.failures] == ["text"]
    assert job.commit("copied", "a.parquet").writer == "parquet, input copied"
