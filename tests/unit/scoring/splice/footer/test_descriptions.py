"""Schema descriptions in a footer's key-value pairs include the new columns."""

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.splice.footer.parsed_footer import read_footer
from tests.unit.scoring.splice.support.splicing import PREDICTIONS, predictions, splice

SPARK = "org.apache.spark.sql.parquet.row.metadata"


def pairs(path: Path) -> dict[bytes, bytes | None]:
    with path.open("rb") as file:
        return {key: value for _, key, value in read_footer(file).metadata}


def spliced(tmp_path: Path, metadata: dict[str, str], **options: Any) -> Path:
    table = pa.table({"id": range(4)}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "source.parquet", **options)
    return splice(tmp_path / "source.parquet", tmp_path / "spliced.parquet", predictions(4))


def test_pandas_restores_its_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]}, index=pd.Index(["a", "b", "c"], name="who"))
    frame.to_parquet(tmp_path / "source.parquet")
    found = pd.read_parquet(splice(tmp_path / "source.parquet", tmp_path / "out.parquet", predictions(3)))
    assert list(found.columns) == ["x", "score", "label", "class"]
    pd.testing.assert_frame_equal(found[["x"]], frame)
    described = json.loads(pairs(tmp_path / "out.parquet")[b"pandas"] or b"")
    assert [column["name"] for column in described["columns"]] == ["x", "who", "score", "label", "class"]


def test_arrow_restores_types_that_parquet_lacks(tmp_path: Path) -> None:
    fields = [
        pa.field("d", pa.duration("us")),
        pa.field("c", pa.dictionary(pa.int8(), pa.large_string()), metadata={"unit": "none"}),
        pa.field("t", pa.timestamp("us", tz="Asia/Tokyo")),
    ]
    table = pa.Table.from_arrays(
        [
            pa.array([1, 2], pa.duration("us")),
            pa.array(["a", "b"]).cast(fields[1].type),
            pa.array([3, 4], fields[2].type),
        ],
        schema=pa.schema(fields, {"mine": "kept"}),
    )
    pq.write_table(table, tmp_path / "source.parquet")
    before = pq.read_schema(tmp_path / "source.parquet")
    found = pq.read_table(splice(tmp_path / "source.parquet", tmp_path / "out.parquet", predictions(2)))
    assert found.schema.remove_metadata() == pa.schema([*before, *PREDICTIONS])
    assert found.schema.field("d").type == pa.duration("us")
    assert found.field("c").metadata[b"unit"] == b"none"
    assert found.schema.metadata[b"mine"] == b"kept"


def test_both_copies_of_arrows_metadata_agree(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1, 2, 3]}).to_parquet(tmp_path / "source.parquet")
    found = pairs(splice(tmp_path / "source.parquet", tmp_path / "out.parquet", predictions(3)))
    inner = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(found[b"ARROW:schema"] or b"")))
    assert inner.metadata[b"pandas"] == found[b"pandas"]


def test_spark_finds_the_new_columns(tmp_path: Path) -> None:
    before = {
        "type": "struct",
        "fields": [{"name": "id", "type": "long", "nullable": True, "metadata": {"comment": "ä"}}],
    }
    found = json.loads(pairs(spliced(tmp_path, {SPARK: json.dumps(before)}))[SPARK.encode()] or b"")
    assert found["fields"] == [
        *before["fields"],
        {"name": "score", "type": "double", "nullable": True, "metadata": {}},
        {"name": "label", "type": "string", "nullable": True, "metadata": {}},
        {"name": "class", "type": "long", "nullable": False, "metadata": {}},
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (SPARK, "no JSON"),
        (SPARK, "[]"),
        ("pandas", "no JSON"),
        ("parquet.avro.schema", '{"type": "record"}'),
        ("iceberg.schema", "{}"),
    ],
)
def test_a_description_that_cannot_be_extended_is_removed(key: str, value: str, tmp_path: Path) -> None:
    """Without it readers use Parquet's schema; with it they would not see the predictions."""
    path = spliced(tmp_path, {key: value, "mine": "kept"})
    assert key.encode() not in pairs(path)
    assert pairs(path)[b"mine"] == b"kept"
    assert pq.read_table(path).column_names == ["id", "score", "label", "class"]


def test_no_arrow_schema_is_added(tmp_path: Path) -> None:
    path = spliced(tmp_path, {}, store_schema=False)
    assert pairs(path) == {}
    assert pq.read_table(path).column("label").type == pa.string()


def test_other_pairs_keep_their_bytes(tmp_path: Path) -> None:
    spliced(tmp_path, {"a": "", "b": "x" * 1_000, "ü": "ü"})
    raws = []
    for name in ("source.parquet", "spliced.parquet"):
        with (tmp_path / name).open("rb") as file:
            raws.append([raw for raw, key, _ in read_footer(file).metadata if key != b"ARROW:schema"])
    assert raws[0] == raws[1]
    assert len(raws[0]) == 3
