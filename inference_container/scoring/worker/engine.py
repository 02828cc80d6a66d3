"""Scores one object with all models in one pass: each batch is decoded once, predicted, and written in order."""

import errno
import hashlib
import itertools
import os
import queue
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from contract.job.job_input import shared_input
from contract.job.scoring_spec import PinnedObject
from contract.layout import ContainerPaths
from contract.status import FailureKind
from scoring.errors import ConfigurationError, ScoringError, TransientError, one_line
from scoring.models import LoadedModel
from scoring.protocol import (
    Failure,
    JoinParts,
    ObjectDone,
    PartDone,
    ScoreObject,
    ScorePart,
    Task,
    WorkerSetup,
    worker_scratch,
)
from scoring.readers import open_object
from scoring.splice import SpliceSource
from scoring.worker.model_run import SharedModel, located
from scoring.worker.object_scoring import ObjectScoring, Places


class Engine:
    """All models of a job, loaded, and the places to read from and to write to."""

    def __init__(
        self, setup: WorkerSetup, models: list[LoadedModel], paths: ContainerPaths, log: Callable[[BaseException], None]
    ) -> None:
        self._setup = setup
        self._models = [SharedModel(spec, model) for spec, model in zip(setup.models, models, strict=True)]
        self._input = shared_input(setup.models)
        self._paths = paths
        self._scratch = worker_scratch(setup, os.getpid())
        self._folder_numbers = itertools.count()
        self._folders: queue.SimpleQueue[Path] = queue.SimpleQueue()
        """Those of objects that have ended."""
        self._log = log

    def carry_out(self, task: Task, predicted: Callable[[], None]) -> ObjectDone | PartDone:
        """Do what the task says, on several threads at once if need be.

        `predicted` is called when an object needs no more than the disk; not of one that fails before.
        """
        if isinstance(task, ScorePart):
            return self.score_part(task)
        if isinstance(task, JoinParts):
            return self.join_parts(task, predicted)
        return self.score(task, predicted)

    def score(self, task: ScoreObject, predicted: Callable[[], None] = lambda: None) -> ObjectDone:
        """Score an object and commit it for every model that could score it; the failures name the others.

        `batch_rows` is what memory is known to have room for; it changes no byte of any output.
        """
        started = time.monotonic()
        rows, failures = self._attempt(
            task.object, lambda scoring: scoring.score(self._models, task.threads, self._batch_rows(task)), predicted
        )
        return ObjectDone(task.object.key, rows, time.monotonic() - started, failures)

    def score_part(self, task: ScorePart) -> PartDone:
        """Predict a part of an object and set the predictions aside, where every worker finds them."""
        started = time.monotonic()
        folder, batch_rows = self._parts_folder(task.object), self._batch_rows(task)
        _, failures = self._attempt(
            task.object,
            lambda scoring: scoring.score_part(self._models, folder, task.part, task.parts, batch_rows),
            lambda: None,
        )
        return PartDone(task.object.key, task.part, time.monotonic() - started, failures)

    def join_parts(self, task: JoinParts, predicted: Callable[[], None] = lambda: None) -> ObjectDone:
        """Write and commit an object whose parts are all predicted."""
        started = time.monotonic()
        models = [model for model in self._models if model.spec.model_id not in task.failed_models]
        folder, batch_rows = self._parts_folder(task.object), self._batch_rows(task)
        rows, failures = self._attempt(
            task.object, lambda scoring: scoring.join_parts(models, folder, task.parts, batch_rows), predicted
        )
        shutil.rmtree(folder, ignore_errors=True)
        return ObjectDone(task.object.key, rows, time.monotonic() - started, failures)

    def _attempt(
        self, pinned: PinnedObject, work: Callable[[ObjectScoring], int], predicted: Callable[[], None]
    ) -> tuple[int, tuple[Failure, ...]]:
        """Open an object and do something with it; how many rows were read, and what failed."""
        rows = 0
        errors: Sequence[tuple[str, ScoringError]] = ()
        path = self._paths.data / pinned.key
        try:
            with self._folder() as scratch, open_object(pinned.key, path, self._input) as source:
                places = Places(self._paths, scratch)
                with SpliceSource(path) as file:
                    scoring = ObjectScoring(self._setup, pinned, source, file, places, predicted=predicted)
                    rows = work(scoring)
                    errors = scoring.errors
        except ScoringError as error:
            errors = [("", error)]
        except OSError as error:
            errors = [("", _not_written(pinned.key, error))]
        for _, reason in errors:
            self._log(reason)
        return rows, tuple(Failure(model_id, FailureKind(reason.kind), reason.text) for model_id, reason in errors)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder of one object's own: others are scored at the same time, and their files have the same names."""
        try:
            folder = self._folders.get_nowait()
        except queue.Empty:
            folder = self._scratch / str(next(self._folder_numbers))
        try:
            yield folder
        finally:
            self._folders.put(folder)

    def _batch_rows(self, task: Task) -> int:
        return task.batch_rows or self._setup.batch_rows

    def _parts_folder(self, pinned: PinnedObject) -> Path:
        # A digest, because a key may be longer than a file's name, and all keys of all objects lie in one folder.
        return Path(self._setup.scratch) / "parts" / hashlib.sha256(pinned.key.encode()).hexdigest()


def _not_written(key: str, error: OSError) -> ScoringError:
    text = f"object {key!r}: its output cannot be written ({one_line(error)})"
    cause: ScoringError = TransientError(text)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cause = ConfigurationError(f"{text}: raise the job's volume size, or score fewer objects an instance")
    return located(cause, error)
