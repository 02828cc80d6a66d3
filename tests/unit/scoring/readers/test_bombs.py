"""Objects that decompress to far more than they store, with too many columns, or with a lying footer."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.dataset.thrift_compact import LIST, STRUCT, Value, i32, i64, write_list, write_struct
from scoring.errors import DataError
from scoring.readers import open_object
from scoring.readers.text.json_rows import NotARowError, read_row
from tests.unit.scoring.support.job_folder import REPOSITORY
from tests.unit.scoring.support.lying_parquet import write_lying

MEGABYTE = 1 << 20
READ = """
import resource, sys
from pathlib import Path
from scoring.errors import ScoringError
from scoring.readers import open_object
import pyarrow.csv, pyarrow.json, pyarrow.parquet

path = Path(sys.argv[1])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), used + int(sys.argv[2])))
try:
    with open_object(path.name, path) as source:
        columns = frozenset(source.schema.names)
        print("read", sum(item.batch.num_rows for item in source.batches(1_000, columns, use_threads=False)))
except ScoringError as error:
    print(error.kind.value, error.text)
"""
WRITE_PAGE = """
import sys, pyarrow as pa, pyarrow.parquet as pq
table = pa.table({"text": [b"x" * (400 << 20)]})
pq.write_table(table, sys.argv[1], compression=sys.argv[2], use_dictionary=False, write_statistics=False)
"""


def run(code: str, *arguments: object) -> str:
    path = os.pathsep.join([str(REPOSITORY / "inference_container"), str(REPOSITORY)])
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("compression", ["zstd", "brotli"])
def test_a_page_that_does_not_fit_into_memory_is_named(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.parquet"
    run(WRITE_PAGE, path, compression)
    assert path.stat().st_size < 25 * MEGABYTE
    shown = run(READ, path, 300 * MEGABYTE)
    expected = "TRANSIENT object 'a.parquet': out of memory while its pages are decoded: choose an instance type"
    assert shown.startswith(expected)


COLUMNS = b"a,b\n"
TEXT_BOMBS = {
    "blank lines": ("a.csv.gz", COLUMNS, b"\n", "read 0"),
    "one endless cell": ("a.csv.gz", COLUMNS + b'1,"', b"x", "row 0 is longer than 16,777,216 bytes"),
    "one endless header": ("a.csv.gz", b"a", b"a", "a name has more than 131,072 characters"),
    "blank lines of JSON": ("a.jsonl.gz", b'{"a":1}\n', b"\n", "read 1"),
    "one endless line of JSON": ("a.jsonl.gz", b'{"a":1}\n{"a":"', b"x", "row 1 is longer than 16,777,216 bytes"),
}


@pytest.mark.parametrize("name", TEXT_BOMBS)
def test_compressed_text_is_read_in_bounded_memory(tmp_path: Path, name: str) -> None:
    key, start, filling, expected = TEXT_BOMBS[name]
    path = tmp_path / key
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(60):
            file.write(filling * MEGABYTE)
    assert path.stat().st_size < 2 * MEGABYTE
    assert expected in run(READ, path, 200 * MEGABYTE)


BIG = 2**62
LIES: list[dict[str, Any]] = [
    {"rows": BIG},
    {"rows": -5},
    {"rows": BIG, "group_rows": BIG},
    {"group_rows": -1},
    {"values": BIG},
    {"values": -1},
    {"uncompressed": BIG},
    {"uncompressed": -1},
    {"uncompressed": 1},
    {"compressed": BIG},
    {"compressed": -1},
    {"compressed": 1},
    {"data_page": BIG},
    {"data_page": -4},
    {"data_page": 0},
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_lying_footer_is_refused_or_changes_no_row(tmp_path: Path, lie: dict[str, Any]) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"x": [float(row) for row in range(1_000)], "s": ["abc"] * 1_000})
    write_lying(path, table, **lie)
    try:
        with open_object("a.parquet", path) as source:
            source.null_counts(["x", "s"])
            source.stored_bytes()
            found = [item.batch for item in source.batches(300, frozenset({"x", "s"}), use_threads=False)]
    except DataError:
        return
    assert pa.Table.from_batches(found).equals(table)


def footer_only(*values: tuple[int, Any]) -> bytes:
    footer = write_struct(dict(values))
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def test_a_schema_of_a_million_columns_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    schema = write_list(STRUCT, [b"\0"] * 1_000_001)
    content = footer_only((1, i32(2)), (2, Value(LIST, schema)), (3, i64(1)))
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"object 'a\.parquet' has 1,000,000 columns, at most 50,000 can be read"):
        open_object("a.parquet", tmp_path / "a.parquet")


def test_a_huge_footer_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.parquet").open("wb") as file:
        file.write(b"PAR1")
        file.truncate(300 * MEGABYTE)
        file.seek(0, os.SEEK_END)
        file.write((299 * MEGABYTE).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(DataError, match=r"has a Parquet footer of 313,524,224 bytes, at most 268,435,456 can be read"):
        open_object("a.parquet", tmp_path / "a.parquet")


def test_too_many_columns_are_refused_in_every_format(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(50_001)]
    contents = {
        "a.csv": b"," * 1_000_000 + b"\n",
        "a.jsonl": ("{" + ",".join(f'"{name}":1' for name in names) + "}\n").encode(),
    }
    for key, content in contents.items():
        (tmp_path / key).write_bytes(content)
        with pytest.raises(DataError, match=r"it has [\d,]+ columns, at most 50,000 can be read"):
            open_object(key, tmp_path / key)
    pq.write_table(pa.table({name: pa.nulls(0, pa.int8()) for name in names}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has 50,001 columns, at most 50,000 can be read"):
        open_object("a.parquet", tmp_path / "a.parquet")


def test_a_line_with_many_fields_is_read_in_linear_time() -> None:
    fields = ",".join(f'"{number}":1' for number in range(200_000))
    row = read_row(f'{{{fields},"0":2}}'.encode())
    assert (len(row), row.duplicates) == (200_000, {"0"})
    with pytest.raises(NotARowError, match="is nested too deeply"):
        read_row(b'{"a":' * 100_000)
