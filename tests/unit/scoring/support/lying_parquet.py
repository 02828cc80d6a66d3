"""Parquet files whose footer lies about sizes, counts and places."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract.dataset.thrift_compact import (
    I64,
    LIST,
    STRUCT,
    Struct,
    Value,
    i64,
    read_list,
    read_struct,
    write_list,
    write_struct,
)

ROWS, GROUPS, GROUP_ROWS = 3, 4, 3
"""Fields of FileMetaData, and of RowGroup."""
CHUNKS, METADATA = 1, 3
VALUES, UNCOMPRESSED, COMPRESSED, DATA_PAGE = 5, 6, 7, 9
"""Fields of ColumnMetaData."""


def write_lying(
    path: Path, table: pa.Table, *, rows: int | None = None, group_rows: int | None = None, **chunk: int
) -> None:
    """Write a table, then replace values in its footer: those of every row group and column chunk."""
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = read_struct(content[start:-8])
    if rows is not None:
        footer[ROWS] = i64(rows)
    groups = [_group(raw, group_rows, chunk) for raw in read_list(footer[GROUPS], STRUCT)]
    footer[GROUPS] = Value(LIST, write_list(STRUCT, groups))
    raw = write_struct(footer)
    path.write_bytes(content[:start] + raw + len(raw).to_bytes(4, "little") + b"PAR1")


def _group(raw: bytes, rows: int | None, chunk: dict[str, int]) -> bytes:
    group = read_struct(raw)
    if rows is not None:
        group[GROUP_ROWS] = i64(rows)
    group[CHUNKS] = Value(LIST, write_list(STRUCT, [_chunk(item, chunk) for item in read_list(group[CHUNKS], STRUCT)]))
    return write_struct(group)


def _chunk(raw: bytes, values: dict[str, int]) -> bytes:
    found: Struct = read_struct(raw)
    described = read_struct(found[METADATA].raw)
    for name, value in values.items():
        described[globals()[name.upper()]] = Value(I64, i64(value).raw)
    found[METADATA] = Value(STRUCT, write_struct(described))
    return write_struct(found)
