"""Converts cells with times and lists to the declared types of features.

Times are ISO 8601. A list is a JSON array of numbers, in which NaN and infinities may be the texts
that JSON Lines output has for them.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contract.dataset.columns import is_utc
from contract.dataset.feature_types import FeatureType, feature_type
from scoring.columns.arrow_types import arrow_type
from scoring.columns.feature_casts import fixed_lists
from scoring.readers.text.json_rows import NotARowError, Number, read_value

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MIDNIGHT = f"^({_DATE})[T ]00(?::?00(?::?00(?:[.]0*)?)?)?$"
_DATE_ONLY = f"^({_DATE})$"
_WITHOUT_ZONE = f"^({_DATE}[T ][0-9:.]+)$"
_ZEROS = "([.][0-9]*?)0+(Z|[+-][0-9:]+)?$"
"""Matches zeros at the end of a fraction, which may have more digits than the unit."""
_POINT = "[.](Z|[+-][0-9:]+)?$"
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

BadCells = Callable[[pa.Array, Callable[[pa.Array], object]], list[int]]
"""Finds the indexes of cells that cannot be converted."""


def is_time_or_list(declared: str) -> bool:
    return feature_type(declared).kind != "scalar"


def parsed_type(declared: str) -> pa.DataType:
    """Return the type in which Arrow's parsers read a column before `cast_times_or_lists`."""
    return pa.string() if is_time_or_list(declared) else arrow_type(declared)


def cast_times_or_lists(column: pa.Array, declared: str, bad_cells: BadCells) -> tuple[pa.Array, list[int]]:
    """Convert cells without blanks around them.

    Returns the column and the indexes of invalid cells, which become null.
    """
    wanted = feature_type(declared)
    if wanted.kind == "list":
        return _to_lists(column, wanted)
    kind = arrow_type(declared)
    try:
        return column.cast(kind), []
    except pa.ArrowInvalid:
        column = _exact(column, wanted)
        bad = bad_cells(column, lambda part: part.cast(kind))
    valid = np.ones(len(column), dtype=bool)
    valid[bad] = False
    return pc.if_else(pa.array(valid), column, pa.nulls(1, pa.string())[0]).cast(kind), bad


def _exact(column: pa.Array, wanted: FeatureType) -> pa.Array:
    """Return times of the same value in the form that Arrow parses, where there is one."""
    if wanted.kind == "date":
        return pc.replace_substring_regex(column, _MIDNIGHT, r"\1")
    column = pc.replace_substring_regex(column, _ZEROS, r"\1\2")
    column = pc.replace_substring_regex(column, _POINT, r"\1")
    if is_utc(wanted.zone):
        column = pc.replace_substring_regex(column, _DATE_ONLY, r"\1T00")
        column = pc.replace_substring_regex(column, _WITHOUT_ZONE, r"\1Z")
    return column


def _to_lists(column: pa.Array, wanted: FeatureType) -> tuple[pa.Array, list[int]]:
    lists = np.full((len(column), wanted.length), np.nan)
    valid = np.zeros(len(column), dtype=bool)
    bad: list[int] = []
    for index, text in enumerate(column.to_pylist()):
        if text is None:
            continue
        if (numbers := _numbers(text)) is None or len(numbers) != wanted.length:
            bad.append(index)
            continue
        lists[index] = numbers
        valid[index] = True
    with np.errstate(over="ignore"):
        numbers_of_item = lists.astype(arrow_type(wanted.item).to_pandas_dtype())
    too_large = (np.isinf(numbers_of_item) & ~np.isinf(lists)).any(axis=1)
    bad += np.flatnonzero(too_large).tolist()
    return fixed_lists(numbers_of_item, valid & ~too_large), sorted(bad)


def _numbers(text: str) -> Sequence[float] | None:
    try:
        values = json.loads(text)
        if type(values) is list and all(type(value) in (int, float) for value in values):
            numbers = list(map(float, values))
            if not any(map(math.isinf, numbers)):
                return numbers
        values = read_value(text.encode())
    except (ValueError, OverflowError, RecursionError, NotARowError):
        return None
    if not isinstance(values, list):
        return None
    found = [_number(value) for value in values]
    return None if None in found else [value for value in found if value is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, Number):
        return float(value) if value.is_in_range else None
    return _SPECIAL.get(value) if isinstance(value, str) else None
