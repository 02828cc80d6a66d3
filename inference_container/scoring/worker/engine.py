"""Runs one task: opens the object, scores it with all models and reports what failed."""

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
from scoring.errors import ConfigurationError, ScoringError, TransientError, describe_error
from scoring.models import LoadedModel
from scoring.protocol import (
    Failure,
    MergeParts,
    ObjectDone,
    PartDone,
    PredictPart,
    ScoreObject,
    Task,
    WorkerSetup,
    worker_scratch,
)
from scoring.readers import open_object
from scoring.splice import SpliceSource
from scoring.worker.object_predictor import ThreadSafeModel, with_cause
from scoring.worker.object_scoring import ObjectScoring, OutputFolders


class Engine:
    """All loaded models of a job, and the folders to read from and write to. Thread-safe."""

    def __init__(
        self, setup: WorkerSetup, models: list[LoadedModel], paths: ContainerPaths, log: Callable[[BaseException], None]
    ) -> None:
        self._setup = setup
        self._models = [ThreadSafeModel(spec, model) for spec, model in zip(setup.models, models, strict=True)]
        self._input = shared_input(setup.models)
        self._paths = paths
        self._scratch = worker_scratch(setup, os.getpid())
        self._folder_numbers = itertools.count()
        self._free_folders: queue.SimpleQueue[Path] = queue.SimpleQueue()
        """Scratch folders of objects that have ended, for reuse."""
        self._log = log

    def run_task(self, task: Task, on_predicted: Callable[[], None]) -> ObjectDone | PartDone:
        """Run a task and return its outcome.

        `on_predicted` is called once all outputs of an object are written and only have to be
        flushed to disk. It is not called for an object that fails earlier.
        """
        if isinstance(task, PredictPart):
            return self.predict_part(task)
        if isinstance(task, MergeParts):
            return self.merge_parts(task, on_predicted)
        return self.score(task, on_predicted)

    def score(self, task: ScoreObject, on_predicted: Callable[[], None] = lambda: None) -> ObjectDone:
        """Score an object and commit it for every model that can score it; failures name the rest.

        The task's `batch_rows` limits memory; it changes no byte of any output.
        """
        started = time.monotonic()
        rows, failures = self._open_and_run(
            task.object, lambda scoring: scoring.score(self._models, task.threads, self._batch_rows(task)), on_predicted
        )
        return ObjectDone(task.object.key, rows, time.monotonic() - started, failures)

    def predict_part(self, task: PredictPart) -> PartDone:
        """Predict a part of an object, and store the predictions for the worker that merges them."""
        started = time.monotonic()
        folder, batch_rows = self._parts_folder(task.object), self._batch_rows(task)
        _, failures = self._open_and_run(
            task.object,
            lambda scoring: scoring.predict_part(self._models, folder, task.part, task.parts, batch_rows),
            lambda: None,
        )
        return PartDone(task.object.key, task.part, time.monotonic() - started, failures)

    def merge_parts(self, task: MergeParts, on_predicted: Callable[[], None] = lambda: None) -> ObjectDone:
        """Write and commit an object whose parts are all predicted."""
        started = time.monotonic()
        models = [model for model in self._models if model.spec.model_id not in task.failed_models]
        folder, batch_rows = self._parts_folder(task.object), self._batch_rows(task)
        rows, failures = self._open_and_run(
            task.object, lambda scoring: scoring.merge_parts(models, folder, task.parts, batch_rows), on_predicted
        )
        shutil.rmtree(folder, ignore_errors=True)
        return ObjectDone(task.object.key, rows, time.monotonic() - started, failures)

    def _open_and_run(
        self, pinned: PinnedObject, work: Callable[[ObjectScoring], int], on_predicted: Callable[[], None]
    ) -> tuple[int, tuple[Failure, ...]]:
        """Open an object and run `work` on it. Returns the rows read and the failures."""
        rows = 0
        errors: Sequence[tuple[str, ScoringError]] = ()
        path = self._paths.data / pinned.key
        try:
            with self._scratch_folder() as scratch, open_object(pinned.key, path, self._input) as source:
                folders = OutputFolders(self._paths, scratch)
                with SpliceSource(path) as file:
                    scoring = ObjectScoring(self._setup, pinned, source, file, folders, on_predicted=on_predicted)
                    rows = work(scoring)
                    errors = scoring.errors
        except ScoringError as error:
            errors = [("", error)]
        except OSError as error:
            errors = [("", _write_error(pinned.key, error))]
        for _, reason in errors:
            self._log(reason)
        return rows, tuple(Failure(model_id, FailureKind(reason.kind), reason.text) for model_id, reason in errors)

    @contextmanager
    def _scratch_folder(self) -> Iterator[Path]:
        """Yield a folder for one object, because concurrent objects use the same file names."""
        try:
            folder = self._free_folders.get_nowait()
        except queue.Empty:
            folder = self._scratch / str(next(self._folder_numbers))
        try:
            yield folder
        finally:
            self._free_folders.put(folder)

    def _batch_rows(self, task: Task) -> int:
        return task.batch_rows or self._setup.batch_rows

    def _parts_folder(self, pinned: PinnedObject) -> Path:
        # A digest, because a key may be longer than a file name can be, and may contain slashes.
        return Path(self._setup.scratch) / "parts" / hashlib.sha256(pinned.key.encode()).hexdigest()


def _write_error(key: str, error: OSError) -> ScoringError:
    text = f"object {key!r}: its output cannot be written ({describe_error(error)})"
    reason: ScoringError = TransientError(text)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = ConfigurationError(f"{text}: raise the job's volume size, or score fewer objects per instance")
    return with_cause(reason, error)
