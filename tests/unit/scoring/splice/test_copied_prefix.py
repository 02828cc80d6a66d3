"""Copying and hashing in the background gives the same file, and leaves no file if stopped."""

import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.files.digests import NOTHING, extended
from scoring.splice import SplicedWriter, SpliceError, SpliceSource, copied_prefix
from tests.unit.scoring.splice.support.splicing import PREDICTIONS, predictions, splice

ROWS = 5_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.parquet"
    pq.write_table(pa.table({"id": range(ROWS)}), path, row_group_size=1_500)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "spliced.parquet"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copied_prefix, "_STEP_BYTES", 1_000)


def arrays(rows: int) -> list[pa.Array]:
    return [column.combine_chunks() for column in predictions(rows).columns]


class Gate:
    """Blocks copying after its start until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        self.copied = 0
        real = copied_prefix.append_range

        def append_range(source: int, target: int, start: int, count: int) -> None:
            real(source, target, start, count)
            self.copied += count
            self.begun.set()
            assert self.open.wait(30)

        monkeypatch.setattr(copied_prefix, "append_range", append_range)


def test_background_copies_give_the_same_file_and_digest(source: Path, out: Path, pool: ThreadPoolExecutor) -> None:
    expected = splice(source, out.with_name("expected"), predictions(ROWS)).read_bytes()
    with SpliceSource(source) as opened:
        sinks = [SplicedWriter(out.with_name(name), opened, PREDICTIONS) for name in ("first", "second")]
        for sink in sinks:
            sink.start_copying(pool)
        for sink in sinks:
            sink.write(arrays(ROWS))
            sink.close()
            assert sink.path.read_bytes() == expected
            begun = sink.prefix_digest()
            assert begun == extended(NOTHING, expected[: begun.bytes])
            assert begun.bytes == opened.footer.start
            sink.discard()


def test_files_written_from_memory_are_the_same_and_their_digest_is_known(source: Path, out: Path) -> None:
    expected = splice(source, out.with_name("expected"), predictions(ROWS)).read_bytes()
    with SpliceSource(source, in_memory=True) as opened:
        sink = SplicedWriter(out, opened, PREDICTIONS)
        sink.write(arrays(ROWS))
        sink.close()
        assert out.read_bytes() == expected
        assert sink.prefix_digest() == extended(NOTHING, expected)


def test_a_file_in_memory_that_changes_on_disk_is_refused(source: Path, out: Path) -> None:
    with SpliceSource(source, in_memory=True) as opened:
        sink = SplicedWriter(out, opened, PREDICTIONS)
        sink.write(arrays(ROWS))
        source.write_bytes(source.read_bytes() + b"more")
        with pytest.raises(SpliceError, match="was changed while it was scored"):
            sink.close()
        sink.discard()
        assert not out.exists()


def test_copies_that_did_not_start_are_made_on_close(source: Path, out: Path) -> None:
    expected = splice(source, out.with_name("expected"), predictions(ROWS)).read_bytes()
    pool, busy = ThreadPoolExecutor(1), threading.Event()
    pool.submit(busy.wait, 30)
    with SpliceSource(source) as opened:
        sink = SplicedWriter(out, opened, PREDICTIONS)
        sink.start_copying(pool)
        pool.shutdown(wait=False, cancel_futures=True)
        sink.write(arrays(ROWS))
        sink.close()
        assert out.read_bytes() == expected
        assert opened.digest == extended(NOTHING, expected[: opened.footer.start])
    busy.set()


def test_discarding_stops_the_copy(
    source: Path, out: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with SpliceSource(source) as opened:
        sink = SplicedWriter(out, opened, PREDICTIONS)
        sink.start_copying(pool)
        assert gate.begun.wait(30)
        threading.Timer(0.1, gate.open.set).start()
        sink.discard()
        assert gate.copied == 1_000
        assert opened.footer.start > 10_000
        assert list(out.parent.iterdir()) == []
        sink.discard()


def test_closing_the_source_waits_for_hashing(
    source: Path, out: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another file could get the descriptor that is being read."""
    begun, go_on, read_closed = threading.Event(), threading.Event(), []
    real = os.pread

    with SpliceSource(source) as opened:
        assert opened.footer.start > 0

        def pread(descriptor: int, count: int, offset: int) -> bytes:
            begun.set()
            assert go_on.wait(30)
            read_closed.append(opened.file.closed)
            return real(descriptor, count, offset)

        monkeypatch.setattr(os, "pread", pread)
        opened.start_hashing(pool)
        assert begun.wait(30)
        threading.Timer(0.1, go_on.set).start()
    assert read_closed == [False]
    assert opened.file.closed


def test_a_full_disk_is_reported_on_close(
    source: Path, out: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(copied_prefix, "append_range", full)
    with SpliceSource(source) as opened:
        sink = SplicedWriter(out, opened, PREDICTIONS)
        sink.start_copying(pool)
        sink.write(arrays(ROWS))
        with pytest.raises(OSError, match="No space left"):
            sink.close()
        sink.discard()
    assert list(out.parent.iterdir()) == []
