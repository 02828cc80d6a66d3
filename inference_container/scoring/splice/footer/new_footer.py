"""Writes the output's footer: the input's, extended by the new columns."""

from collections.abc import Sequence

import pyarrow as pa

from contract.dataset.thrift_compact import (
    LIST,
    STRUCT,
    Struct,
    Value,
    i32,
    i64,
    read_integer,
    read_list,
    read_struct,
    write_list,
    write_struct,
)
from scoring.splice.footer.column_chunks import OutputChunk
from scoring.splice.footer.descriptions import extended_pairs
from scoring.splice.footer.parsed_footer import ElementField, FileField, Footer, GroupField, RowGroup

_TYPE_DEFINED_ORDER = write_struct({1: Value(STRUCT, write_struct({}))})


def new_footer(
    source: Footer, added: Footer, columns: Sequence[pa.Field], chunks: Sequence[Sequence[tuple[OutputChunk, bytes]]]
) -> bytes:
    """Return the encoded footer of `source` with the new columns.

    Args:
        added: Footer of the encoded predictions, whose schema is appended.
        columns: The prediction columns.
        chunks: Per row group, each new column chunk and its encoded ColumnChunk.
    """
    struct = dict(source.struct)
    root = read_struct(source.schema[0])
    root[ElementField.CHILDREN] = i32(len(source.names) + len(added.names))
    schema = [write_struct(root), *source.schema[1:], *added.schema[1:]]
    struct[FileField.SCHEMA] = _structs(schema)
    groups = [_row_group(group, new) for group, new in zip(source.groups, chunks, strict=True)]
    struct[FileField.GROUPS] = _structs(groups)
    if source.metadata:
        struct[FileField.METADATA] = _structs(extended_pairs(source, columns))
    if FileField.COLUMN_ORDERS in struct:
        orders = read_list(struct[FileField.COLUMN_ORDERS], STRUCT)
        struct[FileField.COLUMN_ORDERS] = _structs([*orders, *[_TYPE_DEFINED_ORDER] * len(added.leaves)])
    return write_struct(struct)


def _row_group(group: RowGroup, new: Sequence[tuple[OutputChunk, bytes]]) -> bytes:
    struct: Struct = dict(group.struct)
    struct[GroupField.CHUNKS] = _structs([*group.chunks, *(raw for _, raw in new)])
    uncompressed = sum(chunk.uncompressed for chunk, _ in new)
    struct[GroupField.BYTES] = i64(read_integer(struct[GroupField.BYTES]) + uncompressed)
    if GroupField.COMPRESSED_BYTES in struct:
        compressed = sum(chunk.size for chunk, _ in new)
        struct[GroupField.COMPRESSED_BYTES] = i64(read_integer(struct[GroupField.COMPRESSED_BYTES]) + compressed)
    return write_struct(struct)


def _structs(items: Sequence[bytes]) -> Value:
    return Value(LIST, write_list(STRUCT, items))
