"""What a footer's key-value pairs say about the columns, kept true when columns are added.

Readers believe these descriptions more than Parquet's own schema: Arrow restores its types from one, pandas its index
and Spark its whole schema. A description that lacks the new columns would hide them or make readers fail.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from contract.thrift_compact import BINARY
from scoring.columns import extended_metadata
from scoring.splice.footer import Footer
from scoring.splice.spans import Value, write_binary, write_struct

_ARROW = b"ARROW:schema"
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
_STALE = frozenset(
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
"""Schemas in languages that have no room for the new columns. Without them readers take Parquet's own."""


def arrow_schema_problem(footer: Footer) -> str | None:
    """Why the Arrow schema that the footer carries cannot be extended, or None when it can or there is none."""
    found = [value for _, key, value in footer.metadata if key == _ARROW]
    if not found:
        return None
    if len(found) > 1 or found[0] is None:
        return f"its footer has {len(found)} Arrow schemas, one was expected"
    try:
        schema = _arrow_schema(found[0])
        unchanged = pa.ipc.read_schema(schema.serialize()).equals(schema, check_metadata=True)
    except (pa.ArrowException, ValueError, OSError, KeyError, NotImplementedError) as error:
        return f"the Arrow schema in its footer cannot be read ({type(error).__name__})"
    if [name.encode() for name in schema.names] != list(footer.names):
        return "the Arrow schema in its footer has other columns than the file"
    return None if unchanged else "the Arrow schema in its footer cannot be written again without a change"


def extended_pairs(footer: Footer, columns: Sequence[pa.Field]) -> list[bytes]:
    """The footer's key-value pairs with the new columns in what describes columns; the others are untouched."""
    names = tuple(name.decode() for name in footer.names)
    pairs = []
    for raw, key, value in footer.metadata:
        new = _described(key, value, names, columns)
        if new == value:
            pairs.append(raw)
        elif new is not None:
            text = {1: Value(BINARY, write_binary(key)), 2: Value(BINARY, write_binary(new))}
            pairs.append(write_struct(text))
    return pairs


def _described(key: bytes, value: bytes | None, names: tuple[str, ...], columns: Sequence[pa.Field]) -> bytes | None:
    if value is None:
        return None
    if key == _ARROW:
        schema = _arrow_schema(value)
        metadata = _extended(schema.metadata or {}, tuple(schema.names), columns)
        extended = pa.schema([*schema, *columns], metadata=metadata or None)
        return base64.b64encode(extended.serialize())
    return _extended({key: value}, names, columns).get(key)


def _arrow_schema(value: bytes) -> pa.Schema:
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(value, validate=True)))
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _extended(
    metadata: Mapping[bytes, bytes], names: tuple[str, ...], columns: Sequence[pa.Field]
) -> dict[bytes, bytes]:
    extended = extended_metadata(metadata, names, tuple(columns))
    for key in _STALE & extended.keys():
        del extended[key]
    if _SPARK in extended:
        spark = _spark_schema(extended.pop(_SPARK), columns)
        extended |= {} if spark is None else {_SPARK: spark}
    return extended


def _spark_schema(value: bytes, columns: Sequence[pa.Field]) -> bytes | None:
    """Spark's own schema with the new columns, or None where it cannot name them: Spark then takes Parquet's."""
    try:
        schema: dict[str, Any] = json.loads(value)
        fields = [*schema["fields"]]
        for field in columns:
            kind = _SPARK_TYPES[str(field.type)]
            fields.append({"name": field.name, "type": kind, "nullable": field.nullable, "metadata": {}})
    except (ValueError, KeyError, TypeError):
        return None
    return json.dumps({**schema, "fields": fields}, separators=(",", ":"), ensure_ascii=False).encode()
