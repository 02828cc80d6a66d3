"""Writes the commits of a job to segments of the ledger, many per file."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from contract.container_paths import ContainerPaths
from contract.job.ledger import (
    MAX_COMMIT_BYTES,
    MAX_SECONDS,
    Commit,
    FormatLoads,
    InstanceTimes,
    SegmentHeader,
    commit_line,
    segment_content,
)
from contract.planner.estimates import format_class
from scoring.errors import log_error
from scoring.files.moves import FileMove, ledger_error, move_into_place
from scoring.protocol import WorkerSetup

_FULL_COMMITS = 10_000
_FULL_BYTES = 4 << 20
"""Number and bytes of commits that fill a segment. With one more object of the longest commits, and
the header, it is smaller than the largest segment that is read."""
_MIN_SECONDS = 1.0
_MAX_SECONDS = 300.0
_SHARE_OF_RUN = 0.02
"""Age at which a commit is written: this share of the time since the start, but at least a second and
at most five minutes. So an attempt of five days writes fewer than 2,000 segments, and one that is
killed loses the commits of its last seconds or minutes."""


class CommitTooLongError(Exception):
    """The notes of a commit are too long for the ledger."""


class EncodedCommit(NamedTuple):
    """A commit as a line of a segment."""

    model_id: str
    line: bytes


def encode_commit(commit: Commit) -> EncodedCommit:
    """Return the line of a commit. Raises CommitTooLongError."""
    line = commit_line(commit)
    if len(line) > MAX_COMMIT_BYTES:
        raise CommitTooLongError
    return EncodedCommit(commit.model_id, line)


class SegmentWriter:
    """Collects commits, and writes them in segments. For any number of threads.

    Unfinished segments are in the folder `unfinished`, which no worker can enter.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        paths: ContainerPaths,
        unfinished: Path,
        *,
        host: str = "",
        started_at: str = "",
        is_copied: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup = setup
        self._versions = {spec.model_id: spec.version for spec in setup.models}
        self._folder = paths.ledger
        self._unfinished = unfinished
        self._host = host
        self._times = InstanceTimes(started_at) if started_at else None
        self._is_copied = is_copied
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._waiting: list[EncodedCommit] = []
        self._bytes = 0
        """Bytes of the waiting commits."""
        self._oldest = 0.0
        """Time of the first waiting commit, or of the last try to write it."""

    def record_loads(self, seconds: Sequence[float]) -> None:
        """Keep the time to load each model, of the first worker that says it."""
        times, models = self._times, self._setup.models
        # A worker may say anything, and models of a fleet have no time.
        is_known = len(seconds) == len(models) and all(0 <= each <= MAX_SECONDS for each in seconds)
        if times is None or times.loads or not is_known:
            return
        sums: dict[str, tuple[int, float]] = {}
        for model, each in zip(models, seconds, strict=True):
            name = format_class(model.format, model.artifact_bytes)
            count, total = sums.get(name, (0, 0.0))
            sums[name] = (count + 1, total + each)
        loads = tuple(FormatLoads(name, count, round(total, 6)) for name, (count, total) in sorted(sums.items()))
        with self._lock:
            self._times = replace(times, loads=loads)

    def add(self, commits: Iterable[EncodedCommit]) -> None:
        """Add commits whose outputs are in place; they are written when a segment is full or due."""
        with self._lock:
            for commit in commits:
                if not self._waiting:
                    self._oldest = self._clock()
                self._waiting.append(commit)
                self._bytes += len(commit.line)
                if len(self._waiting) == _FULL_COMMITS or self._bytes - len(commit.line) < _FULL_BYTES <= self._bytes:
                    self._try_to_write()

    def write_due(self, *, is_idle: bool) -> None:
        """Write the waiting commits if they are old enough or there is nothing else to do.

        If that fails, they keep waiting. `close` raises the error unless a later try succeeds.
        """
        with self._lock:
            now = self._clock()
            age = min(max(_MIN_SECONDS, _SHARE_OF_RUN * (now - self._started)), _MAX_SECONDS)
            due = self._oldest + age
            if self._waiting and (is_idle or now >= due):
                self._try_to_write()

    def close(self) -> None:
        """Write the waiting commits.

        Raises ScoringError when that fails; another attempt then scores their objects again.
        """
        with self._lock:
            try:
                self._write()
            except OSError as error:
                raise ledger_error(error) from error

    def _try_to_write(self) -> None:
        try:
            self._write()
        except OSError as error:
            log_error(error)
            self._oldest = self._clock()

    def _write(self) -> None:
        while self._waiting:
            commits = self._first_commits()
            versions = {commit.model_id: self._versions[commit.model_id] for commit in commits}
            header = SegmentHeader(self._setup.execution_id, self._setup.job_id, versions, self._host, self._times)
            name, content = segment_content(header, [commit.line for commit in commits])
            unfinished = self._unfinished / name
            unfinished.write_bytes(content)
            move_into_place([FileMove(unfinished, self._folder / name, self._is_copied)])
            # Last, so that a signal before it only writes the same segment again.
            self._waiting = self._waiting[len(commits) :]
            self._bytes = sum(len(commit.line) for commit in self._waiting)

    def _first_commits(self) -> list[EncodedCommit]:
        """Return the waiting commits of the next segment; more wait only after an error."""
        size = 0
        for count, commit in enumerate(self._waiting):
            if count == _FULL_COMMITS or size >= _FULL_BYTES:
                return self._waiting[:count]
            size += len(commit.line)
        return self._waiting
