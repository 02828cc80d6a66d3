import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.dataset.thrift_compact import CompactReader, ThriftError


def read(data: bytes) -> dict[int, object]:
    return dict(CompactReader(data).fields())


def test_every_kind_of_value_is_read() -> None:
    data = bytes.fromhex(
        "11"  # field 1: true
        "12"  # field 2: false
        "13ff"  # field 3: a byte, -1
        "15a69a0c"  # field 4: an i32, zigzag of 99,987
        "17000000000000f83f"  # field 5: a double, 1.5
        "1803616263"  # field 6: text
        "19250201"  # field 7: a list of two i32, 1 and -1
        "1b0158020161"  # field 8: a map of one i32, 1, to text
        "1c150200"  # field 9: a struct whose field 1 is the i32 1
        "19210102"  # field 10: a list of two truth values
        "051e04"  # field 15, its number written out: an i32, 2
        "00"
    )
    assert read(data) == {
        1: True,
        2: False,
        3: -1,
        4: 99_987,
        5: 1.5,
        6: b"abc",
        7: [1, -1],
        8: [(1, b"a")],
        9: {1: 1},
        10: [True, False],
        15: 2,
    }


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the end of the data"),
        (bytes.fromhex("18ff01"), "the end of the data, 255 bytes"),
        (bytes.fromhex("19f5ffffffff0f"), "4,294,967,295 values announced, only 0 bytes left"),
        (bytes.fromhex("1bffffffff0f55"), "4,294,967,295 values announced"),
        (bytes.fromhex("15" + "ff" * 11), "a number of more than 10 bytes"),
        (b"\x1c" * 17, "nested deeper than 16 levels"),
        (b"\x19" + b"\x19" * 17, "nested deeper than 16 levels"),
        (bytes.fromhex("1f00"), "a value of kind 15"),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ThriftError, match=why):
        read(data)


def test_more_values_than_any_schema_has_are_refused() -> None:
    # A list of structs that end at once: a byte each, but much more once they are read.
    size = 600_000
    varint = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    with pytest.raises(ThriftError, match="more than 500,000 values"):
        read(b"\x19\xfc" + varint + bytes(size))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ThriftError):
        read(data)
