"""Schemas of other systems in a Parquet file's metadata, updated for the columns of an output.

Spark prefers its own schema to Parquet's, and so do readers of Avro, Thrift and Protocol Buffers; a
schema without the predictions would hide them. A schema that cannot be updated is removed, so that
readers use Parquet's schema.
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
_REMOVED_KEYS = frozenset(
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
"""Metadata keys of schema languages that this module cannot extend."""


def update_foreign_schemas(
    metadata: Mapping[bytes, bytes], kept: Sequence[str], added: Sequence[pa.Field]
) -> dict[bytes, bytes]:
    """Return the metadata of an output with the `kept` input columns and the `added` ones."""
    extended = {key: value for key, value in metadata.items() if key not in _REMOVED_KEYS}
    if _SPARK in extended:
        schema = _spark_schema(extended.pop(_SPARK), frozenset(kept), added)
        extended |= {} if schema is None else {_SPARK: schema}
    return extended


def _spark_schema(value: bytes, kept: frozenset[str], added: Sequence[pa.Field]) -> bytes | None:
    """Return the updated Spark schema, or None if its layout is unknown or it lacks a type."""
    try:
        schema: dict[str, Any] = json.loads(value)
        fields = [field for field in schema["fields"] if field["name"] in kept]
        for field in added:
            kind = _SPARK_TYPES[str(field.type)]
            fields.append({"name": field.name, "type": kind, "nullable": field.nullable, "metadata": {}})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return json.dumps({**schema, "fields": fields}, separators=(",", ":"), ensure_ascii=False).encode()
