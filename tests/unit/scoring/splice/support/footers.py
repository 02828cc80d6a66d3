"""Parquet files with changed footers, and footers as Python values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.dataset.thrift_compact import (
    BINARY,
    LIST,
    STRUCT,
    Struct,
    Value,
    binary,
    integer,
    list_elements,
    read_list,
    read_struct,
    write_list,
    write_struct,
)
from scoring.splice.footer.parsed_footer import FileField, GroupField, read_footer


def decoded(data: bytes, kind: int = STRUCT) -> Any:
    """Decode a struct to a dict, a list to a list, text to bytes, anything else to an int."""
    if kind == STRUCT:
        return {
            field: decoded(value.raw, value.kind) if value.raw else value.kind
            for field, value in read_struct(data).items()
        }
    if kind == LIST:
        inner, spans, _ = list_elements(data)
        return [decoded(data[start:end], inner) for start, end in spans]
    return binary(data) if kind == BINARY else integer(data)


def footer_of(file: bytes) -> bytes:
    """Return the footer of a file's bytes."""
    length = int.from_bytes(file[-8:-4], "little")
    return file[-8 - length : -8]


def with_footer(path: Path, footer: bytes, magic: bytes = b"PAR1") -> Path:
    """Replace the footer of a file."""
    with path.open("rb") as file:
        start = read_footer(file).start
    data = path.read_bytes()[:start]
    path.write_bytes(data + footer + len(footer).to_bytes(4, "little") + magic)
    return path


def changed(path: Path, change: Callable[[Struct], None]) -> Path:
    """Change the FileMetaData of a file."""
    struct = read_struct(footer_of(path.read_bytes()))
    change(struct)
    return with_footer(path, write_struct(struct))


def in_first(field: int, change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    """Return a change of the first struct in a list."""

    def apply(struct: Struct) -> None:
        items = read_list(struct[field], STRUCT)
        first = read_struct(items[0])
        change(first)
        struct[field] = Value(LIST, write_list(STRUCT, [write_struct(first), *items[1:]]))

    return apply


def in_first_group(change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    return in_first(FileField.GROUPS, change)


def in_first_chunk(change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    return in_first_group(in_first(GroupField.CHUNKS, change))


def in_first_column(change: Callable[[Struct], None]) -> Callable[[Struct], None]:
    """Return a change of the first ColumnMetaData."""

    def apply(chunk: Struct) -> None:
        column = read_struct(chunk[3].raw)
        change(column)
        chunk[3] = Value(STRUCT, write_struct(column))

    return in_first_chunk(apply)
