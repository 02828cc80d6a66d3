import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.dataset.thrift_compact import (
    BINARY,
    BYTE,
    DOUBLE,
    FALSE,
    I32,
    I64,
    LIST,
    MAP,
    STRUCT,
    TRUE,
    ThriftError,
    Value,
    fields,
    i64,
    integer,
    list_elements,
    read_binary,
    read_integer,
    read_list,
    read_struct,
    write_binary,
    write_integer,
    write_list,
    write_struct,
)

EVERY_KIND = {
    1: (TRUE, "11", ""),
    2: (FALSE, "12", ""),
    3: (BYTE, "13", "ff"),  # -1
    4: (I32, "15", "a69a0c"),  # zigzag of 99,987
    5: (DOUBLE, "17", "000000000000f83f"),  # 1.5
    6: (BINARY, "18", "03616263"),
    7: (LIST, "19", "250201"),  # two i32: 1 and -1
    8: (MAP, "1b", "0158020161"),  # of one i32, 1, to text
    9: (STRUCT, "1c", "150200"),  # its field 1 is the i32 1
    10: (LIST, "19", "210102"),  # two booleans
    15: (I32, "051e", "04"),  # the field number 15 written in full, then 2
}


def test_every_kind_of_value_is_found() -> None:
    data = bytes.fromhex("".join(header + raw for _, header, raw in EVERY_KIND.values()) + "00")
    found = read_struct(data)
    assert found == {field: Value(kind, bytes.fromhex(raw)) for field, (kind, _, raw) in EVERY_KIND.items()}
    assert read_integer(found[4]) == 99_987
    assert read_binary(found[6]) == b"abc"
    assert [integer(raw) for raw in read_list(found[7], I32)] == [1, -1]
    assert read_integer(read_struct(found[9].raw)[1]) == 1
    assert read_list(found[10], TRUE) == [b"\1", b"\2"]
    assert read_integer(found[15]) == 2


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_written_as_zigzag_varints(number: int) -> None:
    raw = write_integer(number)
    assert integer(raw) == number
    zigzag = sum((byte & 0x7F) << (7 * index) for index, byte in enumerate(raw))
    assert zigzag == (2 * number if number >= 0 else -2 * number - 1)
    assert [byte >> 7 for byte in raw] == [1] * (len(raw) - 1) + [0]


@given(st.dictionaries(st.integers(-(2**15), 2**15 - 1), st.binary(max_size=200), max_size=20))
def test_structs_with_any_field_numbers_can_be_read_back(texts: dict[int, bytes]) -> None:
    data = write_struct({field: Value(BINARY, write_binary(text)) for field, text in texts.items()})
    assert {field: read_binary(value) for field, value in read_struct(data).items()} == texts


@pytest.mark.parametrize(
    ("size", "header"), [(0, "06"), (1, "16"), (14, "e6"), (15, "f60f"), (16, "f610"), (300, "f6ac02")]
)
def test_lists_of_any_length_can_be_read_back(size: int, header: str) -> None:
    items = [write_integer(number) for number in range(size)]
    raw = write_list(I64, items)
    assert raw == bytes.fromhex(header) + b"".join(items)
    assert read_list(Value(LIST, raw), I64) == items


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "ends within a struct"),
        ("18ff01", "beyond the end"),
        ("19f5ffffffff0f", "ends within|beyond"),
        ("19f1ffffffff0f", "beyond the end"),
        ("1bffffffff0f11", "beyond the end"),
        ("1bffffffff0f55", "ends within a struct"),
        ("15" + "ff" * 11, "ends within a struct"),
        ("18" + "ff" * 11, "a number of more than 10 bytes"),
        ("1c" * 100, "nested deeper than 32 levels"),
        ("19" * 100, "nested deeper than 32 levels"),
        ("1f00", "a value of kind 15"),
        ("1000", "a value of kind 0"),
        ("1c100000", "a field without a kind"),
        ("150205020200", "field 1 occurs twice"),
    ],
)
def test_malformed_structs_are_refused(data: str, why: str) -> None:
    with pytest.raises(ThriftError, match=why):
        read_struct(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "ends within a list"),
        ("f5ffffffff0f", "4,294,967,295 values announced, only 0 bytes left"),
        ("28ff01", "ends within a list"),
        ("18ff01", "beyond the end"),
    ],
)
def test_malformed_lists_are_refused(data: str, why: str) -> None:
    with pytest.raises(ThriftError, match=why):
        list_elements(bytes.fromhex(data))


def test_lists_longer_than_those_of_any_schema_are_refused() -> None:
    # Empty structs take a byte each, and much more memory once they are listed.
    size = 600_000
    varint = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    with pytest.raises(ThriftError, match="more than 500,000 values"):
        list_elements(b"\xfc" + varint + bytes(size))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("80", "ends within a number"),
        ("ff" * 9 + "81", "a number of more than 10 bytes"),
        ("ff" * 11, "a number of more than 10 bytes"),
    ],
)
def test_numbers_that_do_not_end_are_refused(raw: str, why: str) -> None:
    with pytest.raises(ThriftError, match=why):
        integer(bytes.fromhex(raw))


def test_values_of_another_kind_are_refused() -> None:
    for read in (read_binary, lambda value: read_list(value, STRUCT)):
        with pytest.raises(ThriftError, match="a value of kind 6 where"):
            read(i64(1))
    with pytest.raises(ThriftError, match="a list of kind 6 where one of kind 12"):
        read_list(Value(LIST, write_list(I64, [write_integer(1)])), STRUCT)
    with pytest.raises(ThriftError, match="where a whole number was expected"):
        read_integer(Value(BINARY, write_binary(b"")))
    with pytest.raises(ThriftError, match="a text of 5 bytes announced, but 1 bytes follow"):
        read_binary(Value(BINARY, b"\x05a"))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ThriftError):
        for _, _, start, end in fields(data):
            assert 0 < start <= end <= len(data)
    with contextlib.suppress(ThriftError):
        list_elements(data)
