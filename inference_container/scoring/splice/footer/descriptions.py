"""Schema descriptions among a footer's key-value pairs, extended by the new columns.

Readers trust these descriptions more than Parquet's own schema: Arrow restores its types from one,
pandas its index and Spark its whole schema. A description without the new columns would hide them
or make readers fail.
"""

import base64
import binascii
import functools
from collections.abc import Sequence

import pyarrow as pa

from contract.dataset.thrift_compact import BINARY, Value, write_binary, write_struct
from scoring.columns.column_plan import extended_metadata
from scoring.splice.footer.parsed_footer import Footer

_ARROW = b"ARROW:schema"
_cached = functools.lru_cache(maxsize=8)
"""The objects of a dataset usually have identical descriptions."""


def arrow_schema_problem(footer: Footer) -> str | None:
    """Return why the footer's Arrow schema cannot be extended, None if it can."""
    found = [value for _, key, value in footer.metadata if key == _ARROW]
    if not found:
        return None
    if len(found) > 1 or found[0] is None:
        return "its footer has an empty Arrow schema, or more than one"
    return _problem(found[0], footer.names)


@_cached
def _problem(value: bytes, expected: tuple[bytes, ...]) -> str | None:
    try:
        schema = _arrow_schema(value)
        names = [name.encode() for name in schema.names]
        unchanged = pa.ipc.read_schema(schema.serialize()).equals(schema, check_metadata=True)
    # ValueError: a name that is not UTF-8.
    except (pa.ArrowException, ValueError, OSError, KeyError, NotImplementedError) as error:
        return f"the Arrow schema in its footer cannot be read ({type(error).__name__})"
    if names != list(expected):
        return "the Arrow schema in its footer has other columns than the file"
    return None if unchanged else "the Arrow schema in its footer cannot be written again without a change"


def extended_pairs(footer: Footer, columns: Sequence[pa.Field]) -> list[bytes]:
    """Return the footer's key-value pairs, with the new columns in schema descriptions.

    A description that cannot be extended is left out.
    """
    names, columns = tuple(name.decode() for name in footer.names), tuple(columns)
    pairs = []
    for raw, key, value in footer.metadata:
        new = _extended_value(key, value, names, columns)
        if new == value:
            pairs.append(raw)
        elif new is not None:
            text = {1: Value(BINARY, write_binary(key)), 2: Value(BINARY, write_binary(new))}
            pairs.append(write_struct(text))
    return pairs


@_cached
def _extended_value(
    key: bytes, value: bytes | None, names: tuple[str, ...], columns: tuple[pa.Field, ...]
) -> bytes | None:
    if value is None:
        return None
    if key == _ARROW:
        schema = _arrow_schema(value)
        metadata = extended_metadata(schema.metadata or {}, tuple(schema.names), columns)
        extended = pa.schema([*schema, *columns], metadata=metadata or None)
        return base64.b64encode(extended.serialize())
    return extended_metadata({key: value}, names, columns).get(key)


def _arrow_schema(value: bytes) -> pa.Schema:
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(value, validate=True)))
    except binascii.Error as error:
        raise ValueError("not base64") from error
