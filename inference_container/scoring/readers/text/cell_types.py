"""Converts columns of text to declared types, and finds the cells that do not fit."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scoring.columns.arrow_types import arrow_type
from scoring.readers.text.times_and_lists import cast_times_or_lists, is_time_or_list

NULL_TEXT = pa.nulls(1, pa.string())[0]
BLANKS = " \t"
"""Characters that are allowed around a number in a cell."""
_PLAIN_WHOLE = r"^(?:\+?([0-9]+)|(-[0-9]+))(?:\.0*)?$"
"""Matches a whole number such as `+5` or `1.0`; both groups together are its digits."""
_NOT_PLAIN = r"[.eE]|^-0"
"""Matches what may be a whole number in another form, such as `1e3`."""
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_WITH_COMMA = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{3}){0,9},[0-9]{1,30}")
_WITH_POINT = re.compile(r"[+-]?[0-9]{1,30}\.[0-9]{1,30}")
_MOST_DECIMAL_CHARACTERS = 1_000
_INTEGER_DIGITS = 20
"""Most digits of an integer of 64 bits."""


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


@dataclass(frozen=True)
class CellRules:
    """How cells are written: the words for booleans, in lower case, and the decimal mark."""

    true: frozenset[str] = frozenset({"true", "1"})
    false: frozenset[str] = frozenset({"false", "0"})
    decimal: str = "."


def cast_cells(column: pa.Array, declared: str, rules: CellRules | None = None) -> tuple[pa.Array, list[int]]:
    """Convert a column of text to the declared type.

    Returns the column and the indexes of invalid cells, which become null.

    All cells that Arrow's CSV parser accepts are valid, with the same value, so that the result
    does not depend on the code path.
    """
    rules = rules or CellRules()
    if declared == "string":
        return column, []
    trimmed = pc.ascii_trim(column, characters=BLANKS)
    if declared == "bool":
        return _to_bool(trimmed, rules)
    if is_time_or_list(declared):
        return cast_times_or_lists(trimmed, declared, _bad_cells)
    if rules.decimal != ".":
        # A point would be a thousands separator, so a cell with one is no number.
        pointed = pc.replace_substring(trimmed, rules.decimal, ".")
        trimmed = pc.if_else(pc.match_substring(trimmed, "."), text_array([rules.decimal])[0], pointed)
    kind = arrow_type(declared)
    try:
        return _in_range(trimmed, trimmed.cast(kind), [])
    except pa.ArrowInvalid:
        if pa.types.is_integer(kind):
            trimmed = _whole_numbers(trimmed)
        bad = _bad_cells(trimmed, lambda part: part.cast(kind))
    trimmed = _without(trimmed, bad)
    return _in_range(trimmed, trimmed.cast(kind), bad)


def decimal_hint(cell: str, declared: str, rules: CellRules) -> str:
    """Return which option to set if a cell is a number with the other decimal mark, else an empty text.

    >>> decimal_hint("1.234,5", "double", CellRules())
    ' (if a comma is the decimal mark, set input.csv_decimal)'
    >>> decimal_hint("12.5", "double", CellRules(decimal=",")), decimal_hint("x", "double", CellRules())
    (' (if a point is the decimal mark, leave input.csv_decimal out)', '')
    """
    if declared not in ("float", "double"):
        return ""
    if rules.decimal == "." and _WITH_COMMA.fullmatch(cell.strip(BLANKS)):
        return " (if a comma is the decimal mark, set input.csv_decimal)"
    if rules.decimal == "," and _WITH_POINT.fullmatch(cell.strip(BLANKS)):
        return " (if a point is the decimal mark, leave input.csv_decimal out)"
    return ""


def may_be_out_of_range(numbers: pa.Array, *, may_have_hex: bool = True) -> bool:
    """Return whether Arrow may have made these numbers of cells that their type cannot hold.

    It reads `1e400` as an infinity, and `0xFF` as -1 of 8 bits.
    """
    if pa.types.is_floating(numbers.type):
        return bool(pc.any(pc.is_inf(numbers)).as_py())
    return may_have_hex and pa.types.is_signed_integer(numbers.type) and (pc.min(numbers).as_py() or 0) < 0


def _in_range(cells: pa.Array, numbers: pa.Array, bad: list[int]) -> tuple[pa.Array, list[int]]:
    """Return numbers and the indexes of invalid cells, with those that are out of the type's range."""
    if not may_be_out_of_range(numbers):
        return numbers, bad
    if pa.types.is_floating(numbers.type):
        # Infinities that are written as such have no digit.
        is_wrong = pc.and_(pc.is_inf(numbers), pc.match_substring_regex(cells, "[0-9]"))
    else:
        is_wrong = pc.and_(pc.less(numbers, 0), pc.match_substring_regex(cells, "^0[xX]"))
    wrong = np.flatnonzero(pc.fill_null(is_wrong, False).to_numpy(zero_copy_only=False)).tolist()
    return _without(numbers, wrong), sorted([*bad, *wrong])


def _without(column: pa.Array, places: Sequence[int]) -> pa.Array:
    """Return the column with null at these places."""
    if not places:
        return column
    keep = np.ones(len(column), dtype=bool)
    keep[places] = False
    return pc.if_else(_booleans(keep), column, pa.nulls(1, column.type)[0])


def spellings(words: Iterable[str]) -> list[str]:
    """Return words in lower case, in upper case and capitalized.

    >>> spellings(["t", "yes"])
    ['t', 'T', 'yes', 'YES', 'Yes']
    """
    found = dict.fromkeys(form for word in words for form in (word, word.lower(), word.upper(), word.capitalize()))
    return list(found)


def _to_bool(column: pa.Array, rules: CellRules) -> tuple[pa.Array, list[int]]:
    lower = pc.utf8_lower(column)
    true, false = (pc.is_in(lower, value_set=text_array(sorted(words))) for words in (rules.true, rules.false))
    known = pc.or_(true, false)
    unknown = pc.and_(pc.invert(known), column.is_valid())
    bad = np.flatnonzero(unknown.to_numpy(zero_copy_only=False)).tolist()
    null = pa.nulls(1, pa.bool_())[0]
    return pc.if_else(known, true, null), bad


def _whole_numbers(column: pa.Array) -> pa.Array:
    """Return the column with whole numbers in all forms, such as `1.0` and `1e3`, as digits.

    Decimal text is exact, while a double has only 53 bits.
    """
    column = pc.replace_substring_regex(column, _PLAIN_WHOLE, r"\1\2")
    special = pc.match_substring_regex(column, _NOT_PLAIN)
    if not pc.any(special).as_py():
        return column
    digits = [_whole_number(text) for text in column.filter(special).to_pylist()]
    return pc.replace_with_mask(column, special, text_array(digits))


def _whole_number(text: str) -> str:
    """Return a whole number's digits; other text unchanged.

    >>> [_whole_number(text) for text in ("1e3", "1.50e1", "-0.0", "1.5", "1e99")]
    ['1000', '15', '0', '1.5', '1e99']
    """
    if len(text) > _MOST_DECIMAL_CHARACTERS or not _DECIMAL.fullmatch(text):
        return text
    number = Decimal(text)
    if number and number.adjusted() > _INTEGER_DIGITS:
        return text
    whole = int(number) if number else 0
    return str(whole) if whole == number else text


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
