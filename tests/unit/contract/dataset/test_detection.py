"""Formats of objects that neither the record nor the key names."""

import pytest

from contract.dataset.detection import FormatUnknownError, stored_format, text_format
from contract.dataset.input_options import InputOptions

NEEDED = (frozenset({"id", "age"}),)


def detect(head: bytes, *, whole: bool = True, needed: tuple[frozenset[str], ...] = NEEDED, **options: object) -> str:
    return str(text_format(head, InputOptions(**options), needed, whole=whole))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (b"PAR1", "Parquet"),
        (b"PARE", "Parquet"),
        (b"\x1f\x8b\x08", "None"),
        (b"\x5a\x2a\x4d\x18", "None"),
        (b"", "None"),
    ],
)
def test_stored_bytes_show_parquet_or_text(first: bytes, found: str) -> None:
    assert str(stored_format(first)) == found


@pytest.mark.parametrize("first", [b"ORC\x11\0\0", b"Obj\x01", b"ARROW1", b"BZh91AY&SY\0", b"PK\x03\x04"])
def test_other_formats_are_refused(first: bytes) -> None:
    with pytest.raises(FormatUnknownError, match=r"it looks like .*: convert or remove it"):
        stored_format(first)


def test_a_brace_shows_json_lines() -> None:
    assert detect(b'\xef\xbb\xbf\n {"id": 1}\n') == "JSON Lines"


def test_a_header_with_all_columns_of_a_model_shows_csv() -> None:
    assert detect(b"more,age,id\n1,2,3\n") == "CSV"
    assert detect(b"age;id\n", csv_delimiter=";") == "CSV"
    assert detect(b"age,id\n", needed=(frozenset({"other"}), *NEEDED)) == "CSV"


@pytest.mark.parametrize(
    ("head", "options", "why"),
    [
        (b"id,Age\n1,2\n", {}, "its first line is not a header with all features and key columns"),
        (b"id\tage\n1\t2\n", {}, "its first line is not a header"),
        (b"7,41\n", {"csv_header": False, "csv_columns": ("id", "age")}, "without a header .* cannot be recognized"),
        (b"\x00\x01\n", {}, "NUL bytes"),
        (b"PAR1....", {}, "it is Parquet in gzip or zstd"),
        (b"[1]\n", {}, "its first line is not a header"),
    ],
)
def test_text_that_proves_nothing_is_refused(head: bytes, options: dict[str, object], why: str) -> None:
    with pytest.raises(FormatUnknownError, match=why):
        detect(head, **options)  # type: ignore[arg-type]


def test_the_refusal_names_the_records_field() -> None:
    with pytest.raises(FormatUnknownError, match=r"set input\.format in the model's record") as refused:
        detect(b"id\n")
    assert refused.value.remedy.startswith("set input.format")
    # A job without any known columns proves nothing either.
    with pytest.raises(FormatUnknownError):
        detect(b"id,age\n", needed=(frozenset(),))


def test_blank_text_is_no_data() -> None:
    assert detect(b"\xef\xbb\xbf\r\n \n") == "None"
    with pytest.raises(FormatUnknownError, match="its beginning is blank"):
        detect(b"\n" * 10, whole=False)
