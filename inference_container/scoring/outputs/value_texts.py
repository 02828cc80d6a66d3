"""Texts and JSON values of columns of any type, the same for every batch size."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_OUT_OF_RANGE = "<"
"""First character of what Arrow gives instead of the text of a time it cannot represent."""


class UnwritableValueError(ValueError):
    """A value has no text; the message completes "column 'x' has …"."""


def plain_array(column: Any) -> Any:
    """Return the values without dictionary and extension type, such as JSON or UUID (as text).

    Raises UnwritableValueError for text that is not UTF-8, which Parquet's readers do not check.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    elif pa.types.is_run_end_encoded(kind):
        column = pc.run_end_decode(column)
    elif kind == pa.uuid():
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    elif isinstance(kind, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_string(column.type):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise UnwritableValueError("text that is not UTF-8") from error
    return column


def is_bytes(kind: pa.DataType) -> bool:
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in checks)


def is_time(kind: pa.DataType) -> bool:
    """Return whether a type is a date, a time, a timestamp or a duration."""
    return pa.types.is_temporal(kind) and not pa.types.is_interval(kind)


def time_texts(column: Any, separator: str) -> Any:
    """Return dates and times in ISO 8601, and durations as whole numbers of their unit.

    Timestamps with a time zone are in UTC, with a `Z`. `separator` is between date and time.

    Raises UnwritableValueError for a year of more than five digits, or a time that no day has.
    """
    kind = column.type
    if pa.types.is_duration(kind):
        return column.view(pa.int64()).cast(pa.string())
    if pa.types.is_timestamp(kind):
        # Without its zone, because Arrow checks the range of such timestamps only.
        texts = column.view(pa.timestamp(kind.unit)).cast(pa.string())
    else:
        texts = column.cast(pa.string())
    if pc.any(pc.starts_with(texts, _OUT_OF_RANGE)).as_py():
        raise UnwritableValueError(
            f"a value of type {kind} beyond what a text can represent (years of up to five digits, times of one day)"
        )
    if pa.types.is_timestamp(kind):
        texts = texts if separator == " " else pc.replace_substring(texts, " ", separator)
        texts = pc.binary_join_element_wise(texts, "Z", "") if kind.tz else texts
    return texts


def json_values(array: Any) -> list[Any]:
    """Return values of any type, also nested, as Python values for JSON.

    A map is a list of pairs, because its keys need not be texts.
    """
    array = plain_array(array)
    kind = array.type
    if is_time(kind):
        values = time_texts(array, "T").to_pylist()
        return [None if value is None else int(value) for value in values] if pa.types.is_duration(kind) else values
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        children = [json_values(child) for child in array.flatten()]
        rows = zip(*children, strict=True) if children else iter([()] * len(array))
        valid = array.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if is_set else None for row, is_set in zip(rows, valid, strict=True)]
    if pa.types.is_map(kind):
        offsets = array.offsets.to_pylist()
        first, count = offsets[0], offsets[-1] - offsets[0]
        keys, items = json_values(array.keys.slice(first, count)), json_values(array.items.slice(first, count))
        pairs = [[key, item] for key, item in zip(keys, items, strict=True)]
        places = zip(offsets, offsets[1:], array.is_valid().to_pylist(), strict=False)
        return [pairs[start - first : stop - first] if is_set else None for start, stop, is_set in places]
    if pa.types.is_nested(kind):
        flat, at, lists = json_values(array.flatten()), 0, []
        for length in pc.list_value_length(array).to_pylist():
            lists.append(None if length is None else flat[at : at + length])
            at += length or 0
        return lists
    plain: list[Any] = array.to_pylist()
    return plain
