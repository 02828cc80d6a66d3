"""Schemas of other systems in a Parquet file's key-value pairs, kept true for an output with other columns.

Spark believes its own schema more than Parquet's, and so do readers of Avro, Thrift and Protocol Buffers: one that
lacks the predictions would hide them. What cannot be kept true goes, as readers then take Parquet's own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

_SPARK = b"org.apache.spark.sql.parquet.row.metadata"
_SPARK_TYPES = {
    "bool": "boolean",
    "int8": "byte",
    "int16": "short",
    "int32": "integer",
    "int64": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "binary": "binary",
    "date32[day]": "date",
}
_WITHOUT_ROOM = frozenset(
    {
        b"parquet.avro.schema",
        b"avro.schema",
        b"parquet.proto.class",
        b"parquet.proto.descriptor",
        b"thrift.class",
        b"thrift.descriptor",
        b"iceberg.schema",
    }
)
"""In languages that nothing can be added to from here."""


def update_foreign_schemas(
    metadata: Mapping[bytes, bytes], kept: Sequence[str], added: Sequence[pa.Field]
) -> dict[bytes, bytes]:
    """The key-value pairs of an output that has these columns of the input, and these new ones."""
    extended = {key: value for key, value in metadata.items() if key not in _WITHOUT_ROOM}
    if _SPARK in extended:
        schema = _spark_schema(extended.pop(_SPARK), frozenset(kept), added)
        extended |= {} if schema is None else {_SPARK: schema}
    return extended


def _spark_schema(value: bytes, kept: frozenset[str], added: Sequence[pa.Field]) -> bytes | None:
    """Spark's schema as it writes it, or None where it is not its own layout or has no name for a type."""
    try:
        schema: dict[str, Any] = json.loads(value)
        fields = [field for field in schema["fields"] if field["name"] in kept]
        for field in added:
            kind = _SPARK_TYPES[str(field.type)]
            fields.append({"name": field.name, "type": kind, "nullable": field.nullable, "metadata": {}})
    except (ValueError, KeyError, TypeError):
        return None
    return json.dumps({**schema, "fields": fields}, separators=(",", ":"), ensure_ascii=False).encode()
