"""Output files that appear complete or not at all."""

import contextlib
import errno
import functools
import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from contract.job.ledger import OutputFile

_FILES_AT_ONCE = 8


@dataclass(frozen=True)
class Move:
    """A finished file and its place.

    Unfinished files lie in a folder of their own and not beside their target, because SageMaker uploads whatever it
    sees in an output folder while the job runs.
    """

    finished: Path
    target: Path


def publish(finished: Path, target: Path) -> None:
    """Move a finished file to its place, so that it survives a crash right afterwards."""
    sync([finished])
    place([Move(finished, target)])


def sync(paths: Collection[Path]) -> None:
    """Let files or folders survive a crash; together, because the disk's journal is then written once for them all."""
    if len(paths) == 1:
        _sync(next(iter(paths)))
        return
    for done in [_syncing().submit(_sync, path) for path in paths]:
        done.result()


def place(moves: Sequence[Move]) -> None:
    """Move files that are safe from a crash to their places, where they are safe from it too."""
    for move in moves:
        move.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            move.finished.replace(move.target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The output folder is a mount of its own: only a name inside it can be renamed into place.
            beside = move.target.with_name(f".{move.target.name}.unfinished")
            shutil.copyfile(move.finished, beside)
            _sync(beside)
            beside.replace(move.target)
            move.finished.unlink()
    sync({move.target.parent for move in moves})


@functools.cache
def _syncing() -> ThreadPoolExecutor:
    """Threads that wait for the disk and compute nothing."""
    return ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="sync")


@dataclass(frozen=True)
class BegunDigest:
    """The SHA-256 of a file's first bytes, where these are known to be those of another file."""

    state: Any
    """As hashlib has it; it is never changed, only copied."""
    bytes: int


def describe(
    kind: Literal["predictions", "quarantine"], key: str, path: Path, begun: BegunDigest | None = None
) -> OutputFile:
    """What a marker says about a file of the output, read from the file itself behind what is `begun`."""
    digest = begun.state.copy() if begun else hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        file.seek(begun.bytes if begun else 0)
        hashlib.file_digest(file, lambda: digest)
    return OutputFile(kind=kind, key=key, bytes=path.stat().st_size, sha256=digest.hexdigest())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ParquetSink:
    """One output object while it is written, in row groups of `group_rows` rows however it is cut into batches.

    So a unit that is tried again with smaller batches gives the same bytes, and memory is bounded by a row group.
    `dictionary_columns` are Parquet column paths. Only text gains from dictionary encoding; for numbers it costs
    more than all other encoding work together.
    """

    def __init__(self, path: Path, schema: pa.Schema, dictionary_columns: list[str], group_rows: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, schema, use_dictionary=dictionary_columns or False, compression="snappy")
        self._schema = schema
        self._group_rows = group_rows
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.rows = 0

    def begun_digest(self) -> None:
        """Nothing of it is known from elsewhere."""

    def write(self, columns: list[Any]) -> None:
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self.rows += table.num_rows
        start = 0
        while self._waiting_rows + table.num_rows - start >= self._group_rows:
            stop = start + self._group_rows - self._waiting_rows
            self._waiting.append(table.slice(start, stop - start))
            self._write_group()
            start = stop
        if start < table.num_rows:
            self._waiting.append(table.slice(start))
            self._waiting_rows += table.num_rows - start

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        self._writer.close()

    def discard(self) -> None:
        """Close and remove the file; safe to call at any time."""
        # A writer that failed half-way cannot write its footer; the file goes away all the same.
        with contextlib.suppress(OSError, ValueError):
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _write_group(self) -> None:
        table = self._waiting[0]
        if len(self._waiting) > 1:
            # In one piece: where pages end would else depend on where the batches did.
            table = pa.concat_tables(self._waiting).combine_chunks()
        self._waiting, self._waiting_rows = [], 0
        self._writer.write_table(table, row_group_size=table.num_rows)
