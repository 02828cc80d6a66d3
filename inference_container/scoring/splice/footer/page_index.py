"""The page index of a column chunk made of parts. Readers use it to skip pages."""

from collections.abc import Sequence

from contract.dataset.thrift_compact import (
    BINARY,
    I64,
    LIST,
    STRUCT,
    TRUE,
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

_PAGES, _UNENCODED_BYTES = 1, 2
_PAGE_OFFSET, _FIRST_ROW = 1, 3
_ORDER = 4
_UNORDERED = 0
_COLUMN_INDEX_LISTS = {1: TRUE, 2: BINARY, 3: BINARY, 5: I64, 6: I64, 7: I64}
"""Lists per page or level: null pages, minimums, maximums, null counts, histograms."""


def merged_offset_index(parts: Sequence[bytes], shifts: Sequence[int], first_rows: Sequence[int]) -> bytes:
    """Return the OffsetIndex of parts moved by `shifts` bytes and starting at `first_rows`."""
    structs = [read_struct(part) for part in parts]
    pages = [
        _shifted(page, shift, first_row)
        for struct, shift, first_row in zip(structs, shifts, first_rows, strict=True)
        for page in read_list(struct[_PAGES], STRUCT)
    ]
    index = {_PAGES: Value(LIST, write_list(STRUCT, pages))} | _concatenated(structs, _UNENCODED_BYTES, I64)
    return write_struct(index)


def merged_column_index(parts: Sequence[bytes]) -> bytes:
    """Return the ColumnIndex of all parts.

    An index of several parts is declared unordered, which is always valid.
    """
    if len(parts) == 1:
        return parts[0]
    structs = [read_struct(part) for part in parts]
    index = {_ORDER: i32(_UNORDERED)}
    for field, kind in _COLUMN_INDEX_LISTS.items():
        index |= _concatenated(structs, field, kind)
    return write_struct(dict(sorted(index.items())))


def _shifted(page: bytes, shift: int, first_row: int) -> bytes:
    struct = read_struct(page)
    struct[_PAGE_OFFSET] = i64(read_integer(struct[_PAGE_OFFSET]) + shift)
    struct[_FIRST_ROW] = i64(read_integer(struct[_FIRST_ROW]) + first_row)
    return write_struct(struct)


def _concatenated(structs: Sequence[Struct], field: int, kind: int) -> Struct:
    """Return the field with the lists of all structs joined; no field if one of them lacks it."""
    if not all(field in struct for struct in structs):
        return {}
    items = [item for struct in structs for item in read_list(struct[field], kind)]
    return {field: Value(LIST, write_list(kind, items))}
