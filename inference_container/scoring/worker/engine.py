"""Runs one task: opens the object, scores it with all models and reports what failed."""

import hashlib
import itertools
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contract.catalog.routes import SKIP
from contract.job.job_input import JobInput, shared_input
from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.errors import LateFieldsError, ScoringError
from scoring.files.moves import write_error
from scoring.models import LoadedModel
from scoring.protocol import (
    Failure,
    GroupWritten,
    MergeParts,
    ObjectTask,
    ObjectWritten,
    PartDone,
    PredictPart,
    ScoreGroup,
    ScoreObject,
    Task,
    WorkerSetup,
    WrittenOutput,
    unforeseen_failure,
)
from scoring.readers import InputObject, open_object
from scoring.splice import SpliceSource
from scoring.worker.group_scoring import GroupScoring
from scoring.worker.joined_scoring import JoinedScoring, joined_outputs
from scoring.worker.object_predictor import ThreadSafeModel
from scoring.worker.object_scoring import ObjectScoring


@dataclass(frozen=True)
class _Done:
    """What was read of an object and written for it."""

    rows: int
    outputs: Sequence[WrittenOutput]
    failures: tuple[Failure, ...]
    threads: int


def _common_seconds(total: float, *written: Sequence[WrittenOutput]) -> float:
    """Return the part of each output in what is left of the time, without what was spent for one model alone."""
    own = sum(output.seconds for outputs in written for output in outputs)
    return max(total - own, 0.0) / max(sum(map(len, written)), 1)


class Engine:
    """All loaded models of a job, and the folders to read from and write to. Thread-safe.

    It writes below the worker's own folder only; the supervisor commits.
    """

    def __init__(self, setup: WorkerSetup, models: list[LoadedModel], log: Callable[[BaseException], None]) -> None:
        self._setup = setup
        outputs = joined_outputs(setup, models) if setup.output_layout == "joined" else [None] * len(models)
        self._models = [
            ThreadSafeModel(spec, model, own) for spec, model, own in zip(setup.models, models, outputs, strict=True)
        ]
        same = {model.features: model.features for model in self._models}
        for model in self._models:
            model.features = same[model.features]
        fleet = None if setup.fleet is None else setup.fleet.spec
        skipped_by = fleet.route_by if fleet is not None and fleet.unmatched == SKIP else ""
        self._input = replace(shared_input(setup.models), skipped_by=skipped_by)
        self._scratch = Path(setup.scratch)
        self._folder_numbers = itertools.count()
        self._log = log

    def run_task(self, task: Task) -> ObjectWritten | GroupWritten | PartDone:
        """Run a task and return its outcome."""
        if isinstance(task, ScoreGroup):
            return self.score_group(task)
        if isinstance(task, PredictPart):
            return self.predict_part(task)
        if isinstance(task, MergeParts):
            return self.merge_parts(task)
        return self.score(task)

    def score(self, task: ScoreObject) -> ObjectWritten:
        """Score an object and write it for every model that can score it; failures name the rest.

        The task's `batch_rows` limits memory; it changes no byte of any output.
        """
        return self._write(task, lambda scoring: scoring.score(self._models, task.threads, self._batch_rows(task)))

    def predict_part(self, task: PredictPart) -> PartDone:
        """Predict a part of an object, and store the predictions for the worker that merges them."""
        started = time.monotonic()
        folder, batch_rows = self._parts_folder(task.object), self._batch_rows(task)
        done = self._open_and_run(
            task.object,
            self._scratch,
            lambda scoring: scoring.predict_part(self._models, folder, task.part, task.parts, batch_rows),
        )
        return PartDone(task.object.key, task.part, time.monotonic() - started, done.failures)

    def merge_parts(self, task: MergeParts) -> ObjectWritten:
        """Write an object whose parts are all predicted."""
        models = [model for model in self._models if model.spec.model_id not in task.failed_models]
        folder, batch_rows = self._parts_folder(task.object), self._batch_rows(task)
        written = self._write(task, lambda scoring: scoring.merge_parts(models, folder, task.parts, batch_rows))
        shutil.rmtree(folder, ignore_errors=True)
        return written

    def score_group(self, task: ScoreGroup) -> GroupWritten:
        """Score small objects and write them; see `score`. All files are in one folder."""
        started = time.monotonic()
        name = str(next(self._folder_numbers))
        folder, batch_rows = self._scratch / name, self._batch_rows(task)

        def score_alone(place: int) -> ObjectWritten:
            pinned = task.objects[place]
            try:
                done = self._open_and_run(
                    pinned, folder, lambda scoring: scoring.score(self._models, 1, batch_rows), place
                )
            # An unforeseen error fails only this object.
            except Exception as error:
                self._log(error)
                return ObjectWritten(pinned.key, name, 0, 0.0, failures=(unforeseen_failure(pinned.key, error),))
            return ObjectWritten(pinned.key, name, done.rows, 0.0, tuple(done.outputs), done.failures)

        def describe(place: int, rows: int, scoring: ObjectScoring) -> ObjectWritten:
            failures = self._failures(scoring.errors)
            return ObjectWritten(task.objects[place].key, name, rows, 0.0, tuple(scoring.written), failures)

        group = GroupScoring(
            Path(self._setup.data),
            self._models,
            self._input,
            open_scoring=lambda place, source, file: self._scoring(task.objects[place], source, file, folder, place),
            batch_rows=batch_rows,
            score_alone=score_alone,
            describe=describe,
        )
        written = group.score(task.objects)
        if not any(each.outputs for each in written):
            shutil.rmtree(folder, ignore_errors=True)
        seconds = time.monotonic() - started
        common = _common_seconds(seconds, *(each.outputs for each in written))
        shares = tuple(replace(each, seconds=seconds / len(written), common_seconds=common) for each in written)
        return GroupWritten(name, shares, seconds)

    def _write(self, task: ObjectTask, work: Callable[[ObjectScoring], int]) -> ObjectWritten:
        """Run a task that writes outputs, in a folder of its own that the supervisor takes over."""
        started = time.monotonic()
        name = str(next(self._folder_numbers))
        done = self._open_and_run(task.object, self._scratch / name, work)
        if not done.outputs:
            shutil.rmtree(self._scratch / name, ignore_errors=True)
        seconds = time.monotonic() - started
        parts = task.seconds if isinstance(task, MergeParts) else 0.0
        common = _common_seconds(seconds * done.threads + parts, done.outputs)
        return ObjectWritten(
            task.object.key, name, done.rows, seconds, tuple(done.outputs), done.failures, common_seconds=common
        )

    def _open_and_run(
        self, pinned: PinnedObject, folder: Path, work: Callable[[ObjectScoring], int], place: int = 0
    ) -> _Done:
        """Open an object and run `work` on it."""
        rows, threads = 0, 1
        outputs: Sequence[WrittenOutput] = ()
        errors: Sequence[tuple[str, ScoringError]] = ()
        path = Path(self._setup.data) / pinned.key

        def run(wanted: JobInput) -> tuple[int, ObjectScoring]:
            with open_object(pinned.key, path, wanted) as source, SpliceSource(path) as file:
                scoring = self._scoring(pinned, source, file, folder, place)
                return work(scoring), scoring

        try:
            try:
                rows, scoring = run(self._input)
            except LateFieldsError:
                # Few objects need it, and the search for all fields costs a pass.
                rows, scoring = run(replace(self._input, finds_all_fields=True))
            outputs, errors, threads = scoring.written, scoring.errors, scoring.threads
        except ScoringError as error:
            outputs, errors = (), [("", error)]
        except OSError as error:
            outputs, errors = (), [("", write_error(pinned.key, error))]
        return _Done(rows, outputs, self._failures(errors), threads)

    def _scoring(
        self, pinned: PinnedObject, source: InputObject, file: SpliceSource, folder: Path, place: int
    ) -> ObjectScoring:
        if self._setup.output_layout == "joined":
            return JoinedScoring(self._setup, pinned, source, file, folder, models=self._models, place=place)
        return ObjectScoring(self._setup, pinned, source, file, folder, place=place)

    def _failures(self, errors: Sequence[tuple[str, ScoringError]]) -> tuple[Failure, ...]:
        for _, reason in errors:
            self._log(reason)
        return tuple(Failure(model_id, FailureKind(reason.kind), reason.text) for model_id, reason in errors)

    def _batch_rows(self, task: Task) -> int:
        return task.batch_rows or self._setup.batch_rows

    def _parts_folder(self, pinned: PinnedObject) -> Path:
        # A digest, because a key may be longer than a file name can be, and may contain slashes.
        return Path(self._setup.parts) / hashlib.sha256(pinned.key.encode()).hexdigest()
