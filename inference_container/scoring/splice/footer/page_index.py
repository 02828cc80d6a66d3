"""The page index of a column chunk that is put together from pieces: readers leave out pages by it."""

from collections.abc import Sequence

from contract.dataset.thrift_compact import BINARY, I64, LIST, STRUCT, TRUE
from scoring.splice.spans import (
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
_LISTS_OF_COLUMN_INDEX = {1: TRUE, 2: BINARY, 3: BINARY, 5: I64, 6: I64, 7: I64}
"""Whether pages have only nulls, their limits, their nulls, and their histograms of levels."""


def merged_offset_index(pieces: Sequence[bytes], shifts: Sequence[int], first_rows: Sequence[int]) -> bytes:
    """The OffsetIndex of pieces whose pages moved by `shifts` bytes and whose first rows are `first_rows`."""
    structs = [read_struct(piece) for piece in pieces]
    pages = [
        _moved(page, shift, first_row)
        for struct, shift, first_row in zip(structs, shifts, first_rows, strict=True)
        for page in read_list(struct[_PAGES], STRUCT)
    ]
    index = {_PAGES: Value(LIST, write_list(STRUCT, pages))} | _joined(structs, _UNENCODED_BYTES, I64)
    return write_struct(index)


def merged_column_index(pieces: Sequence[bytes]) -> bytes:
    """The ColumnIndex of pieces; more than one are not said to be in an order, which is always true."""
    if len(pieces) == 1:
        return pieces[0]
    structs = [read_struct(piece) for piece in pieces]
    index = {_ORDER: i32(_UNORDERED)}
    for field, kind in _LISTS_OF_COLUMN_INDEX.items():
        index |= _joined(structs, field, kind)
    return write_struct(dict(sorted(index.items())))


def _moved(page: bytes, shift: int, first_row: int) -> bytes:
    struct = read_struct(page)
    struct[_PAGE_OFFSET] = i64(read_integer(struct[_PAGE_OFFSET]) + shift)
    struct[_FIRST_ROW] = i64(read_integer(struct[_FIRST_ROW]) + first_row)
    return write_struct(struct)


def _joined(structs: Sequence[Struct], field: int, kind: int) -> Struct:
    """A list that goes on from piece to piece, or nothing where one of them lacks it."""
    if not all(field in struct for struct in structs):
        return {}
    items = [item for struct in structs for item in read_list(struct[field], kind)]
    return {field: Value(LIST, write_list(kind, items))}
