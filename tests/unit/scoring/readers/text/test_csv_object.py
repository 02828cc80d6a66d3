"""CSV: declared columns are typed, others keep their exact text, bad rows are reported."""

import os
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pytest

from contract.dataset.text_encoding import readable
from contract.job.job_input import JobInput
from scoring.errors import DataError
from scoring.readers import open_object
from scoring.readers.text import csv_records, text_object
from tests.unit.scoring.readers.reading import COMPRESSORS, read_object

TYPES = {"age": "double", "visits": "int64", "plan": "string", "new": "bool"}
HEADER = b"id,age,visits,plan,new\n"


def test_features_are_typed_and_other_columns_keep_their_text(tmp_path: Path) -> None:
    found = read_object(tmp_path, "x.csv", HEADER + b'007, 1.50 ,3,"a,b",true\n"",NA,,NA,0\n', TYPES)
    assert [str(field.type) for field in found.schema] == ["string", "double", "int64", "string", "bool"]
    assert found.values == {
        "id": ["007", ""],
        "age": [1.5, None],
        "visits": [3, None],
        "plan": ["a,b", "NA"],
        "new": [True, False],
    }
    assert found.rejected == ()


def test_null_values_come_from_the_record_and_affect_features_only(tmp_path: Path) -> None:
    found = read_object(tmp_path, "x.csv", b"id,age,plan\n-,-,NA\n", TYPES, null_values=("-",))
    assert found.values == {"id": ["-"], "age": [None], "plan": ["NA"]}
    found = read_object(tmp_path, "x.csv", b"id,age,plan\n-,NA,-\n", TYPES, text_null_values=("-",))
    assert found.values == {"id": ["-"], "age": [None], "plan": [None]}
    # Without null values, an empty cell is an empty text.
    assert read_object(tmp_path, "x.csv", b"id,plan\n1,\n", TYPES, text_null_values=()).values["plan"] == [""]


@pytest.mark.parametrize("around", ["", "1e0\n", " x\n"])
@pytest.mark.parametrize(
    ("declared", "cells", "good"),
    [
        ("int8", "0x7F,0xFF,-128,0X80", {0, 2}),
        ("int64", "0x1F,0xFFFFFFFFFFFFFFFF,-1", {0, 2}),
        ("uint8", "0xFF,0x100", {0}),
        ("float", "1e38,1e39,-1e39,-inf,Infinity", {0, 3, 4}),
        ("double", "1e308,1e400,inf,1" + "0" * 400, {0, 2}),
    ],
)
def test_numbers_beyond_the_range_of_their_type_are_bad_rows(
    tmp_path: Path, around: str, declared: str, cells: str, good: set[int]
) -> None:
    """Arrow reads 0xFF as -1 of 8 bits, and 1e39 as an infinity of 32 bits."""
    rows = cells.split(",")
    content = "x\n" + "\n".join(rows) + "\n" + around
    found = read_object(tmp_path, "x.csv", content.encode(), {"x": declared})
    assert found.reasons.keys() - {len(rows)} == set(range(len(rows))) - good


@pytest.mark.parametrize("around", [0, 3_000])
def test_words_for_null_stay_text_in_a_text_feature(tmp_path: Path, around: int) -> None:
    """`NA` is Namibia, and a customer may be called Null."""
    words = ["NA", "null", "NULL", "None", "nan", "N/A", '"NA"']
    lines = "".join(f"1,{word}\n" for word in words) + "1,\n1,\\N\n"
    content = "x,country\n" + "2,DE\n" * around + lines
    found = read_object(tmp_path, "x.csv", content.encode(), {"x": "double", "country": "string"})
    assert found.values["country"][around:] == [word.strip('"') for word in words] + [None, None]
    numbers = read_object(tmp_path, "x.csv", content.encode(), {"country": "double"}, columns=["country"])
    assert numbers.values["country"][-len(words) - 2 :] == [None] * (len(words) + 2)


@pytest.mark.parametrize("end", sorted(COMPRESSORS))
def test_compressed_objects_read_the_same(tmp_path: Path, end: str) -> None:
    content = HEADER + b"".join(b"%d,%d.5,%d,p,1\n" % (row, row, row) for row in range(1_000))
    found = read_object(tmp_path, f"x.csv{end}", COMPRESSORS[end](content), TYPES, rows=64)
    assert found.values["visits"] == list(range(1_000))
    assert found.rows == 1_000


def test_delimiter_quote_and_byte_order_mark(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfid;plan\r\n1;'a;''b'\r\n"
    found = read_object(tmp_path, "x.csv", content, csv_delimiter=";", csv_quote="'")
    assert found.values == {"id": ["1"], "plan": ["a;'b"]}
    # The suffix .tsv sets the delimiter; without a quote character, quotes are ordinary text.
    assert read_object(tmp_path, "x.tsv", b'id\tplan\n1\t"x\n', csv_quote="").values == {"id": ["1"], "plan": ['"x']}


def test_without_a_header_the_record_names_the_columns(tmp_path: Path) -> None:
    found = read_object(tmp_path, "x.csv", b"1,2.5\n3,4\n", TYPES, csv_header=False, csv_columns=("id", "age"))
    assert found.values == {"id": ["1", "3"], "age": [2.5, 4.0]}


def test_all_line_ends_are_read_also_in_quotes(tmp_path: Path) -> None:
    content = b'id,plan\n1,"two\r\nlines"\r\n\n\r\n2,"a\rb"\r3,c'
    assert read_object(tmp_path, "x.csv", content).values == {
        "id": ["1", "2", "3"],
        "plan": ["two\r\nlines", "a\rb", "c"],
    }


def test_quoted_and_empty_column_names(tmp_path: Path) -> None:
    found = read_object(tmp_path, "x.csv", b',"a ""b"", c","two\nlines"\n1,2,3\n')
    assert found.values == {"": ["1"], 'a "b", c': ["2"], "two\nlines": ["3"]}


BAD_ROWS = [
    (b"1,x,3,p,1", "has a value in column 'age' that is not double: 'x'"),
    (
        b'1,"1,5",3,p,1',
        "has a value in column 'age' that is not double (if a comma is the decimal mark, set input.csv_decimal): '1,5'",
    ),
    (b"1,1,3.5,p,1", "has a value in column 'visits' that is not int64: '3.5'"),
    (b"1,1,9223372036854775808,p,1", "has a value in column 'visits' that is not int64: '9223372036854775808'"),
    (b"1,1,3,p,maybe", "has a value in column 'new' that is not bool: 'maybe'"),
    (b"1,1,3,p", "has 4 cells, expected 5 as the header has"),
    (b"1,1,3,p,1,,", "has 7 cells, expected 5 as the header has"),
    (b"   ", "has 1 cells, expected 5 as the header has"),
    (b"1,1,3,p\0q,1", "holds a NUL byte in column 'plan'"),
    (b"1,1,3,p\xc3,1", "is not UTF-8 in column 'plan'"),
    (b"7,1,3\xff,p,1", "is not UTF-8 in column 'visits'"),
    (b"id,age,visits,plan,new\r", "repeats the names of the columns: the object seems to be joined from several files"),
    (b'1,1,3,"p"q,1', "has text after the closing quote of cell 4"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
@pytest.mark.parametrize("around", [3, 3_000])
def test_a_bad_row_is_reported_and_all_others_are_read(tmp_path: Path, line: bytes, reason: str, around: int) -> None:
    good = b"".join(b'%d,%d.5,%d,"p",1\n' % (row, row, row) for row in range(around))
    found = read_object(tmp_path, "x.csv", HEADER + good + line + b"\n" + good, TYPES)
    [row] = found.rejected
    full = f"{row.reason}: {row.detail}" if row.detail else row.reason
    assert (row.row, full) == (around, reason)
    assert row.raw == readable(line).rstrip("\r")
    assert found.values["visits"] == [*range(around), *range(around)]
    assert found.numbers == (*range(around), *range(around + 1, 2 * around + 1))


def test_an_unclosed_quote_affects_only_its_line(tmp_path: Path) -> None:
    content = b'id,plan\n1,"a"\n2,"open\n3,c\n4,d\n'
    found = read_object(tmp_path, "x.csv", content)
    assert found.reasons == {1: "has a quote that opens cell 2 and is never closed"}
    assert found.values == {"id": ["1", "3", "4"], "plan": ["a", "c", "d"]}
    assert found.rejected[0].raw == '2,"open'


def test_a_quote_within_a_cell_is_ordinary_text(tmp_path: Path) -> None:
    rows = [f'{row},{row}" pipe,"x"' for row in range(500)]
    found = read_object(tmp_path, "x.csv", b"id,plan,more\n" + "\n".join(rows).encode())
    assert found.values["plan"] == [f'{row}" pipe' for row in range(500)]


def test_the_raw_text_of_a_bad_row_is_truncated(tmp_path: Path) -> None:
    found = read_object(tmp_path, "x.csv", b"id,plan\n" + b"x" * 5_000 + b"\n")
    assert found.rejected[0].raw == "x" * 1_000 + "…"


def test_bad_rows_do_not_depend_on_the_requested_columns(tmp_path: Path) -> None:
    content = HEADER + b"1,1,3,p\xff,1\n1,1\n2,2,2,p,1\n"
    assert read_object(tmp_path, "x.csv", content, TYPES, columns=["age"]).reasons.keys() == {0, 1}


def test_nulls_are_counted_if_they_decide_a_dtype(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(HEADER + b"1,,,,\n2,1,2,p,1\n3,,,,0\n")
    with open_object("x.csv", tmp_path / "x.csv", JobInput(types=TYPES)) as source:
        assert source.null_counts(["age", "visits", "plan", "new", "absent"]) == {"visits": 2, "new": 1}
        assert source.text_columns() == ["id", "plan"]
        assert source.group_rows() == []


def test_nulls_are_counted_once_for_all_models(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + b"1,,,,\n")
    with open_object("x.csv", path, JobInput(types=TYPES)) as source:
        assert source.null_counts(["visits"]) == {"visits": 1}
        path.unlink()
        assert source.null_counts(["new", "age"]) == {"new": 1}


def test_ten_thousand_columns(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(10_000)]
    lines = [",".join(names), ",".join(map(str, range(10_000))), ",".join(map(str, range(9_999)))]
    found = read_object(tmp_path, "x.csv", "\n".join(lines).encode(), {"c7": "int64"})
    assert found.values["c7"] == [7]
    assert found.values["c9999"] == ["9999"]
    assert found.reasons == {1: "has 9,999 cells, expected 10,000 as the header has"}


def test_columns_of_the_same_name_stay_separate(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"age,age\n1,2\n")
    with open_object("x.csv", tmp_path / "x.csv", JobInput(types=TYPES)) as source:
        assert source.schema.names == ["age", "age"]


@pytest.mark.parametrize(
    ("key", "content", "why"),
    [
        ("x.csv", b"a\0b,c\n", r"its header has NUL bytes, so it is not text"),
        ("x.csv", b"a\xff,c\n", r"its header is not UTF-8: set input\.csv_encoding .* such as cp1252; write it again"),
        (
            "x.csv",
            b'"a"b,c\n',
            "its header cannot be read: a quote is misplaced, or a name has more than 131,072",
        ),
        ("x.csv", b"\xff\xfea\0", r"is not CSV as its name says, it looks like text in UTF-16"),
        ("x.csv", b"PK\x03\x04....", r"it looks like a zip archive or a spreadsheet"),
        ("x.csv.gz", b"\x1f\x00,b\n1,2\n", r"is not CSV in gzip as its name says, it looks like something else"),
        ("x.txt", b"a,b\n1,2\n", r"its name says no format, .*: set input\.format in the model's record"),
        ("x.orc", b"a,b\n1,2\n", r"object 'x\.orc' is ORC by its name, which cannot be read: convert or remove it"),
    ],
)
def test_unreadable_objects_are_refused(tmp_path: Path, key: str, content: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_object(tmp_path, key, content)


@pytest.mark.parametrize("end", [".gz", ".zst"])
def test_truncated_compressed_data_fails_after_its_readable_rows(tmp_path: Path, end: str) -> None:
    content = b"id,plan\n" + b"".join(b"%d,%d\n" % (row, row * 7919) for row in range(600_000))
    compressed = COMPRESSORS[end](content)
    path = tmp_path / f"x.csv{end}"
    path.write_bytes(compressed[: len(compressed) * 3 // 4])
    read: list[int] = []
    with (
        open_object(path.name, path) as source,
        pytest.raises(DataError, match=r"cannot be read as (gzip|zstd) after row [\d,]+ \(OSError in pyarrow") as error,
    ):
        read.extend(item.batch.num_rows for item in source.batches(65_536, frozenset({"id"}), use_threads=False))
    assert f"after row {sum(read) - 1:,}" in error.value.text
    path.write_bytes(compressed[:50])
    with pytest.raises(DataError, match="it is damaged or was cut off; write it again"):
        open_object(path.name, path)


def test_an_endless_row_is_refused_with_little_memory(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"id\n1\n" + b"x" * 60_000)
    with (
        patch.object(csv_records, "MAX_RECORD_BYTES", 20_000),
        patch.object(text_object, "MAX_RECORD_BYTES", 20_000),
        patch.object(csv_records, "BLOCK_BYTES", 1_000),
        open_object("x.csv", tmp_path / "x.csv") as source,
        pytest.raises(DataError, match=r"row 1 is longer than 20,000 bytes, the most that a row may have"),
    ):
        list(source.batches(10, frozenset({"id"}), use_threads=False))


def test_a_quote_open_for_too_long_affects_only_its_line(tmp_path: Path) -> None:
    content = b'id,plan\n1,"a\n' + b"2,b\n" * 20_000
    with patch.object(csv_records, "MAX_RECORD_BYTES", 20_000), patch.object(csv_records, "BLOCK_BYTES", 1_000):
        found = read_object(tmp_path, "x.csv", content)
    assert found.reasons == {0: "has a quote that opens cell 2 and is never closed"}
    assert found.rows == 20_001


def write_bomb(path: Path, line: bytes, mebibytes: int) -> None:
    """Write a CSV object of repeated lines, which compresses to a few kilobytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    lines = line * ((1 << 20) // len(line))
    path.write_bytes(
        packer.compress(b"id,plan\n") + b"".join(packer.compress(lines) for _ in range(mebibytes)) + packer.flush()
    )


def test_a_compression_bomb_of_one_row_takes_little_memory(tmp_path: Path) -> None:
    write_bomb(tmp_path / "x.csv.gz", b"x", 100)
    tracemalloc.start()
    with (
        open_object("x.csv.gz", tmp_path / "x.csv.gz") as source,
        pytest.raises(DataError, match="row 0 is longer than 16,777,216 bytes"),
    ):
        list(source.batches(65_536, frozenset({"id"}), use_threads=False))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_a_compression_bomb_of_many_rows_takes_little_memory(tmp_path: Path) -> None:
    write_bomb(tmp_path / "x.csv.gz", b"1,2\n", 48)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    rows = most = 0
    with open_object("x.csv.gz", tmp_path / "x.csv.gz") as source:
        for item in source.batches(65_536, frozenset({"id"}), use_threads=False):
            rows += item.batch.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 48 << 18
    assert peak < 40 << 20
    assert most < 40 << 20


def test_reading_text_does_not_import_pandas(tmp_path: Path) -> None:
    """Its import costs every worker a third of a second."""
    (tmp_path / "x.csv").write_bytes(HEADER + b"1,2,3,,1\n")
    (tmp_path / "x.jsonl").write_bytes(b'{"id":"x","age":1,"plan":null}\n')
    code = f"""
import sys
from pathlib import Path
from contract.job.job_input import JobInput
from scoring.readers import open_object
for name in ("x.csv", "x.jsonl"):
    with open_object(name, Path({str(tmp_path)!r}) / name, JobInput(types={TYPES!r})) as source:
        [item] = source.batches(9, frozenset(source.schema.names), use_threads=False)
        assert item.batch.num_rows == 1
sys.exit("pandas" in sys.modules)
"""
    root = Path(__file__).parents[5]
    search = os.pathsep.join([str(root), str(root / "inference_container")])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": search})
