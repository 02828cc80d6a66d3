"""Commits the objects that workers have written, in threads. No other module writes outputs into place."""

import itertools
import os
import queue
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from contract.catalog.model_spec import ModelSpec
from contract.container_paths import ContainerPaths
from contract.control_characters import replace_control_characters
from contract.job.ledger import MAX_SECONDS, Commit, OutputFile
from contract.job.scoring_spec import PinnedObject
from contract.layout import QUARANTINE_FORMAT, OutputKind, is_shared_output, output_key, output_name
from scoring.commits.rules import BrokenRuleError, checked_outputs
from scoring.commits.segments import CommitTooLongError, SegmentWriter, encode_commit
from scoring.commits.takeover import TakeoverError, take_file, take_folder
from scoring.errors import ScoringError, log_error
from scoring.files.moves import FileMove, move_into_place, write_error
from scoring.files.scratch import renames
from scoring.protocol import (
    Failure,
    GroupWritten,
    ObjectDone,
    ObjectTask,
    ObjectWritten,
    ScoreGroup,
    ScoreObject,
    WorkerSetup,
    WrittenFile,
    WrittenOutput,
    joined_file,
    predictions_file,
    quarantine_file,
    unforeseen_failure,
)
from scoring.separation.file_modes import delete_tree
from scoring.separation.worker_user import WorkerUser

_THREADS = 8
"""Largest number of concurrent commits; most of their time they wait for the disk."""
_MAX_REASON_CHARACTERS = 4_000


@dataclass(frozen=True)
class _Written:
    """An object that a worker has written, with the outputs that follow the rules."""

    pinned: PinnedObject
    place: int
    """Position of the object in its group, which the names of its files begin with."""
    written: ObjectWritten
    outputs: Sequence[tuple[ModelSpec, WrittenOutput]]


class ObjectCommits:
    """Commits objects in threads. The descriptor `fileno()` is readable when `ended` has objects.

    `staging` is a new folder that the workers cannot enter. `host` is the name of this instance,
    whose container has started at `started_at`.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        paths: ContainerPaths,
        staging: Path,
        user: WorkerUser | None,
        *,
        host: str = "",
        started_at: str = "",
    ) -> None:
        self._setup = setup
        self._paths = paths
        self._staging = staging
        self._user = user
        self._numbers = itertools.count()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="commit")
        self._ended: queue.SimpleQueue[tuple[ObjectDone, Path]] = queue.SimpleQueue()
        self._notice_reader, self._notice_writer = os.pipe()
        """Pipe with one byte per object or group that has ended."""
        self.pending = 0
        """Number of objects whose end `ended` has not returned yet."""
        staging.mkdir(mode=0o700)
        self._copied = {
            folder: not renames(staging, folder) for folder in (paths.predictions, paths.quarantine, paths.ledger)
        }
        """Whether files must be copied, per output folder, because it is on another mount."""
        segments = staging / "segments"
        segments.mkdir()
        self._segments = SegmentWriter(
            setup, paths, segments, host=host, started_at=started_at, is_copied=self._copied[paths.ledger]
        )

    def fileno(self) -> int:
        return self._notice_reader

    def close(self) -> None:
        """Wait for the commits in progress, and write the ledger's last segment.

        Raises ScoringError when it cannot be written.
        """
        self._threads.shutdown(cancel_futures=True)
        os.close(self._notice_reader)
        os.close(self._notice_writer)
        self._segments.close()

    def record_loads(self, seconds: Sequence[float]) -> None:
        """Keep the time to load each model for the ledger."""
        self._segments.record_loads(seconds)

    def write_due(self, *, is_idle: bool) -> None:
        """Write the commits that have waited long enough to the ledger; all of them when `is_idle`."""
        self._segments.write_due(is_idle=is_idle)

    def start(self, task: ObjectTask, written: ObjectWritten, folder: Path) -> None:
        """Commit an object that a worker has written below the worker's `folder`.

        The files are taken over before this returns, so the worker may end.
        """
        self._start([(task, written)], written.folder, folder)

    def start_group(self, task: ScoreGroup, group: GroupWritten, folder: Path) -> None:
        """Commit the objects of a group, as `start` does; what is wrong with one fails only this one."""
        alone = [ScoreObject(pinned, 1) for pinned in task.objects]
        self._start(list(zip(alone, group.objects, strict=True)), group.folder, folder)

    def _start(self, members: Sequence[tuple[ObjectTask, ObjectWritten]], name: str, folder: Path) -> None:
        started = time.monotonic()
        self.pending += len(members)
        accepted: list[_Written] = []
        ended: list[ObjectDone] = []
        for place, (task, written) in enumerate(members):
            try:
                outputs = checked_outputs(self._setup, task, written, name)
            except ScoringError as error:
                ended.append(_failed(task.object.key, written, error))
            else:
                accepted.append(_Written(task.object, place, written, outputs))
        target = self._staging / str(next(self._numbers))
        try:
            if any(each.outputs for each in accepted):
                take_folder(folder / name, target, self._user)
        except (TakeoverError, OSError) as error:
            for each in accepted:
                key = each.pinned.key
                reason = BrokenRuleError(key, str(error)) if isinstance(error, TakeoverError) else error
                ended.append(_failed(key, each.written, reason))
            accepted = []
        self._end(ended, folder)
        if accepted:
            self._threads.submit(self._commit_all, accepted, target, folder, started)

    def _commit_all(self, members: Sequence[_Written], taken: Path, folder: Path, started: float) -> None:
        ended = []
        try:
            for each in members:
                try:
                    self._commit(each, taken)
                    seconds = (time.monotonic() - started) / len(members)
                    ended.append(_done(each.pinned.key, each.written, seconds))
                # An unforeseen error fails only this object.
                except Exception as error:
                    ended.append(_failed(each.pinned.key, each.written, error))
        finally:
            delete_tree(taken)
            self._end(ended, folder)

    def ended(self) -> list[tuple[ObjectDone, Path]]:
        """Return the objects that have ended since the last call, each with its worker's folder.

        Waits until there is one.
        """
        os.read(self._notice_reader, 1 << 16)
        found = []
        while not self._ended.empty():
            found.append(self._ended.get())
        self.pending -= len(found)
        return found

    def _end(self, ended: Sequence[ObjectDone], folder: Path) -> None:
        for done in ended:
            self._ended.put((done, folder))
        if ended:
            os.write(self._notice_writer, b"x")

    def _commit(self, each: _Written, taken: Path) -> None:
        """Move all files of an object into place, then add its commits to the ledger.

        Raises BrokenRuleError or OSError; then nothing of the object is committed.
        """
        try:
            moves: dict[Path, FileMove] = {}
            commits = [encode_commit(self._prepare(each, taken, spec, output, moves)) for spec, output in each.outputs]
            move_into_place(list(moves.values()))
            self._segments.add(commits)
        except CommitTooLongError as error:
            raise BrokenRuleError(each.pinned.key, "its notes are too long for the ledger") from error

    def _prepare(
        self, each: _Written, taken: Path, spec: ModelSpec, output: WrittenOutput, moves: dict[Path, FileMove]
    ) -> Commit:
        """Take over a model's files, add their moves by path, and return the commit.

        Models of a joined output name the same file, which is moved once.
        """
        paths, pinned = self._paths, each.pinned
        described: list[OutputFile] = []

        def add(kind: OutputKind, file: WrittenFile, name: str, target: str, folder: Path) -> None:
            path = taken / name
            key = target if is_shared_output(kind, self._setup.output_layout) else output_key(spec.model_id, target)
            described.append(OutputFile(kind, key, file.bytes, file.crc64nvme))
            if path in moves:
                return
            try:
                take_file(path, file.bytes, self._user)
            except TakeoverError as error:
                raise BrokenRuleError(pinned.key, str(error), spec) from error
            moves[path] = FileMove(path, folder / key, self._copied[folder])

        target = output_name(pinned.key, spec.output_format)
        if output.predictions is not None:
            is_joined = self._setup.output_layout == "joined"
            name = joined_file(spec.output_format, each.place) if is_joined else predictions_file(spec, each.place)
            add("predictions", output.predictions, name, target, paths.predictions)
        if output.quarantine is not None:
            target = output_name(pinned.key, QUARANTINE_FORMAT)
            add("quarantine", output.quarantine, quarantine_file(spec, each.place), target, paths.quarantine)
        return Commit(
            model_id=spec.model_id,
            object=pinned.key,
            etag=pinned.etag,
            rows_in=output.rows_in,
            rows_scored=output.rows_scored,
            rows_quarantined=output.rows_quarantined,
            outputs=tuple(described),
            writer=replace_control_characters(output.writer),
            keys=output.keys,
            notes=tuple(map(replace_control_characters, output.notes)),
            rows_skipped=output.rows_skipped,
            counts={replace_control_characters(note): count for note, count in output.counts.items()},
            seconds=round(min(output.seconds + each.written.common_seconds, MAX_SECONDS), 6),
        )


def _done(key: str, written: ObjectWritten, seconds: float) -> ObjectDone:
    failures = tuple(
        Failure(failure.model_id, failure.kind, failure.text[:_MAX_REASON_CHARACTERS]) for failure in written.failures
    )
    return ObjectDone(key, written.rows, written.seconds + seconds, failures)


def _failed(key: str, written: ObjectWritten, error: Exception) -> ObjectDone:
    """Return the end of an object of which nothing is committed."""
    log_error(error)
    if isinstance(error, OSError):
        error = write_error(key, error)
    if isinstance(error, ScoringError):
        return ObjectDone(key, 0, written.seconds, (Failure("", error.kind, error.text),))
    return ObjectDone(key, 0, written.seconds, (unforeseen_failure(key, error),))
