"""Files of other writers through every output format; every output is read by other libraries and by Fleetscore."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from tests.unit.scoring.splice.support.parquet_readers import READERS, Reader, duckdb_connection
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder
from tests.unit.scoring.support.other_writers import FLAT, NESTED

ALL = FLAT | NESTED


class _Halves(FunctionModel):
    """Predicts half of its only feature, in a column that does not collide with the input's."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda matrix: matrix[:, 0] / 2)
        self.outputs = (pa.field(name, pa.float64()),)


def score(folder: Path, key: str, content: bytes, feature: Feature, **fields: Any) -> tuple[Path, str]:
    """Score one object; return its output and how it was written."""
    job = JobFolder(folder)
    job.add_object(key, content)
    column = "half" if feature.name == "id" else "quarter"
    [done] = score_in_process(job, {model_spec(feature, **fields): _Halves(column)}, batch_rows=2)
    assert done.failures == ()
    commit = job.commit("code", key)
    [output] = commit.outputs
    return job.paths.predictions / output.key, commit.writer


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.parquet"
    ALL[request.param](path)
    return path


@pytest.fixture(scope="module")
def readers(source: Path) -> dict[Reader, Any]:
    """The libraries that can read the source, with what they read."""
    return {
        reader: reader.read(source) for reader in READERS if reader.name != "fastparquet" and reader.can_read(source)
    }


def feature_of(source: Path) -> Feature:
    return Feature("id", str(pq.read_schema(source).field("id").type))


every_file = pytest.mark.parametrize("source", ALL, indirect=True)
every_flat_file = pytest.mark.parametrize("source", FLAT, indirect=True)


@every_file
def test_copied_columns_read_as_before_in_every_library(
    source: Path, readers: dict[Reader, Any], tmp_path: Path
) -> None:
    output, writer = score(tmp_path / "ml", "a.parquet", source.read_bytes(), feature_of(source))
    assert writer == "parquet, input copied"
    for reader, before in readers.items():
        after = reader.read(output)
        names = reader.names(before)
        reader.assert_equal(reader.select(after, names), before)
        assert reader.values(after, "half") == [value / 2 for value in reader.values(before, "id")]


@every_file
def test_encoded_columns_have_the_inputs_values(source: Path, readers: dict[Reader, Any], tmp_path: Path) -> None:
    names = pq.read_schema(source).names
    # The key column is in the object's key only, so the object must be encoded again.
    fields = {"partition_columns": ("day_of_key",), "key_columns": ("day_of_key",)}
    output, writer = score(tmp_path / "ml", "day_of_key=1/a.parquet", source.read_bytes(), feature_of(source), **fields)
    assert writer.startswith("parquet, encoded")
    before, after = pq.read_table(source), pq.ParquetFile(output).read()
    assert after.select(names).schema.equals(before.schema)
    # As text, because NaN is not equal to itself.
    assert repr(after.select(names).to_pylist()) == repr(before.to_pylist())
    for reader in readers:
        assert reader.values(reader.read(output), "half") == [value / 2 for value in before["id"].to_pylist()]


@every_flat_file
def test_csv_of_every_file_is_read_by_every_library_and_by_fleetscore(source: Path, tmp_path: Path) -> None:
    output, _ = score(tmp_path / "ml", "a.parquet", source.read_bytes(), feature_of(source), output_format="csv")
    table = pq.read_table(source)
    header, *rows = csv.reader(io.StringIO(output.read_bytes().decode(), newline=""), strict=True)
    assert header == [*table.column_names, "half"]
    halves = [value / 2 for value in table["id"].to_pylist()]
    assert [float(row[-1]) for row in rows] == halves
    for frame in (pd.read_csv(output, dtype=str), pl.read_csv(output, infer_schema=False)):
        assert [float(value) for value in frame["half"]] == halves
    found = duckdb_connection().execute(
        "select half from read_csv(?, all_varchar = true, header = true, delim = ',', escape = '\"')", [str(output)]
    )
    assert [float(value) for (value,) in found.fetchall()] == halves
    again, _ = score(tmp_path / "again", "a.csv", output.read_bytes(), Feature("half", "double"), output_format="csv")
    expected = [[*row, repr(float(row[-1]) / 2).removesuffix(".0")] for row in rows]
    if rows:
        found_header, *found_rows = csv.reader(io.StringIO(again.read_bytes().decode(), newline=""), strict=True)
        assert found_header == [*header, "quarter"]
        assert found_rows == expected


@every_file
def test_json_lines_of_every_file_are_read_by_every_library_and_by_fleetscore(source: Path, tmp_path: Path) -> None:
    output, _ = score(tmp_path / "ml", "a.parquet", source.read_bytes(), feature_of(source), output_format="jsonl")
    table = pq.read_table(source)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [list(row) for row in rows] == [[*table.column_names, "half"]] * table.num_rows
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        if str(kind) in ("int64", "int32", "uint64", "string", "large_string", "bool"):
            assert [row[name] for row in rows] == table[name].to_pylist()
    if not rows:
        return
    halves = [value / 2 for value in table["id"].to_pylist()]
    for frame in (pd.read_json(output, lines=True), pl.read_ndjson(output, infer_schema_length=None)):
        assert list(frame["half"]) == halves
    found = duckdb_connection().execute("select half from read_ndjson(?)", [str(output)]).fetchall()
    assert [value for (value,) in found] == halves
    again, _ = score(
        tmp_path / "again", "a.jsonl", output.read_bytes(), Feature("half", "double"), output_format="jsonl"
    )
    for row, found_row in zip(rows, map(json.loads, again.read_text().splitlines()), strict=True):
        assert found_row == {name: _as_passed(value) for name, value in row.items()} | {
            "half": row["half"],
            "quarter": row["half"] / 2,
        }


def _as_passed(value: Any) -> Any:
    """Return a value as JSON Lines input passes it on: text and null unchanged, all else as JSON text."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
