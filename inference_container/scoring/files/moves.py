"""Output files that appear complete or not at all."""

import errno
import functools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scoring.errors import (
    MORE_ROOM,
    ConfigurationError,
    ScoringError,
    TransientError,
    describe_error,
    is_disk_full,
    with_cause,
)
from scoring.files.new_file import new_file
from scoring.files.ranges import append_range

_CONCURRENT_COPIES = 16


@dataclass(frozen=True)
class FileMove:
    """A finished file and the path that it moves to.

    Unfinished files stay in a separate folder, because SageMaker uploads whatever it finds in an
    output folder while the job runs.
    """

    finished: Path
    target: Path
    is_copied: bool = False
    """Whether the target is on another mount, so that the file cannot be renamed."""


def move_into_place(moves: Sequence[FileMove]) -> None:
    """Move files to their targets; each appears there when it is complete.

    Files on another mount are copied concurrently. Nothing waits for the disk: it ends with the
    instance, and VerifyOutput finds what did not reach S3.
    """
    copied = [move for move in moves if move.is_copied]
    _wait([_threads().submit(_copy, move) for move in copied])
    for move in moves:
        if not move.is_copied:
            move.target.parent.mkdir(parents=True, exist_ok=True)
            _rename(move)


def write_error(key: str, error: OSError) -> ScoringError:
    """Return the failure of an object whose output cannot be written."""
    return _write_error(f"object {key!r}: its output", error)


def ledger_error(error: OSError) -> ScoringError:
    """Return the failure of a job whose commits cannot be written."""
    return _write_error("the ledger", error)


def _write_error(what: str, error: OSError) -> ScoringError:
    text = f"{what} cannot be written ({describe_error(error)})"
    reason: ScoringError = TransientError(text)
    if is_disk_full(error):
        reason = ConfigurationError(f"{text}: {MORE_ROOM}, or score fewer objects per instance")
    return with_cause(reason, error)


def _rename(move: FileMove) -> None:
    try:
        move.finished.replace(move.target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(move)


def _copy(move: FileMove) -> None:
    with move.finished.open("rb", buffering=0) as source, new_file(move.target) as copy:
        append_range(source.fileno(), copy.fileno(), 0, os.fstat(source.fileno()).st_size)
    move.finished.unlink()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that copy files to other mounts."""
    return ThreadPoolExecutor(_CONCURRENT_COPIES, thread_name_prefix="copy")


def _wait(futures: Iterable[Future[None]]) -> None:
    """Wait for all futures, and raise the first exception."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
