import json

import pyarrow as pa
import pytest

from scoring.columns.foreign_schemas import update_foreign_schemas

SPARK = b"org.apache.spark.sql.parquet.row.metadata"
PREDICTION = pa.field("prediction", pa.float64())


def spark(*names: str) -> bytes:
    fields = [{"name": name, "type": "long", "nullable": True, "metadata": {"comment": "ä"}} for name in names]
    return json.dumps({"type": "struct", "fields": fields}).encode()


def test_spark_schema_has_kept_and_added_columns() -> None:
    found = json.loads(update_foreign_schemas({SPARK: spark("a", "b")}, ["b"], [PREDICTION])[SPARK])
    assert found["type"] == "struct"
    assert found["fields"] == [
        {"name": "b", "type": "long", "nullable": True, "metadata": {"comment": "ä"}},
        {"name": "prediction", "type": "double", "nullable": True, "metadata": {}},
    ]


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        (SPARK, b"no JSON", pa.float64()),
        (SPARK, b"[]", pa.float64()),
        (SPARK, b'{"fields": [1]}', pa.float64()),
        (SPARK, spark("a"), pa.uint64()),
        (b"parquet.avro.schema", b'{"type": "record"}', pa.float64()),
    ],
)
def test_schemas_that_cannot_be_updated_are_removed(key: bytes, value: bytes, kind: pa.DataType) -> None:
    assert update_foreign_schemas({key: value, b"mine": b"kept"}, ["a"], [pa.field("p", kind)]) == {b"mine": b"kept"}
