"""The writer as the engine uses it: row counts, identical bytes for all batch sizes, clean-up."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.splice import SplicedWriter, SpliceError, SpliceSource, prediction_chunks
from scoring.splice.footer.new_footer import FooterExtension
from scoring.splice.footer.parsed_footer import read_footer
from tests.unit.scoring.splice.support.splicing import PREDICTIONS, predictions, splice

ROWS = 100


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.parquet"
    pq.write_table(pa.table({"id": range(ROWS)}), path, row_group_size=40, write_page_index=True)
    return path


@pytest.fixture(params=[prediction_chunks._MAX_BYTES_IN_MEMORY, -1], ids=["in memory", "in a file"])
def opened(source: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[SpliceSource]:
    monkeypatch.setattr(prediction_chunks, "_MAX_BYTES_IN_MEMORY", request.param)
    with SpliceSource(source) as opened:
        yield opened


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "spliced.parquet"


def arrays(table: pa.Table) -> list[pa.Array]:
    return [column.combine_chunks() for column in table.columns]


def test_the_output_begins_with_the_inputs_bytes(source: Path, out: Path) -> None:
    before = source.read_bytes()
    with source.open("rb") as file:
        end = read_footer(file).start
    splice(source, out, predictions(ROWS))
    assert out.read_bytes()[:end] == before[:end]
    assert source.read_bytes() == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["spliced.parquet"]


@pytest.mark.parametrize("rows", [0, 1, ROWS - 1])
def test_missing_rows_raise_an_error_and_leave_no_file(rows: int, opened: SpliceSource, out: Path) -> None:
    writer = SplicedWriter(out, opened, PREDICTIONS)
    writer.write(arrays(predictions(rows)))
    assert writer.rows == rows
    with pytest.raises(SpliceError, match=f"{rows} rows of predictions for the 100 rows"):
        writer.close()
    writer.discard()
    writer.discard()
    assert list(out.parent.iterdir()) == []


def test_too_many_rows_raise_an_error_immediately(opened: SpliceSource, out: Path) -> None:
    writer = SplicedWriter(out, opened, PREDICTIONS)
    writer.write(arrays(predictions(ROWS)))
    with pytest.raises(SpliceError, match="101 rows of predictions for the 100 rows"):
        writer.write(arrays(predictions(1)))
    writer.discard()


@pytest.mark.parametrize(
    "columns",
    [
        [pa.array([1.0]), pa.array(["x"])],
        [pa.array([1.0]), pa.array(["x"]), pa.array(["no number"])],
        [pa.array([1.0]), pa.array(["x"]), pa.array([1, 2])],
    ],
)
def test_columns_of_another_type_raise_an_error(columns: list[pa.Array], opened: SpliceSource, out: Path) -> None:
    writer = SplicedWriter(out, opened, PREDICTIONS)
    with pytest.raises(
        SpliceError, match=r"'score: double', 'label: string', 'class: int64'\] were expected, but rows 0 to 0"
    ):
        writer.write(columns)
    writer.discard()


def test_a_closed_writer_may_be_discarded_after_its_file_moved(opened: SpliceSource, out: Path) -> None:
    writer = SplicedWriter(out, opened, PREDICTIONS)
    writer.write(arrays(predictions(ROWS)))
    writer.close()
    out.rename(out.with_name("published"))
    writer.discard()
    assert pq.read_metadata(out.with_name("published")).num_rows == ROWS


def test_the_output_does_not_depend_on_batch_sizes(tmp_path: Path, out: Path) -> None:
    """Another attempt may use smaller batches but must write the same file."""
    rows = 90_000
    pq.write_table(pa.table({"id": range(rows)}), tmp_path / "large.parquet", row_group_size=70_000)
    columns = predictions(rows)
    first = splice(tmp_path / "large.parquet", out, columns, [rows]).read_bytes()
    for sizes in ([1_000], [7, 40_000], [65_536], [69_999, 1]):
        assert splice(tmp_path / "large.parquet", tmp_path / "again", columns, sizes).read_bytes() == first


def test_an_input_that_changes_meanwhile_raises_an_error(opened: SpliceSource, out: Path) -> None:
    writer = SplicedWriter(out, opened, PREDICTIONS)
    writer.write(arrays(predictions(ROWS)))
    with opened.path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SpliceError, match="was changed while it was scored"):
        writer.close()
    writer.discard()


def test_an_output_that_reads_differently_raises_an_error(
    opened: SpliceSource, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulates a bug that omits a row group."""
    real = FooterExtension.encode

    def forgetful(self: FooterExtension, chunks: Any) -> bytes:
        shorter = replace(self, source=replace(self.source, groups=self.source.groups[:-1]))
        return real(shorter, chunks[:-1])

    monkeypatch.setattr(FooterExtension, "encode", forgetful)
    writer = SplicedWriter(out, opened, PREDICTIONS)
    writer.write(arrays(predictions(ROWS)))
    with pytest.raises(SpliceError, match="does not read as expected"):
        writer.close()
    writer.discard()
    assert not out.exists()


def test_a_killed_process_leaves_no_temporary_file(source: Path, out: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from scoring.splice import SplicedWriter, SpliceSource\n"
        "from tests.unit.scoring.splice.support.splicing import PREDICTIONS, predictions\n"
        "writer = SplicedWriter(Path(sys.argv[2]), SpliceSource(Path(sys.argv[1])), PREDICTIONS)\n"
        "writer.write([column.combine_chunks() for column in predictions(50).columns])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code, str(source), str(out)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(out.parent.iterdir()) == []


def test_memory_does_not_depend_on_row_group_size(tmp_path: Path, out: Path) -> None:
    """The file is one row group, of which at most one part is in memory."""
    rows = 400_000
    pq.write_table(pa.table({"id": pa.array(range(rows), pa.int32())}), tmp_path / "big.parquet", row_group_size=rows)
    names = [pa.field(f"p{i}", pa.float64()) for i in range(20)]
    with SpliceSource(tmp_path / "big.parquet") as opened:
        writer = SplicedWriter(out, opened, names)
        batch = [pa.array([float(row) for row in range(10_000)])] * len(names)
        before, most = pa.total_allocated_bytes(), 0
        for _ in range(rows // 10_000):
            writer.write(batch)
            most = max(most, pa.total_allocated_bytes() - before)
        writer.close()
    # Encoded at once, they take 64 MB.
    assert most < 3 * prediction_chunks._PART_BYTES
    assert pq.read_metadata(out).row_group(0).column(1).num_values == rows
