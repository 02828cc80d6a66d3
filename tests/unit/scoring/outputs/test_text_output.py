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
from scoring.outputs.text_output import CsvWriter, JsonlWriter, check_csv_columns
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
        "when": "2026-02-03T04:05:00.000000Z",
        "money": "1.10",
        "raw": "AP8=",
        "kind": "a",
    }
    assert second == {**dict.fromkeys(OTHERS.column_names), "nan": 1.0}
    lines = written(CsvWriter(tmp_path / "b", model_spec(), OTHERS.schema), OTHERS).splitlines()
    assert lines[1:] == ["0.1,nan,2026-02-03,2026-02-03 04:05:00.000000Z,1.10,00ff,a", ",1,,,,,"]


_DAY = 86_400
EDGES: list[tuple[str, Any, str, str]] = [
    ("uint64", pa.array([2**64 - 1], pa.uint64()), "18446744073709551615", "18446744073709551615"),
    ("zero", pa.array([-0.0]), "-0", "-0.0"),
    ("half", pa.array([0.1], pa.float64()).cast(pa.float16()), "0.0999755859375", "0.0999755859375"),
    ("date", pa.array([2_932_897], pa.int32()).view(pa.date32()), "10000-01-01", '"10000-01-01"'),
    ("date64", pa.array([_DAY * 1000], pa.int64()).view(pa.date64()), "1970-01-02", '"1970-01-02"'),
    ("time", pa.array([1], pa.int64()).view(pa.time64("ns")), "00:00:00.000000001", '"00:00:00.000000001"'),
    (
        "timestamp",
        pa.array([253_402_300_800], pa.int64()).view(pa.timestamp("s")),
        "10000-01-01 00:00:00",
        '"10000-01-01T00:00:00"',
    ),
    (
        "zoned",
        pa.array([0], pa.int64()).view(pa.timestamp("ms", "Asia/Tokyo")),
        "1970-01-01 00:00:00.000Z",
        '"1970-01-01T00:00:00.000Z"',
    ),
    (
        "duration",
        pa.array([2**63 - 1], pa.int64()).view(pa.duration("ns")),
        "9223372036854775807",
        "9223372036854775807",
    ),
    ("bytes", pa.array([b'",'], pa.large_binary()), "222c", '"Iiw="'),
    ("no bytes", pa.array([b""]), '""', '""'),
    ("fixed bytes", pa.array([b"\n\xff"], pa.binary(2)), "0aff", '"Cv8="'),
    (
        "uuid",
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16))], pa.binary(16))),
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        '"00010203-0405-0607-0809-0a0b0c0d0e0f"',
    ),
    (
        "json",
        pa.ExtensionArray.from_storage(pa.json_(pa.utf8()), pa.array(['{"a": 1}'])),
        '"{""a"": 1}"',
        '"{\\"a\\": 1}"',
    ),
    ("view", pa.array(['"a,b"'], pa.string_view()), '"""a,b"""', '"\\"a,b\\""'),
    ("large", pa.array(["a,b"], pa.large_string()).dictionary_encode(), '"a,b"', '"a,b"'),
    ("nul", pa.array(["a\0b"]), "a\0b", '"a\\u0000b"'),
]


@pytest.mark.parametrize(("array", "in_csv", "in_json"), [edge[1:] for edge in EDGES], ids=[edge[0] for edge in EDGES])
def test_values_at_the_edge_of_their_type_keep_their_meaning(
    tmp_path: Path, array: Any, in_csv: str, in_json: str
) -> None:
    table = pa.table({"x": array, "y": [1]})
    assert written(CsvWriter(tmp_path / "a", model_spec(), table.schema), table) == f"x,y\n{in_csv},1\n"
    assert written(JsonlWriter(tmp_path / "b", table.schema), table) == f'{{"x":{in_json},"y":1}}\n'


BEYOND = [
    pa.array([2**31 - 1], pa.int32()).view(pa.date32()),
    pa.array([2**62], pa.int64()).view(pa.timestamp("ms")),
    # Arrow would write "2404-04-06 -2576980377607:12:55.807Z".
    pa.array([2**63 - 1], pa.int64()).view(pa.timestamp("ms", "UTC")),
    # Python would write 00:00:00.
    pa.array([_DAY * 1000], pa.int32()).view(pa.time32("ms")),
]


@pytest.mark.parametrize("array", BEYOND, ids=lambda array: str(array.type))
@pytest.mark.parametrize("output_format", ["csv", "jsonl"])
def test_times_that_no_text_represents_fail_the_object_by_name(job: JobFolder, array: Any, output_format: Any) -> None:
    job.add_object("a.parquet", pa.table({"flight_id": [1], "when": array}))
    text = model_spec(output_format=output_format, model_id="text")
    (done,) = score_in_process(job, {text: FunctionModel(_first), model_spec(): FunctionModel(_first)})
    [failure] = done.failures
    assert failure.model_id == "text"
    assert f"object 'a.parquet', model 'text': column 'when' has a value of type {array.type} beyond" in failure.text
    assert "set output_format to 'parquet'" in failure.text
    assert job.commit("code", "a.parquet").rows_scored == 1


@pytest.mark.parametrize("output_format", ["csv", "jsonl"])
def test_text_that_is_not_utf8_fails_the_object_by_name(job: JobFolder, output_format: Any) -> None:
    texts = pa.array([b"a", b"\xff"]).view(pa.string())
    job.add_object("a.parquet", pa.table({"flight_id": [1, 2], "plan": texts}))
    (done,) = score_in_process(job, {model_spec(output_format=output_format): FunctionModel(_first)})
    [failure] = done.failures
    assert "object 'a.parquet', model 'code': column 'plan' has text that is not UTF-8" in failure.text


def _first(matrix: Any) -> Any:
    return matrix[:, 0]


def test_json_numbers_do_not_depend_on_other_rows(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([0.1, None, math.nan, -math.inf], pa.float32())})
    lines = written(JsonlWriter(tmp_path / "a", table.schema), table).splitlines()
    assert lines == ['{"x":0.1}', '{"x":null}', '{"x":"NaN"}', '{"x":"-Infinity"}']


def test_json_lines_have_nested_values_of_every_type(tmp_path: Path) -> None:
    when = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, dt.UTC)
    rows = [
        {"s": {"t": when, "m": [(1, b"\xff"), (2, None)]}, "l": [[dt.timedelta(0, 1)], None, []]},
        {"s": None, "l": None},
        {"s": {"t": None, "m": None}, "l": []},
        {"s": {"t": when, "m": []}, "l": [[None]]},
    ]
    kinds = {
        "s": pa.struct([("t", pa.timestamp("us", "UTC")), ("m", pa.map_(pa.int32(), pa.binary()))]),
        "l": pa.list_(pa.list_(pa.duration("s"))),
    }
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()})
    text = "9999-12-31T23:59:59.999999Z"
    expected = [
        {"s": {"t": text, "m": [[1, "/w=="], [2, None]]}, "l": [[1], None, []]},
        {"s": None, "l": None},
        {"s": {"t": None, "m": None}, "l": []},
        {"s": {"t": text, "m": []}, "l": [[None]]},
    ]
    for start in range(4):
        part = table.slice(start)
        lines = written(JsonlWriter(tmp_path / "a", table.schema), part).splitlines()
        assert [json.loads(line) for line in lines] == expected[start:]


def test_lists_are_json_arrays_in_both_formats(tmp_path: Path) -> None:
    lists = pa.array([[9.0, 9.0], [0.1, float("nan")], None, [1.0, None]], pa.list_(pa.float32(), 2)).slice(1)
    table = pa.table({"e": lists, "t": [["a,b"], [], None]})
    lines = written(JsonlWriter(tmp_path / "a", table.schema), table).splitlines()
    assert lines == [
        '{"e":[0.1,"NaN"],"t":["a,b"]}',
        '{"e":null,"t":[]}',
        '{"e":[1,null],"t":null}',
    ]
    text = written(CsvWriter(tmp_path / "b", model_spec(), table.schema), table)
    assert text == 'e,t\n"[0.1,""NaN""]","[""a,b""]"\n,[]\n"[1,null]",\n'


def test_json_lines_accept_nested_columns_and_csv_refuses_them(tmp_path: Path) -> None:
    table = pa.table({"id": [1], "tags": [["a", "b"]], "place": [{"x": float("inf"), "y": None}]})
    line = json.loads(written(JsonlWriter(tmp_path / "a", table.schema), table))
    assert line == {"id": 1, "tags": ["a", "b"], "place": {"x": "Infinity", "y": None}}
    with pytest.raises(ConfigurationError, match=r"'csv' cannot represent the columns 'place' \(struct"):
        check_csv_columns(model_spec(), table.schema)


@pytest.mark.parametrize("output_format", ["csv", "jsonl"])
def test_output_format_follows_the_record_and_shows_in_the_key(job: JobFolder, output_format: Any) -> None:
    job.add_object("2026/a.parquet", make_flights(100, 1))
    spec = model_spec(output_format=output_format, columns="keys", key_columns=("flight_id",), row_number_column="row")

    (done,) = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix[:, 0] / 2)}, batch_rows=7)

    assert done.failures == ()
    commit = job.commit("code", "2026/a.parquet")
    assert commit.outputs[0].key.endswith(f"/2026/a.parquet.{output_format}")
    assert commit.writer == output_format
    text = (job.paths.predictions / commit.outputs[0].key).read_text()
    rows: list[dict[str, Any]]
    if output_format == "csv":
        rows = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert rows == [
        {"flight_id": 1_000_000 + row, "prediction": (1_000_000 + row) / 2, "row": row} for row in range(100)
    ]
