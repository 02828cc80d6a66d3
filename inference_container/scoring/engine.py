"""Scores one object with all models in one pass: each batch is decoded once, predicted, and written in order."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from contract.job_input import shared_input
from contract.layout import ContainerPaths
from contract.spec import PinnedObject
from contract.status import FailureKind
from scoring.columns import plan_columns
from scoring.errors import ConfigurationError, ScoringError, TransientError, one_line
from scoring.keys import KeyCheck
from scoring.model_output import ModelOutput
from scoring.model_run import BatchResult, ModelRun, SharedModel, located
from scoring.models import LoadedModel
from scoring.passes import in_order, rows_a_batch, units
from scoring.protocol import Failure, ObjectDone, WorkerSetup
from scoring.readers import InputBatch, InputObject, open_object
from scoring.writers import open_writer

_NOTHING = BatchResult([])
"""Of a model whose pass has ended."""


class Engine:
    """All models of a job, loaded, and the places to read from and to write to."""

    def __init__(
        self, setup: WorkerSetup, models: list[LoadedModel], paths: ContainerPaths, log: Callable[[BaseException], None]
    ) -> None:
        self._setup = setup
        self._models = [SharedModel(spec, model) for spec, model in zip(setup.models, models, strict=True)]
        self._input = shared_input(setup.models)
        self._paths = paths
        # Of this worker's own: another one may score another object under the same names.
        self._scratch = Path(setup.scratch) / f"worker-{os.getpid()}"
        self._log = log

    def score(self, pinned: PinnedObject, threads: int, batch_rows: int = 0) -> ObjectDone:
        """Score an object and commit it for every model that could score it; the failures name the others.

        `batch_rows` is what memory is known to have room for; 0: as the job says. It changes no byte of any output.
        """
        started = time.monotonic()
        rows = 0
        failures: list[Failure] = []
        try:
            with open_object(pinned.key, self._paths.data / pinned.key, self._input) as source:
                scoring = _ObjectScoring(self._setup, pinned, source, self._paths, self._scratch)
                rows = scoring.score(self._models, threads, batch_rows or self._setup.batch_rows)
                failures += [self._failure(model_id, error) for model_id, error in scoring.errors]
        except ScoringError as error:
            failures.append(self._failure("", error))
        except OSError as error:
            failures.append(self._failure("", _not_written(pinned.key, error)))
        return ObjectDone(pinned.key, rows, time.monotonic() - started, tuple(failures))

    def _failure(self, model_id: str, error: ScoringError) -> Failure:
        self._log(error)
        return Failure(model_id, FailureKind(error.kind), error.text)


class _ObjectScoring:
    """The passes over one object: one, and a second one for the models that found rows for the quarantine late."""

    def __init__(
        self, setup: WorkerSetup, pinned: PinnedObject, source: InputObject, paths: ContainerPaths, scratch: Path
    ) -> None:
        self._setup = setup
        self._pinned = pinned
        self._source = source
        self._paths = paths
        self._scratch = scratch
        self.errors: list[tuple[str, ScoringError]] = []
        """Model id and reason of what could not be committed."""

    def score(self, models: Sequence[SharedModel], threads: int, batch_rows: int) -> int:
        """Commit the object for the models that can score it. Returns the rows that were read."""
        rows, again = self._pass([(model, "") for model in models], threads, batch_rows)
        if again:
            # A file that keeps its input's bytes keeps all its rows; which ones are bad is known only by scoring them.
            rows, _ = self._pass(again, threads, batch_rows)
        return rows

    def _pass(
        self, models: Sequence[tuple[SharedModel, str]], threads: int, batch_rows: int
    ) -> tuple[int, list[tuple[SharedModel, str]]]:
        """The rows that were read, and which models need another pass, with the reason why they encode then."""
        with ExitStack() as stack:
            outputs: list[ModelOutput] = []
            again: list[tuple[SharedModel, str]] = []
            columns: frozenset[str] = frozenset()
            for model, why_encode in models:
                try:
                    output, needed = self._open(model, why_encode)
                except ScoringError as error:
                    self.errors.append((model.spec.model_id, error))
                else:
                    stack.callback(output.discard)
                    outputs.append(output)
                    columns |= needed
            rows, keys = self._run(outputs, columns, threads, batch_rows) if outputs else (0, {})
            for output in outputs:
                spec = output.run.model.spec
                if not output.ended:
                    report = keys[spec.key_columns].report() if spec.key_columns else None
                    output.commit(self._setup, self._pinned, self._paths, self._scratch, report)
                if output.error is not None:
                    self.errors.append((spec.model_id, output.error))
                elif output.why_encode:
                    again.append((output.run.model, output.why_encode))
            return rows, again

    def _open(self, model: SharedModel, why_encode: str) -> tuple[ModelOutput, frozenset[str]]:
        """A model's output, and the columns that it has to be given."""
        spec, source = model.spec, self._source
        nulls = source.null_counts([feature.name for feature in spec.features])
        plan = plan_columns(self._pinned.key, spec, model.loaded.outputs, source.schema, nulls)
        group_rows = rows_a_batch(self._setup.batch_rows, source, plan.read | frozenset(plan.kept), spec.features)
        file = self._paths.data / self._pinned.key
        writer = open_writer(
            spec, plan, source, file=file, scratch=self._scratch, group_rows=group_rows, why_encode=why_encode
        )
        with_nulls = frozenset(name for name, count in nulls.items() if count)
        run = ModelRun(model, self._pinned.key, source.rows, plan, with_nulls)
        return ModelOutput(run, writer, self._scratch, source.rows), plan.read | frozenset(writer.kept)

    def _run(
        self, outputs: list[ModelOutput], columns: frozenset[str], threads: int, batch_rows: int
    ) -> tuple[int, dict[tuple[str, ...], KeyCheck]]:
        widest = max((output.run.model.spec.features for output in outputs), key=len)
        batch_rows = rows_a_batch(batch_rows, self._source, columns, widest)
        if self._source.rows is not None and self._source.rows <= batch_rows:
            threads = 1

        def predict(item: InputBatch) -> list[BatchResult | ScoringError]:
            return [_NOTHING if output.ended else output.run.predict(item) for output in outputs]

        checks = {key: KeyCheck(key) for key in (output.run.model.spec.key_columns for output in outputs) if key}
        rows = 0
        for item, results in in_order(units(self._source, batch_rows, columns, threads), predict, threads):
            rows += item.batch.num_rows + len(item.rejected)
            for check in checks.values():
                check.add(item.batch)
            for output, result in zip(outputs, results, strict=True):
                output.take(item, result)
            if all(output.ended for output in outputs):
                return rows, checks
        for output in outputs:
            output.finish(rows)
        return rows, checks


def _not_written(key: str, error: OSError) -> ScoringError:
    text = f"object {key!r}: its output cannot be written ({one_line(error)})"
    cause: ScoringError = TransientError(text)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cause = ConfigurationError(f"{text}: raise the job's volume size, or score fewer objects an instance")
    return located(cause, error)
