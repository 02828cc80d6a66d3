"""Writes the output's footer: the input's, extended by the new columns."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from contract.dataset.thrift_compact import (
    LIST,
    STRUCT,
    Struct,
    Value,
    i32,
    i64,
    read_integer,
    read_struct,
    write_list,
    write_struct,
)
from scoring.splice.footer.column_chunks import OutputChunk
from scoring.splice.footer.descriptions import extended_pairs
from scoring.splice.footer.parsed_footer import ElementField, FileField, Footer, GroupField, RowGroup, structs_of

_TYPE_DEFINED_ORDER = write_struct({1: Value(STRUCT, write_struct({}))})


@dataclass(frozen=True, eq=False)
class FooterExtension:
    """What the footers of all outputs have in common that add the same columns to an input."""

    source: Footer
    struct: Struct
    """FileMetaData, with the new columns in its schema but with the input's row groups."""

    @classmethod
    def of(cls, source: Footer, added: Footer, columns: Sequence[pa.Field]) -> "FooterExtension":
        """Extend the footer `source`.

        Args:
            added: Footer of the encoded predictions, whose schema is appended.
            columns: The prediction columns.
        """
        struct = dict(source.struct)
        struct[FileField.SCHEMA] = _extended_schema(source.schema, added.schema, len(source.names) + len(added.names))
        if source.metadata:
            struct[FileField.METADATA] = _structs(extended_pairs(source, columns))
        if FileField.COLUMN_ORDERS in struct:
            orders = structs_of(struct[FileField.COLUMN_ORDERS])
            struct[FileField.COLUMN_ORDERS] = _structs([*orders, *[_TYPE_DEFINED_ORDER] * len(added.leaves)])
        return cls(source, struct)

    def encode(self, chunks: Sequence[Sequence[tuple[OutputChunk, bytes]]]) -> bytes:
        """Return the encoded footer, with each new column chunk and its encoded ColumnChunk per row group."""
        groups = [_row_group(group, new) for group, new in zip(self.source.groups, chunks, strict=True)]
        # Replaced in place, because the order of fields is that of the input.
        return write_struct(self.struct | {FileField.GROUPS: _structs(groups)})


@functools.lru_cache(maxsize=4)
def _extended_schema(schema: tuple[bytes, ...], added: tuple[bytes, ...], columns: int) -> Value:
    root = read_struct(schema[0])
    root[ElementField.CHILDREN] = i32(columns)
    return _structs([write_struct(root), *schema[1:], *added[1:]])


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
