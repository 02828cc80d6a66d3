"""Output files that appear complete or not at all."""

import errno
import functools
import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.layout import unfinished_name
from scoring.errors import ConfigurationError, ScoringError, TransientError, describe_error, with_cause

_CONCURRENT_SYNCS = 16


@dataclass(frozen=True)
class FileMove:
    """A finished file and the path that it moves to.

    Unfinished files stay in a separate folder, because SageMaker uploads whatever it finds in an
    output folder while the job runs.
    """

    finished: Path
    target: Path


def publish(finished: Path, target: Path) -> None:
    """Move a finished file to its target so that it survives a crash right afterwards."""
    fsync_all([finished])
    move_into_place([FileMove(finished, target)])


def fsync_all(paths: Collection[Path]) -> None:
    """Flush files or folders to disk, concurrently, so that one journal write serves them all."""
    if len(paths) == 1:
        _fsync(next(iter(paths)))
        return
    for done in [_fsync_threads().submit(_fsync, path) for path in paths]:
        done.result()


def move_into_place(moves: Sequence[FileMove]) -> None:
    """Move files, which the caller has flushed, to their targets and flush the target folders."""
    for move in moves:
        move.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            move.finished.replace(move.target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The output folder is a separate mount: only a file inside it can be renamed.
            copy = move.target.with_name(unfinished_name(move.target.name))
            shutil.copyfile(move.finished, copy)
            _fsync(copy)
            copy.replace(move.target)
            move.finished.unlink()
    fsync_all({move.target.parent for move in moves})


def write_error(key: str, error: OSError) -> ScoringError:
    """Return the failure of an object whose output cannot be written."""
    text = f"object {key!r}: its output cannot be written ({describe_error(error)})"
    reason: ScoringError = TransientError(text)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = ConfigurationError(f"{text}: raise the job's volume size, or score fewer objects per instance")
    return with_cause(reason, error)


@functools.cache
def _fsync_threads() -> ThreadPoolExecutor:
    """Return the thread pool for fsync calls."""
    return ThreadPoolExecutor(_CONCURRENT_SYNCS, thread_name_prefix="sync")


@dataclass(frozen=True)
class PrefixDigest:
    """The SHA-256 state of a file's first bytes, which are copied from another file."""

    state: Any
    """A `hashlib` object; copied, never updated."""
    bytes: int


def digest_of(path: Path, prefix: PrefixDigest | None = None) -> str:
    """Return a file's SHA-256 in hex; only the bytes after `prefix` are read."""
    digest = prefix.state.copy() if prefix else hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        file.seek(prefix.bytes if prefix else 0)
        hashlib.file_digest(file, lambda: digest)
    return str(digest.hexdigest())


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
