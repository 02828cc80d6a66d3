"""Casts a batch's columns to the declared types of features.

What has no exact value in the declared type makes a bad row, except decimals for floating-point
features, which become the nearest number. Casts that could be done in another way are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.catalog.model_fields import Feature
from contract.dataset.feature_types import FeatureType, feature_type
from scoring.columns.arrow_types import arrow_type, plain_column
from scoring.columns.bisection import bisect_failures
from scoring.columns.predictions import numeric_column
from scoring.errors import Reason

_NEAREST_DOUBLE = "has decimals that are read as the nearest double"
_NEAREST_FLOAT = "has numbers that are read as the nearest float"
_WHOLE_DECIMALS = "has decimals that are read as whole numbers"
_WHOLE_FLOATS = "has floating-point numbers that are read as whole numbers"
_NAN_IS_NULL = "has NaN that is read as null"
_BYTES_ARE_TEXT = "has bytes that are read as UTF-8 text"
_ZONE_IS_UTC = "has times without a zone that are read as UTC"

_EXACT_DIGITS, _EXACT_SCALE = 15, 22
"""Decimals of so many digits are whole doubles divided by a power of ten that is exact too."""
_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Cast:
    """A column in its declared type, null where a value does not fit."""

    array: pa.Array
    bad: dict[int, Reason] = field(default_factory=dict)
    """Reasons by row index. The search for bad values stops after the given number."""
    ways: Mapping[str, int] = field(default_factory=dict)
    """How values were read that could be read in another way, with their number; see `Reading`."""


@dataclass(frozen=True)
class _Converted:
    array: pa.Array
    wrong: Sequence[int] = ()
    """Rows whose value does not fit; null in `array`."""
    why: str = ""
    """What is wrong with them; empty for the usual text."""
    ways: Mapping[str, int] = field(default_factory=dict)


def cast_to_declared(feature: Feature, column: pa.Array, max_bad: int) -> Cast:
    """Cast a batch's column to its declared type.

    The search for bad values stops after `max_bad` + 1.
    """
    if str(column.type) == feature.type and not pa.types.is_string(column.type):
        return Cast(column, _nulls(feature, column, max_bad))
    values = plain_column(column)
    bad = _nulls(feature, values, max_bad)
    found = _convert(feature, values, max_bad)
    why = found.why or f"has a value that {feature.type} cannot hold"
    text = f"feature column {feature.name!r} of type {values.type} {why}: convert the column"
    for index in found.wrong[: max_bad + 1]:
        # A null casts to any type, so no row has both reasons.
        bad[index] = Reason(text, _shown(values, index))
    return Cast(found.array, bad, {way: count for way, count in found.ways.items() if count})


def _nulls(feature: Feature, column: pa.Array, max_bad: int) -> dict[int, Reason]:
    if feature.nullable or not column.null_count:
        return {}
    rows = np.flatnonzero(~_mask(column.is_valid()))[: max_bad + 1].tolist()
    text = f"feature column {feature.name!r} is null, the record says that it has no nulls (nullable: false)"
    return dict.fromkeys(rows, Reason(text))


def _convert(feature: Feature, column: pa.Array, max_bad: int) -> _Converted:
    target = arrow_type(feature.type)
    if pa.types.is_null(column.type):
        return _Converted(pa.nulls(len(column), target))
    wanted = feature_type(feature.type)
    if wanted.kind == "list":
        return _to_lists(column, wanted, max_bad)
    if wanted.kind in ("date", "timestamp"):
        return _to_times(column, wanted, max_bad)
    if pa.types.is_string(target):
        return _to_text(column, max_bad)
    return _to_numbers(column, target, max_bad, nullable=feature.nullable)


def _to_text(column: pa.Array, max_bad: int) -> _Converted:
    why = "has a text that is not UTF-8"
    if pa.types.is_string(column.type):
        try:
            # Parquet's reader does not check texts.
            column.validate(full=True)
        except pa.ArrowInvalid:
            column = column.view(pa.binary())
        else:
            return _Converted(column)
        return _cast(column, pa.string(), max_bad, why)
    is_text = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    if is_text:
        column = column.cast(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary_view())
    found = _cast(column, pa.string(), max_bad, why)
    return found if is_text else _noted(found, _BYTES_ARE_TEXT)


def _to_numbers(column: pa.Array, target: pa.DataType, max_bad: int, *, nullable: bool) -> _Converted:
    kind = column.type
    if pa.types.is_floating(kind) and pa.types.is_integer(target):
        return _to_integers(column, target, nullable=nullable)
    if pa.types.is_decimal(kind):
        if pa.types.is_integer(target):
            if kind.bit_width < 128:
                # Arrow 26 refuses int64 for every decimal32.
                column = column.cast(pa.decimal128(38, kind.scale))
            return _noted(_cast(column, target, max_bad), _WHOLE_DECIMALS)
        doubles = _decimals_to_doubles(column)
        found = _to_floats(doubles) if pa.types.is_float32(target) else _Converted(doubles)
        return _noted(found, _NEAREST_FLOAT if pa.types.is_float32(target) else _NEAREST_DOUBLE)
    return _cast(column, target, max_bad)


def _to_integers(column: pa.Array, target: pa.DataType, *, nullable: bool) -> _Converted:
    """Convert whole floating-point numbers. NaN is null in a nullable column, as pandas writes it."""
    valid = _mask(column.is_valid())
    values = _numpy(column.cast(pa.float64()))
    limits = np.iinfo(target.to_pandas_dtype())
    missing = valid & np.isnan(values)
    with np.errstate(invalid="ignore"):
        fits = valid & (values == np.trunc(values)) & (values >= float(limits.min)) & (values < limits.max + 1.0)
    array = _with_nulls(np.where(fits, values, 0).astype(target.to_pandas_dtype()), fits)
    ways = {_WHOLE_FLOATS: int(fits.sum()), _NAN_IS_NULL: int(missing.sum()) if nullable else 0}
    wrong = valid & ~fits & ~missing if nullable else valid & ~fits
    return _Converted(array, np.flatnonzero(wrong).tolist(), ways=ways)


def _decimals_to_doubles(column: pa.Array) -> pa.Array:
    """Return the nearest doubles, as Python's float() gives them."""
    kind = column.type
    if kind.precision <= _EXACT_DIGITS and 0 <= kind.scale <= _EXACT_SCALE:
        words = kind.bit_width // 64 or 1
        word = np.dtype("<i8" if kind.bit_width >= 64 else "<i4")
        data = np.frombuffer(column.buffers()[1], word)[column.offset * words : (column.offset + len(column)) * words]
        # Numbers this small have all their digits in the lowest word.
        return _with_nulls(data[::words].astype(np.float64) / float(10**kind.scale), _mask(column.is_valid()))
    return column.cast(pa.string()).cast(pa.float64())


def _to_floats(doubles: pa.Array) -> _Converted:
    """Convert doubles to the nearest floats, where they are in the range of floats."""
    values = _numpy(doubles)
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    too_large = np.isinf(floats) & ~np.isinf(values)
    return _Converted(_with_nulls(floats, _mask(doubles.is_valid()) & ~too_large), np.flatnonzero(too_large).tolist())


def _to_times(column: pa.Array, wanted: FeatureType, max_bad: int) -> _Converted:
    """Convert dates and times: the same instant in another unit or zone, where the unit holds it."""
    kind = column.type
    if pa.types.is_date32(kind):
        column, zone = column.cast(pa.timestamp("s")), None
    elif pa.types.is_date64(kind):
        column, zone = column.view(pa.int64()).view(pa.timestamp("ms")), None
    else:
        zone = kind.tz
        column = column.view(pa.int64()).view(pa.timestamp(kind.unit))
    if wanted.kind == "date":
        return _to_dates(column, max_bad)
    found = _cast(column, pa.timestamp(wanted.unit), max_bad, f"has a time that {wanted.name} cannot hold exactly")
    if not wanted.zone:
        return found
    array = found.array.view(pa.int64()).view(arrow_type(wanted.name))
    found = _Converted(array, found.wrong, found.why)
    return found if zone else _noted(found, _ZONE_IS_UTC)


def _to_dates(column: pa.Array, max_bad: int) -> _Converted:
    why = "has a time other than midnight, which a date cannot hold"
    seconds = _cast(column, pa.timestamp("s"), max_bad, why)
    values = _numpy(seconds.array.view(pa.int64()))
    days, rest = np.divmod(values, _SECONDS_PER_DAY)
    limits = np.iinfo(np.int32)
    fits = (rest == 0) & (days >= limits.min) & (days <= limits.max)
    valid = _mask(seconds.array.is_valid())
    wrong = sorted({*seconds.wrong, *np.flatnonzero(valid & ~fits).tolist()})
    dates = _with_nulls(np.where(fits, days, 0).astype(np.int32), valid & fits).view(pa.date32())
    return _Converted(dates, wrong, why)


def _to_lists(column: pa.Array, wanted: FeatureType, max_bad: int) -> _Converted:
    """Convert lists of any kind to lists of a fixed length without nulls in them."""
    kind = column.type
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        # Arrow 26 loses values when it casts a list view with nulls.
        column = pa.array(column.to_pylist(), pa.large_list(kind.value_type))
    else:
        column = column.cast(pa.large_list(kind.value_type))
    length, item = wanted.length, arrow_type(wanted.item)
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    valid = _mask(column.is_valid())
    good = valid & (np.diff(offsets) == length)
    values = column.values
    if len(column) and good.all():
        values = values.slice(int(offsets[0]), len(column) * length)
    else:
        places = (offsets[:-1][good][:, None] + np.arange(length)).reshape(-1)
        values = values.take(numeric_column(places.astype(np.int64)))
    found = _list_items(values, item, (max_bad + 1) * length)
    wrong_items = np.zeros(len(values), dtype=bool)
    wrong_items[list(found.wrong)] = True
    if values.null_count:
        wrong_items |= ~_mask(values.is_valid())
    places_of_good = np.flatnonzero(good)
    good[places_of_good[wrong_items.reshape(-1, length).any(axis=1)]] = False
    numbers = np.full((len(column), length), np.nan, dtype=item.to_pandas_dtype())
    if len(found.array) == len(values):  # else the search for bad values ended early, and the rows are not used
        numbers[places_of_good] = _numpy(found.array).reshape(-1, length)
    lists = fixed_lists(numbers, good)
    why = f"has a list other than {length:,} numbers that {wanted.item} can hold"
    return _Converted(lists, np.flatnonzero(valid & ~good).tolist(), why, found.ways)


def _list_items(values: pa.Array, item: pa.DataType, max_bad: int) -> _Converted:
    values = plain_column(values)
    if pa.types.is_float64(values.type) and pa.types.is_float32(item):
        return _noted(_to_floats(values), _NEAREST_FLOAT)
    if values.type == item:
        return _Converted(values)
    return _to_numbers(values, item, max_bad, nullable=False)


def fixed_lists(numbers: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> pa.Array:
    """Return rows of numbers as lists, null where not valid."""
    items = numeric_column(numbers.reshape(-1))
    kind = pa.list_(items.type, numbers.shape[1])
    validity = None if valid.all() else _bits(valid)
    return pa.Array.from_buffers(kind, len(numbers), [validity], children=[items])


def _cast(column: pa.Array, target: pa.DataType, max_bad: int, why: str = "") -> _Converted:
    """Cast with Arrow, which refuses values that the target cannot hold."""
    try:
        return _Converted(column.cast(target))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        found = bisect_failures(
            len(column), lambda start, stop: column.slice(start, stop - start).cast(target), max_bad
        )
    chunks = dict(found.results)
    chunks.update({index: pa.nulls(1, target) for index in found.failures})
    return _Converted(pa.concat_arrays([chunks[start] for start in sorted(chunks)]), sorted(found.failures), why)


def _noted(found: _Converted, way: str) -> _Converted:
    count = len(found.array) - found.array.null_count
    return _Converted(found.array, found.wrong, found.why, {**found.ways, way: count})


def _shown(column: pa.Array, index: int) -> str:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        # As bytes, because the text may not be UTF-8.
        column = column.cast(pa.large_binary())
    try:
        return str(column[index].as_py())
    # Times outside Python's range have no Python value.
    except (ValueError, OverflowError):
        return str(column.slice(index, 1).cast(pa.string())[0].as_py())


def _numpy(column: pa.Array) -> npt.NDArray[Any]:
    """Return a column of numbers as an array, with 0 for nulls."""
    if column.null_count:
        zero = pa.Array.from_buffers(column.type, 1, [None, pa.py_buffer(bytes(8))])[0]
        column = pc.fill_null(column, zero)
    return np.from_dlpack(column)


def _mask(booleans: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(booleans.to_numpy(zero_copy_only=False), dtype=bool)


def _with_nulls(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> pa.Array:
    array = numeric_column(values)
    if valid.all():
        return array
    return pa.Array.from_buffers(array.type, len(array), [_bits(valid), array.buffers()[1]])


def _bits(mask: npt.NDArray[np.bool_]) -> Any:
    return pa.py_buffer(np.packbits(mask, bitorder="little"))
