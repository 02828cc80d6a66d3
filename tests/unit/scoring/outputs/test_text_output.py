"""CSV and JSON Lines outputs, read back by Python's own modules."""

import csv
import datetime as dt
import io
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.problems import InvalidInputError
from scoring.errors import ConfigurationError
from scoring.outputs.text_output import CsvWriter, JsonlWriter
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

TYPES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), st.text(st.characters(codec="utf-8"), max_size=8)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Generate tables of at least two columns: with one, a null would be an empty CSV line."""
    rows = draw(st.integers(1, 5))
    columns = {}
    for index in range(draw(st.integers(2, 4))):
        kind, values = draw(st.sampled_from(TYPES))
        name = draw(st.text(st.characters(codec="utf-8"), max_size=5)) + f"_{index}"
        columns[name] = pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
    return pa.table(columns)


def written(writer: Any, table: pa.Table) -> str:
    half = table.num_rows // 2
    for part in (table.slice(0, half), table.slice(half)):
        writer.write([column.combine_chunks() for column in part.columns])
    writer.close()
    assert writer.rows == table.num_rows
    content: str = writer.path.read_bytes().decode()
    return content


@given(tables())
def test_csv_reads_back_unchanged(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    content = written(CsvWriter(path, model_spec(), table.schema), table)
    header, *rows = csv.reader(io.StringIO(content, newline=""), strict=True)
    assert header == table.column_names
    assert len(rows) == table.num_rows
    for row, expected in zip(rows, table.to_pylist(), strict=True):
        for cell, value in zip(row, expected.values(), strict=True):
            assert _same(cell, value)


def test_csv_distinguishes_nulls_from_empty_texts(tmp_path: Path) -> None:
    table = pa.table({"a": ["", None, "x"], "b": [None, "", "y"]})
    assert written(CsvWriter(tmp_path / "a", model_spec(), table.schema), table) == 'a,b\n"",\n,""\nx,y\n'


FORMULAS = ["=1+1", "+a", "-a", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", '=HYPERLINK("//x")', "-1-1", "+1,2"]
PLAIN = ["a=1", " =1", "-5.2", "+7", "-.5e-3", "-1e10", "", "'=1"]


def test_csv_keeps_formulas_by_default(tmp_path: Path) -> None:
    table = pa.table({"=a": FORMULAS + PLAIN, "b": range(19)})
    content = written(CsvWriter(tmp_path / "a", model_spec(output_format="csv"), table.schema), table)
    assert [row[0] for row in csv.reader(io.StringIO(content, newline=""))] == ["=a", *FORMULAS, *PLAIN]


def test_csv_escapes_formulas_if_the_record_says_so(tmp_path: Path) -> None:
    spec = model_spec(output_format="csv", csv_formulas="escape")
    names = pa.array(FORMULAS + PLAIN).dictionary_encode()
    numbers = pa.array([-1.5 - row for row in range(19)])
    table = pa.table({"=a": FORMULAS + PLAIN, "b": names, "c": numbers, "d": [None] * 18 + ["-"]})
    header, *rows = csv.reader(io.StringIO(written(CsvWriter(tmp_path / "a", spec, table.schema), table), newline=""))
    assert header == ["'=a", "b", "c", "d"]
    escaped = [f"'{text}" for text in FORMULAS] + PLAIN
    assert [row[0] for row in rows] == [row[1] for row in rows] == escaped
    assert [float(row[2]) for row in rows] == numbers.to_pylist()
    assert [row[3] for row in rows] == [""] * 18 + ["'-"]


def test_only_csv_output_escapes_formulas() -> None:
    with pytest.raises(
        InvalidInputError, match="csv_formulas: got 'escape', expected 'keep', because output_format is"
    ):
        model_spec(csv_formulas="escape")


def _same(cell: str, value: Any) -> bool:
    if value is None:
        return cell == ""
    if isinstance(value, bool):
        return cell == str(value).lower()
    if isinstance(value, float):
        return float(cell) == value and math.copysign(1, float(cell)) == math.copysign(1, value)
    return cell == str(value)


@given(tables())
def test_json_lines_read_back_unchanged(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    content = written(JsonlWriter(path, table.schema), table)
    rows = [json.loads(line) for line in content.split("\n")[:-1]]
    expected = [
        {name: str(value).replace("inf", "Infinity") if _is_infinite(value) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    assert rows == expected
    assert [list(row) for row in rows] == [table.column_names] * table.num_rows


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)


OTHERS = pa.table(
    {
        "float": pa.array([0.1, None], pa.float32()),
        "nan": pa.array([float("nan"), 1.0]),
        "day": pa.array([dt.date(2026, 2, 3), None]),
        "when": pa.array([dt.datetime(2026, 2, 3, 4, 5, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
        "money": pa.array([Decimal("1.10"), None], pa.decimal128(5, 2)),
        "raw": pa.array([b"\x00\xff", None]),
        "kind": pa.array(["a", None]).dictionary_encode(),
    }
)


def test_other_types_have_one_text_form_each(tmp_path: Path) -> None:
    (first, second) = map(json.loads, written(JsonlWriter(tmp_path / "a", OTHERS.schema), OTHERS).splitlines())
    assert first == {
        "float": 0.1,
        "nan": "NaN",
        "day": "2026-02-03",
        "when": "2026-02-03T04:05:00+00:00",
        "money": "1.10",
        "raw": "AP8=",
        "kind": "a",
    }
    assert second == {**dict.fromkeys(OTHERS.column_names), "nan": 1.0}
    lines = written(CsvWriter(tmp_path / "b", model_spec(), OTHERS.schema), OTHERS).splitlines()
    assert lines[1:] == ["0.1,nan,2026-02-03,2026-02-03 04:05:00.000000Z,1.10,00ff,a", ",1,,,,,"]


def test_json_lines_accept_nested_columns_and_csv_refuses_them(tmp_path: Path) -> None:
    table = pa.table({"id": [1], "tags": [["a", "b"]], "place": [{"x": float("inf"), "y": None}]})
    line = json.loads(written(JsonlWriter(tmp_path / "a", table.schema), table))
    assert line == {"id": 1, "tags": ["a", "b"], "place": {"x": "Infinity", "y": None}}
    with pytest.raises(ConfigurationError, match=r"'csv' cannot represent the columns 'tags' \(list.*'place' \(struct"):
        CsvWriter(tmp_path / "b", model_spec(), table.schema)


@pytest.mark.parametrize("output_format", ["csv", "jsonl"])
def test_output_format_follows_the_record_and_shows_in_the_key(job: JobFolder, output_format: Any) -> None:
    job.add_object("2026/a.parquet", make_flights(100, 1))
    spec = model_spec(output_format=output_format, columns="keys", key_columns=("flight_id",), row_number_column="row")

    (done,) = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix[:, 0] / 2)}, batch_rows=7)

    assert done.failures == ()
    marker = job.marker("code", "2026/a.parquet")
    assert marker.outputs[0].key.endswith(f"/2026/a.parquet.{output_format}")
    assert marker.writer == output_format
    text = (job.paths.predictions / marker.outputs[0].key).read_text()
    rows: list[dict[str, Any]]
    if output_format == "csv":
        rows = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert rows == [
        {"flight_id": 1_000_000 + row, "prediction": (1_000_000 + row) / 2, "row": row} for row in range(100)
    ]
