"""Casts of columns to the types of features: equal values, bad rows by name, and counts."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from scoring.columns.feature_casts import Cast, cast_to_declared

NAN = float("nan")


def cast(declared: str, column: pa.Array, *, max_bad: int = 10, nullable: bool = True) -> Cast:
    found = cast_to_declared(Feature("x", declared, nullable), column, max_bad)
    found.array.validate(full=True)
    return found


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.decimal32(9, 4), pa.decimal64(15, 4), pa.decimal64(18, 4), pa.decimal128(15, 4), pa.decimal128(38, 20)),
        *(pa.decimal128(15, 0), pa.decimal128(12, -3), pa.decimal256(76, 40)),
    ],
    ids=str,
)
def test_decimals_become_the_nearest_double(kind: pa.DataType) -> None:
    numbers = random.Random(7)
    digits = [numbers.randrange(-(10**kind.precision) + 1, 10**kind.precision) for _ in range(300)]
    column = pa.array([None, *(Decimal(f"{number}E{-kind.scale}") for number in digits), None], kind)
    for part in (column, column.slice(3, 50)):
        found = cast("double", part)
        assert found.array.to_pylist() == [None if value is None else float(value) for value in part.to_pylist()]
        assert found.ways == {"has decimals that are read as the nearest double": len(part) - part.null_count}
    floats = cast("float", column).array.to_pylist()
    assert floats == [None if value is None else float(np.float32(float(value))) for value in column.to_pylist()]


def test_a_decimal_beyond_the_range_of_floats_is_a_bad_row() -> None:
    found = cast("float", pa.array([Decimal("1.5"), Decimal("1e60")], pa.decimal256(70, 2)))
    assert found.array.to_pylist() == [1.5, None]
    assert list(found.bad) == [1]
    assert "has a value that float cannot hold" in found.bad[1].text


@pytest.mark.parametrize(
    ("column", "expected", "way"),
    [
        (pa.array([Decimal("7"), Decimal("1.5"), None], pa.decimal128(9, 2)), [7, None, None], "decimals"),
        (pa.array([Decimal("7"), Decimal("1.5"), None], pa.decimal32(9, 2)), [7, None, None], "decimals"),
        (pa.array([Decimal("7"), Decimal("3e20"), None], pa.decimal256(60, 0)), [7, None, None], "decimals"),
        (pa.array([7.0, 1.5, None]), [7, None, None], "floating-point numbers"),
        (pa.array([7.0, float("inf"), None], pa.float32()), [7, None, None], "floating-point numbers"),
        (pa.array([-(2.0**63), 2.0**63, None]), [-(2**63), None, None], "floating-point numbers"),
    ],
)
def test_only_whole_numbers_in_range_become_integers(column: pa.Array, expected: list[Any], way: str) -> None:
    found = cast("int64", column)
    assert found.array.to_pylist() == expected
    assert list(found.bad) == [1]
    assert "has a value that int64 cannot hold: convert the column" in found.bad[1].text
    assert found.ways == {f"has {way} that are read as whole numbers": 1}


def test_integers_of_another_size_are_cast_by_value() -> None:
    found = cast("uint8", pa.array([255, 256, -1, None]))
    assert found.array.to_pylist() == [255, None, None, None]
    assert list(found.bad) == [1, 2]


def test_nan_is_null_in_a_nullable_integer_feature_only() -> None:
    column = pa.array([1.0, NAN, 3.0])
    found = cast("int32", column)
    assert (found.array.to_pylist(), found.bad) == ([1, None, 3], {})
    assert found.ways["has NaN that is read as null"] == 1
    assert list(cast("int32", column, nullable=False).bad) == [1]


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2), pa.string(), pa.large_string()], ids=str
)
@pytest.mark.parametrize("encoded", [False, True])
def test_bytes_are_read_as_utf8(kind: pa.DataType, encoded: bool) -> None:
    is_text = kind in (pa.string(), pa.large_string())
    column = pa.array([b"ab", "ü".encode(), b"\xff\xfe", None], pa.binary() if is_text else kind)
    if is_text:
        column = column.cast(pa.large_binary()).view(kind) if kind == pa.large_string() else column.view(kind)
    if encoded and not pa.types.is_binary_view(kind):
        column = column.dictionary_encode()
    found = cast("string", column)
    assert found.array.to_pylist() == ["ab", "ü", None, None]
    assert list(found.bad) == [2]
    assert "has a text that is not UTF-8" in found.bad[2].text
    assert found.ways == ({} if is_text else {"has bytes that are read as UTF-8 text": 2})


def test_dictionaries_of_any_values_are_decoded() -> None:
    decimals = pa.array([Decimal("1.10"), None, Decimal("1.10")], pa.decimal128(9, 2)).dictionary_encode()
    assert cast("double", decimals).array.to_pylist() == [1.1, None, 1.1]
    nulls = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None]))
    assert list(cast("string", nulls, nullable=False).bad) == [1]


@pytest.mark.parametrize(
    ("column", "declared", "expected", "bad"),
    [
        (pa.array([0, 1_500, None], pa.timestamp("ms")), "timestamp[s]", [0, None, None], [1]),
        (pa.array([0, 2_000], pa.timestamp("ms")), "timestamp[us]", [0, 2_000_000], []),
        (pa.array([0, 253_402_214_400], pa.timestamp("s")), "timestamp[ns]", [0, None], [1]),
        (pa.array([0, 2], pa.date32()), "timestamp[s]", [0, 172_800], []),
        (pa.array([0, 86_400_000], pa.date64()), "date32[day]", [0, 1], []),
        (pa.array([86_400, 86_401], pa.timestamp("s")), "date32[day]", [1, None], [1]),
        (pa.array([-86_400], pa.timestamp("s")), "date32[day]", [-1], []),
        (pa.array([5], pa.timestamp("s", "Asia/Tokyo")), "timestamp[s, tz=Europe/Berlin]", [5], []),
    ],
)
def test_times_keep_their_instant_or_are_bad(column: pa.Array, declared: str, expected: Any, bad: list[int]) -> None:
    found = cast(declared, column)
    assert str(found.array.type) == declared
    integers = found.array.view(pa.int32() if declared == "date32[day]" else pa.int64())
    assert integers.to_pylist() == expected
    assert list(found.bad) == bad
    assert all("cannot hold" in reason.text for reason in found.bad.values())
    assert found.ways == {}


def test_times_without_a_zone_are_utc_only_if_the_record_says_so() -> None:
    found = cast("timestamp[s, tz=UTC]", pa.array([7, None], pa.timestamp("s")))
    assert found.array.to_pylist() == [dt.datetime(1970, 1, 1, 0, 0, 7, tzinfo=dt.UTC), None]
    assert found.ways == {"has times without a zone that are read as UTC": 1}


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_view(pa.float64()), pa.list_(pa.int16())),
        *(pa.list_(pa.decimal128(9, 2)), pa.large_list(pa.float16())),
    ],
    ids=str,
)
def test_lists_of_any_kind_are_rows_of_numbers(kind: pa.DataType) -> None:
    column = pa.array([[9, 9], [1, 2], None, [3], [4, None], [5, 6], []], kind)
    found = cast("list<float>[2]", column.slice(1) if not pa.types.is_list_view(kind) else column)
    first = [] if not pa.types.is_list_view(kind) else [[9.0, 9.0]]
    assert found.array.to_pylist() == [*first, [1.0, 2.0], None, None, None, [5.0, 6.0], None]
    assert [index - len(first) for index in found.bad] == [2, 3, 5]
    assert "has a list other than 2 numbers that float can hold" in next(iter(found.bad.values())).text


def test_lists_of_the_declared_type_are_kept() -> None:
    column = pa.array([[9, 9], [1, NAN], None, [4, 5]], pa.list_(pa.float32(), 2)).slice(1)
    found = cast("list<float>[2]", column)
    assert str(found.array.to_pylist()) == "[[1.0, nan], None, [4.0, 5.0]]"
    assert (found.bad, found.ways) == ({}, {})


@pytest.mark.parametrize("max_bad", [0, 1])
def test_a_list_with_several_wrong_values_is_one_bad_row(max_bad: int) -> None:
    column = pa.array([[2**60 + 1] * 3, [1, 2, 3], [2**61 + 1] * 3], pa.list_(pa.int64()))
    assert list(cast("list<double>[3]", column, max_bad=max_bad).bad) == [0, 2][: max_bad + 1]
    too_large = pa.array([[1e300, 1e300], [1.0, 2.0]])
    assert list(cast("list<float>[2]", too_large, max_bad=max_bad).bad) == [0]
