"""Property tests of the readers on any content: each row comes once, or the object is refused.

Random and damaged content gives a DataError or rows, never another exception. Content written by
Python's csv and json modules is read as by these modules. The block size does not matter.
"""

import csv
import io
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.errors import DataError
from scoring.readers.text import csv_object, csv_records, jsonl_object
from tests.unit.fuzzing import examples
from tests.unit.scoring.readers.reading import COMPRESSORS, Read, read_object
from tests.unit.scoring.splice.support.footers import footer_of

fuzzed = examples(quick=60, fuzz=1_500)
TYPES = {"a": "double", "n": "int64", "s": "string", "f": "bool", "i": "int8", "r": "float"}
NAMES = ("id", *TYPES)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def block_bytes(size: int) -> Iterator[None]:
    """Read in tiny blocks and chunks, which cut small content as the real ones cut large files."""
    with (
        patch.object(csv_records, "BLOCK_BYTES", size),
        patch.object(csv_records, "_SLOW_BYTES", max(1, size // 2)),
        patch.object(csv_object, "CHUNK_BYTES", max(1, size // 4)),
        patch.object(jsonl_object, "BLOCK_BYTES", size),
        patch.object(jsonl_object, "CHUNK_BYTES", max(1, size // 4)),
    ):
        yield


def read_or_refuse(folder: Path, key: str, content: bytes, **how: Any) -> Read | str:
    """Return what was read, or the refusal, which names the object. Any other error fails the test."""
    try:
        return read_object(folder, key, content, TYPES, **how)
    except DataError as error:
        refusal = error.text
    assert repr(key) in refusal
    return refusal


def check_all_block_sizes(folder: Path, key: str, content: bytes, block: int, rows: int, **options: Any) -> None:
    """Check that content is read or refused in the same way in large and small blocks."""
    whole = read_or_refuse(folder, key, content, **options)
    with block_bytes(block):
        cut = read_or_refuse(folder, key, content, rows=rows, **options)
    check_same(whole, cut)
    with patch.object(csv_object._ArrowParser, "parse", return_value=None):
        check_same(whole, read_or_refuse(folder, key, content, **options))


def check_same(whole: Read | str, cut: Read | str) -> None:
    if isinstance(whole, str) or isinstance(cut, str):
        # The number of rows before the failure may differ.
        assert isinstance(whole, str), cut
        assert isinstance(cut, str), whole
        return
    assert cut.reasons == whole.reasons
    assert cut.numbers == whole.numbers
    assert cut.counts == whole.counts
    assert cut.table.equals(whole.table) or str(cut.values) == str(whole.values)


# Damaged and random content

tokens = st.sampled_from(
    [
        *(
            b",",
            b'"',
            b'""',
            b"\n",
            b"\r\n",
            b"\r",
            b"\0",
            b"\xff",
            b"\xc3\xa9",
            b"1",
            b"-1.5",
            b"NA",
            b" ",
            b"\t",
            b"x",
            b"1.0",
            b"+5",
            b"2e1",
            b"Y",
        ),
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b'{"a":1}',
            b'"a":',
            b"null",
            b"NaN",
            b"Inf",
            b"-NaN",
            b'"NaN"',
            b'"Infinity"',
            b'{"a":"-Infinity","n":1.0,"late":\xff}\n',
            b'{"n":2.0,"id":"\xff"}\n',
            b"1e999",
            b"0x10",
            b"true",
        ),
        *(b"\\u", b"\\ud800", b"99999999999999999999", b"300", b"true", b"\t"),
        *(b"id,a,n,s,f,i,r\n", b'{"id":"x"}\n', b"1,2,3,x,true,5,6\n"),
    ]
)
contents = st.lists(tokens, max_size=30).map(b"".join) | st.binary(max_size=200)
blocks = st.integers(4, 60)
batch_rows = st.integers(1, 5)


@fuzzed
@given(contents, blocks, batch_rows, st.booleans())
def test_any_bytes_as_csv(folder: Path, content: bytes, block: int, rows: int, header: bool) -> None:
    options = {} if header else {"csv_header": False, "csv_columns": NAMES}
    check_all_block_sizes(
        folder, "x.csv", (b"id,a,n,s,f,i,r\n" + content) if header else content, block, rows, **options
    )


@fuzzed
@given(contents, blocks, batch_rows)
def test_any_bytes_as_json_lines(folder: Path, content: bytes, block: int, rows: int) -> None:
    check_all_block_sizes(
        folder, "x.jsonl", b'{"id":"","a":0,"n":0,"s":"","f":true,"i":1,"r":0}\n' + content, block, rows
    )


@fuzzed
@given(
    st.binary(max_size=300), st.sampled_from(["x.csv", "x.csv.gz", "x.tsv.zst", "x.jsonl", "x.jsonl.gz", "x.parquet"])
)
@example(b"{}", "x.jsonl")
def test_any_bytes_under_any_name(folder: Path, content: bytes, key: str) -> None:
    read_or_refuse(folder, key, content)


dialects = st.fixed_dictionaries(
    {
        "csv_escape": st.sampled_from(["\\", "\\", "^"]),
        "csv_escape_unquoted": st.booleans(),
        "csv_quote": st.sampled_from(['"', '"', ""]),
        "csv_decimal": st.sampled_from([".", ","]),
        "csv_encoding": st.sampled_from(["utf-8", "utf-8", "cp1252", "ascii"]),
        "csv_delimiter": st.sampled_from(",;\t"),
    }
)
escaped_tokens = st.sampled_from(
    [b"\\", b"\\", b"\\N", b"\\n", b'\\"', b"\\,", b"\\\n", b"\\\r\n", b"^", b"1,5", b'"1,5"']
)


@fuzzed
@given(st.lists(tokens | escaped_tokens, max_size=30).map(b"".join), blocks, batch_rows, dialects)
@example(b'1,2,3,a\\"b,true,5,6\n"x\\",y",2,3,a\\\nb,t,1.0,+6\n', 20, 2, {"csv_escape": "\\", "csv_delimiter": ","})
@example(b'a\\,"1,"\n",', 20, 2, {"csv_escape": "\\", "csv_delimiter": ","})
def test_any_bytes_as_csv_of_any_dialect(
    folder: Path, content: bytes, block: int, rows: int, dialect: dict[str, Any]
) -> None:
    delimiter = dialect["csv_delimiter"]
    header = delimiter.join(NAMES).encode() + b"\n"
    content = header + content.replace(b",", delimiter.encode())
    check_all_block_sizes(folder, "x.csv", content, block, rows, **dialect)


cells = st.sampled_from(["1", "-2.5", "NA", "", "x", "true", "a,b", 'q"q', "two\nlines", "é", "12345678901234567890"])
mutations = st.lists(
    st.tuples(st.integers(0, 1_000), st.integers(0, 30), st.binary(max_size=3) | tokens), min_size=1, max_size=4
)


def damaged(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, instead in changes:
        place = at % (len(content) + 1)
        content = content[:place] + instead + content[place + length :]
    return content


@fuzzed
@given(st.lists(st.tuples(*[cells] * 7), max_size=12), mutations, blocks, batch_rows)
def test_damaged_csv(folder: Path, table: list[Any], how: list[Any], block: int, rows: int) -> None:
    check_all_block_sizes(
        folder, "x.csv", b"id,a,n,s,f,i,r\n" + damaged(written(table, ",", "\n", csv.QUOTE_MINIMAL), how), block, rows
    )


@fuzzed
@given(
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, st.sampled_from([1, 2.5, "x", None, True, [1]])))),
    mutations,
    blocks,
    batch_rows,
)
def test_damaged_json_lines(folder: Path, lines: list[Any], how: list[Any], block: int, rows: int) -> None:
    head = json.dumps(dict.fromkeys(NAMES)).encode()
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    check_all_block_sizes(folder, "x.jsonl", head + b"\n" + damaged(body, how), block, rows)


PARQUET = io.BytesIO()
pq.write_table(
    pa.table({"id": ["x", "y", None] * 20, "a": [1.5, None, 2.0] * 20, "n": range(60)}),
    PARQUET,
    row_group_size=25,
    write_page_checksum=True,
)


@fuzzed
@given(mutations)
def test_damaged_parquet(folder: Path, how: list[Any]) -> None:
    read_or_refuse(folder, "x.parquet", damaged(PARQUET.getvalue(), [(at * 7, length, new) for at, length, new in how]))


@fuzzed
@given(mutations)
def test_damaged_parquet_footer(folder: Path, how: list[Any]) -> None:
    """Most damage above is in pages. pyarrow has ended the process on some footers."""
    content = PARQUET.getvalue()
    footer = footer_of(content)
    new = damaged(footer, how)
    changed = content[: -8 - len(footer)] + new + len(new).to_bytes(4, "little") + content[-4:]
    read_or_refuse(folder, "x.parquet", changed)


@fuzzed
@given(st.sampled_from([".gz", ".zst"]), mutations)
def test_damaged_compression(folder: Path, end: str, how: list[Any]) -> None:
    content = COMPRESSORS[end](b"id,a,n,s,f,i,r\n" + b"1,2,3,x,true,5,6\n" * 50)
    found = read_or_refuse(folder, "x.csv" + end, damaged(content, how))
    assert isinstance(found, str) or found.rows <= 50 or end == ".zst"


# Content written by Python's own modules


def written(table: list[Any], delimiter: str, line_end: str, quoting: int) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows(table)
    return buffer.getvalue().encode()


text_cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(',;"\n\r\t ab'), max_size=8
)


@fuzzed
@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[text_cells] * width), min_size=1, max_size=12)),
    st.tuples(
        st.sampled_from([",", ";", "\t", "|"]),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ),
    blocks,
    st.sampled_from(sorted(COMPRESSORS)),
)
def test_csv_is_read_as_by_pythons_module(
    folder: Path, table: list[Any], dialect: tuple[str, str, int], block: int, end: str
) -> None:
    names = [f"c{place}" for place in range(len(table[0]))]
    content, delimiter = written([tuple(names), *table], *dialect), dialect[0]
    reader = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter)
    header, *expected = [row for row in reader if row]
    with block_bytes(block):
        found = read_object(folder, "x.csv" + end, COMPRESSORS[end](content), csv_delimiter=delimiter, rows=3)
    assert found.schema.names == header
    # If lines end in line feeds, the writer does not quote a carriage return, and readers end a row
    # there.
    assert found.reasons.keys() == {index for index, row in enumerate(expected) if len(row) != len(header)}
    good = [row for row in expected if len(row) == len(header)]
    assert [list(row) for row in zip(*found.values.values(), strict=True)] == good


numbers = st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1)


@fuzzed
@given(st.lists(st.tuples(text_cells, numbers, st.integers(-(2**70), 2**70)), max_size=12), blocks)
def test_csv_numbers_are_read_as_by_python(folder: Path, table: list[Any], block: int) -> None:
    content = b"id,a,n\r\n" + written(table, ",", "\r\n", csv.QUOTE_MINIMAL)
    with block_bytes(block):
        found = read_object(folder, "x.csv", content, {"a": "double", "n": "int64"})
    too_large = {index for index, row in enumerate(table) if not -(2**63) <= row[2] < 2**63}
    assert set(found.reasons) == too_large
    good = [row for index, row in enumerate(table) if index not in too_large]
    assert found.values == {
        "id": [row[0] for row in good],
        "a": [float(row[1]) for row in good],
        "n": [row[2] for row in good],
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)
json_rows = st.fixed_dictionaries(
    {"id": json_values, "a": st.none() | st.floats() | st.integers(-(2**60), 2**60)},
    optional={
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "s": st.none() | st.text(),
        "f": st.none() | st.booleans(),
    },
)


def can_be_text(row: dict[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@fuzzed
@given(
    st.lists(json_rows.filter(can_be_text), max_size=10), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]), blocks
)
def test_json_lines_are_read_as_by_pythons_module(
    folder: Path, lines: list[dict[str, Any]], ascii_only: bool, line_end: str, block: int
) -> None:
    first: dict[str, Any] = {"id": "", "a": 0.0, "n": 0, "s": "", "f": False}
    rows = [first, *lines]
    content = "".join(json.dumps(row, ensure_ascii=ascii_only) + line_end for row in rows).encode()
    with block_bytes(block):
        found = read_object(folder, "x.jsonl", content, TYPES, rows=3)
    assert found.rejected == ()
    assert found.rows == len(rows)
    for name, kind in (("a", float), ("n", int), ("s", str), ("f", bool)):
        expected = [None if row.get(name) is None else kind(row[name]) for row in rows]
        assert repr(found.values[name]) == repr(expected)
    for text, row in zip(found.values["id"], rows, strict=True):
        value = row["id"]
        assert text == value if isinstance(value, str) or value is None else same(json.loads(text), value)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return bool(one == other) and type(one) is type(other)
