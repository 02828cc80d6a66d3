"""Converts columns of text to declared types, and finds the cells that do not fit."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scoring.columns.arrow_types import arrow_type
from scoring.readers.text.times_and_lists import cast_times_or_lists, is_time_or_list

NULL_TEXT = pa.nulls(1, pa.string())[0]
BLANKS = " \t"
"""Characters that are allowed around a number in a cell."""
TRUE = ("1", "true", "True", "TRUE")
FALSE = ("0", "false", "False", "FALSE")


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Return a column of text, without pa.array, which would import pandas."""
    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    column = pa.Array.from_buffers(pa.string(), len(encoded), buffers)
    if None not in values:
        return column
    return pc.if_else(_booleans(np.array([value is not None for value in values])), column, NULL_TEXT)


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a table's column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.nulls(0, column.type)])


def replace_with_null(column: pa.Array, null_values: pa.Array) -> pa.Array:
    """Return the column with null in place of these texts."""
    return pc.if_else(pc.is_in(column, value_set=null_values), NULL_TEXT, column) if len(null_values) else column


def cast_cells(column: pa.Array, declared: str) -> tuple[pa.Array, list[int]]:
    """Convert a column of text to the declared type.

    Returns the column and the indexes of invalid cells, which become null.

    Cells are valid exactly if Arrow's CSV parser accepts them, so that the result does not depend
    on the code path.
    """
    if declared == "string":
        return column, []
    if declared == "bool":
        return _to_bool(column)
    trimmed = pc.ascii_trim(column, characters=BLANKS)
    if is_time_or_list(declared):
        return cast_times_or_lists(trimmed, declared, _bad_cells)
    kind = arrow_type(declared)
    try:
        return trimmed.cast(kind), []
    except pa.ArrowInvalid:
        bad = _bad_cells(trimmed, lambda part: part.cast(kind))
    keep = np.ones(len(column), dtype=bool)
    keep[bad] = False
    return pc.if_else(_booleans(keep), trimmed, NULL_TEXT).cast(kind), bad


def _to_bool(column: pa.Array) -> tuple[pa.Array, list[int]]:
    true, false = (pc.is_in(column, value_set=text_array(words)) for words in (TRUE, FALSE))
    known = pc.or_(true, false)
    unknown = pc.and_(pc.invert(known), column.is_valid())
    bad = np.flatnonzero(unknown.to_numpy(zero_copy_only=False)).tolist()
    null = pa.nulls(1, pa.bool_())[0]
    return pc.if_else(known, true, null), bad


def _bad_cells(column: pa.Array, convert: Callable[[pa.Array], object]) -> list[int]:
    """Return the indexes of cells that cannot be converted; bisection is fast if they are few."""
    bad: list[int] = []
    parts = [(0, len(column))]
    while parts:
        start, stop = parts.pop()
        try:
            convert(column.slice(start, stop - start))
        except pa.ArrowInvalid:
            if stop - start == 1:
                bad.append(start)
            else:
                middle = (start + stop) // 2
                parts += [(middle, stop), (start, middle)]
    return bad


def _booleans(mask: npt.NDArray[np.bool_]) -> pa.Array:
    bits = np.packbits(mask, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(bits)])
