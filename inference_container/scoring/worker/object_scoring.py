"""Scores one open object in one pass, with a second for models that must re-encode it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from contract.job.ledger import KeyReport
from contract.job.scoring_spec import PinnedObject
from scoring.columns.keys import KeyCheck
from scoring.errors import ScoringError
from scoring.models import batch_size_factor
from scoring.outputs.writers import WriterChoice, choose_writer
from scoring.protocol import WorkerSetup, WrittenOutput
from scoring.readers import EmptyObject, InputBatch, InputObject
from scoring.splice import SharedPartFiles, SpliceSource
from scoring.worker.batch_pipeline import PredictionThreads, predict_in_order, split_into_units
from scoring.worker.batch_size import rows_per_batch
from scoring.worker.model_output import ROWS_ARE_SKIPPED, ModelOutput
from scoring.worker.object_predictor import BatchResult, ObjectPredictor, ThreadSafeModel, too_many_bad_rows
from scoring.worker.object_predictors import ObjectPredictors
from scoring.worker.partial_predictions import PartReader, PartWriter, batches_of_part

_NO_RESULT = BatchResult([])
"""The result for a model whose output has ended."""

Predict = Callable[[InputBatch], BatchResult | ScoringError]


@dataclass
class Chosen:
    """A model that can score the object, and the writer of its output."""

    predictor: ObjectPredictor
    writer: WriterChoice


@dataclass
class SmallObject:
    """An object whose rows are read as one batch, before any output is open."""

    scoring: "ObjectScoring"
    item: InputBatch
    chosen: list[Chosen]
    batch_rows: int
    """Most rows of a batch of such objects."""

    @property
    def copies_input(self) -> bool:
        """Whether no output has an open file while it waits to be completed."""
        return all(each.writer.copies_input for each in self.chosen)

    @property
    def predictors(self) -> dict[ThreadSafeModel, ObjectPredictor]:
        return {each.predictor.model: each.predictor for each in self.chosen}


@dataclass
class PassResult:
    """The outcome of one pass over the object."""

    rows_read: int
    written: list[WrittenOutput]
    to_reencode: dict[ThreadSafeModel, str]
    """Models that need a second pass, each with the reason for re-encoding."""


class ObjectScoring:
    """Scores one open object and collects the outputs and the errors of the models."""

    def __init__(
        self,
        setup: WorkerSetup,
        pinned: PinnedObject,
        source: InputObject,
        file: SpliceSource,
        folder: Path,
        *,
        place: int = 0,
    ) -> None:
        """Outputs are written to `folder`, which is created when there is one.

        `place` is the object's position in its group.
        """
        self._setup = setup
        self._pinned = pinned
        self._source = source
        self._file = file
        self._folder = folder
        self._place = place
        self._predictors = ObjectPredictors(pinned, source)
        self.written: list[WrittenOutput] = []
        """Finished outputs, which wait to be committed."""
        self.errors: list[tuple[str, ScoringError]] = []
        """Model id and reason of each model that has no output of the object."""
        self.threads = 1
        """Number of threads that have scored the object."""

    def score(self, models: Sequence[ThreadSafeModel], threads: int, batch_rows: int) -> int:
        """Write the object for the models that can score it. Returns the rows read."""
        if isinstance(self._source, EmptyObject):
            self.written = [self._without_data(model) for model in models]
            return 0
        return self._run_passes(models, lambda predictor: predictor.predict, threads, batch_rows)

    def _without_data(self, model: ThreadSafeModel) -> WrittenOutput:
        """Return the result for an object without data: no rows, and no output.

        An output would need columns that nobody knows, and readers of tables take the columns of the
        first file for those of all.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        return WrittenOutput(
            model_id=model.spec.model_id,
            rows_in=0,
            rows_scored=0,
            rows_quarantined=0,
            predictions=None,
            writer="none, the object holds no data",
            keys=KeyReport(0, 0, 0) if model.spec.key_columns else None,
            notes=model.loaded.notes + self._source.notes,
        )

    def merge_parts(self, models: Sequence[ThreadSafeModel], folder: Path, parts: int, batch_rows: int) -> int:
        """Write the object from the stored predictions of its parts. Returns the rows read."""
        return self._run_passes(models, lambda predictor: PartReader(folder, predictor, parts).predict, 1, batch_rows)

    def predict_part(
        self, models: Sequence[ThreadSafeModel], folder: Path, part: int, parts: int, batch_rows: int
    ) -> int:
        """Predict one part and store the predictions. Returns the rows read."""
        rows = 0
        with ExitStack() as stack:
            predictors, columns = self._open_for_part(models)
            opened: list[tuple[ObjectPredictor, PartWriter]] = []
            for predictor in predictors:
                file = PartWriter(folder, predictor, part)
                stack.callback(file.close)
                opened.append((predictor, file))
            if not opened:
                return 0
            batch_rows = self._rows_per_batch(batch_rows, columns, [predictor for predictor, _ in opened])
            for item in batches_of_part(self._source, batch_rows, columns, part, parts):
                rows += item.batch.num_rows
                opened = [(predictor, file) for predictor, file in opened if self._store(predictor, file, item)]
        return rows

    def _open_for_part(self, models: Sequence[ThreadSafeModel]) -> tuple[list[ObjectPredictor], frozenset[str]]:
        """Open the models for a part. Returns them with the columns that its batches must have."""

        def choose(predictor: ObjectPredictor) -> tuple[ObjectPredictor, frozenset[str]]:
            # Kept columns too: bad rows get their raw values here and not when parts are merged.
            kept = predictor.plan.kept if predictor.tolerated else ()
            return predictor, predictor.plan.read.union(kept)

        opened = self._predictors.open_each(models, choose)
        self._fail_each(opened.errors)
        return opened.found, opened.columns

    def _store(self, predictor: ObjectPredictor, file: PartWriter, item: InputBatch) -> bool:
        """Predict a batch of a part and store it. Returns False once the model has failed."""
        result = predictor.predict(item)
        if isinstance(result, BatchResult) and len(result.bad) > predictor.tolerated:
            result = too_many_bad_rows(predictor, result.bad[0], len(result.bad), self._source.rows, result.cause)
        if isinstance(result, ScoringError):
            self._fail(predictor.model.spec.model_id, result)
            return False
        file.write(result)
        return True

    def _run_passes(
        self,
        models: Sequence[ThreadSafeModel],
        predict_of: Callable[[ObjectPredictor], Predict],
        threads: int,
        batch_rows: int,
    ) -> int:
        """Run one or two passes. Returns the rows read by the last."""
        with ExitStack() as stack:
            first = self._run_pass(dict.fromkeys(models, ""), predict_of, threads, batch_rows, stack)
            return self._reencode(first, predict_of, threads, batch_rows, stack)

    def _reencode(
        self,
        first: PassResult,
        predict_of: Callable[[ObjectPredictor], Predict],
        threads: int,
        batch_rows: int,
        stack: ExitStack,
    ) -> int:
        """Run a second pass if the first asks for it. Returns the rows read by the last.

        An output that copies its input keeps all rows, but which rows are bad is known only after
        scoring them. The first pass may have ended before the last row.
        """
        self.written = first.written
        if not first.to_reencode:
            return first.rows_read
        second = self._run_pass(first.to_reencode, predict_of, threads, batch_rows, stack)
        self.written = first.written + second.written
        return second.rows_read

    def _run_pass(
        self,
        models: Mapping[ThreadSafeModel, str],
        predict_of: Callable[[ObjectPredictor], Predict],
        threads: int,
        batch_rows: int,
        stack: ExitStack,
    ) -> PassResult:
        """Read the object once for models, each with its reason to re-encode or "".

        `stack` discards the outputs that were not finished.
        """
        # Entered before the outputs, which are then discarded first and leave the threads idle.
        workers = stack.enter_context(PredictionThreads(threads))
        stack.callback(self._file.stop)
        chosen, columns = self._choose_outputs(models)
        outputs = [(output, predict_of(output.predictor)) for output in self._open_outputs(chosen, stack)]
        if not outputs:
            return PassResult(0, [], {})
        batch_rows = self._rows_per_batch(batch_rows, columns, [output.predictor for output, _ in outputs])
        if self._source.rows is not None and self._source.rows <= batch_rows:
            workers = PredictionThreads(1)
        self.threads = max(self.threads, workers.count)
        if workers.pool is not None:
            self._start_copying([output for output, _ in outputs], workers.pool)
        rows, keys = self._score_batches(outputs, columns, workers, batch_rows)
        return self._finish([output for output, _ in outputs], rows, keys)

    def read_small(self, models: Sequence[ThreadSafeModel], batch_rows: int) -> SmallObject | None:
        """Read the object, without writing it; None if its rows are not one batch.

        Raises ScoringError.
        """
        if isinstance(self._source, EmptyObject):
            return None
        chosen, columns = self._choose_outputs(dict.fromkeys(models, ""))
        if not chosen:
            return None
        batch_rows = self._rows_per_batch(batch_rows, columns, [each.predictor for each in chosen])
        if self._source.rows is not None and not 0 < self._source.rows <= batch_rows:
            return None
        items = list(islice(self._source.batches(batch_rows, columns, use_threads=False), 2))
        is_small = len(items) == 1 and items[0].batch.num_rows > 0
        return SmallObject(self, items[0], chosen, batch_rows) if is_small else None

    def write_small(
        self,
        small: SmallObject,
        results: Mapping[ThreadSafeModel, BatchResult | ScoringError],
        shared: SharedPartFiles,
        stack: ExitStack,
    ) -> Callable[[], int]:
        """Write what `read_small` has read, with a result per chosen model.

        Returns a function that completes the outputs and returns the rows read. `stack` discards the
        outputs that were not finished.
        """
        outputs = self._open_outputs(small.chosen, stack, shared)
        checks = self._key_checks(outputs)
        rows = self._write_batch(outputs, checks, small.item, [results[each.predictor.model] for each in outputs])
        keys = self._check_totals(outputs, checks, rows)

        def complete() -> int:
            first = self._finish(outputs, rows, keys)
            return self._reencode(first, lambda predictor: predictor.predict, 1, small.batch_rows, stack)

        return complete

    def _finish(
        self, outputs: Sequence[ModelOutput], rows: int, keys: Mapping[tuple[str, ...], KeyReport]
    ) -> PassResult:
        """Complete the outputs after the last batch."""
        result = PassResult(rows, [], {})
        for output in outputs:
            spec = output.predictor.model.spec
            if not output.ended and (written := output.finish(keys.get(spec.key_columns))):
                result.written.append(written)
            if output.error is not None:
                self._fail(spec.model_id, output.error)
            elif output.reencode_reason:
                result.to_reencode[output.predictor.model] = output.reencode_reason
            if output.ended:
                output.discard()
        return result

    def _score_batches(
        self,
        outputs: Sequence[tuple[ModelOutput, Predict]],
        columns: frozenset[str],
        threads: PredictionThreads,
        batch_rows: int,
    ) -> tuple[int, dict[tuple[str, ...], KeyReport]]:
        """Read, predict and write all batches.

        Returns the rows read and the report per key columns.
        """

        def predict(item: InputBatch) -> list[BatchResult | ScoringError]:
            # A copy with its own shared matrices: they are freed once all models have predicted,
            # while the batch still waits to be written.
            rows = replace(item, shared={}) if len(outputs) > 1 else item
            return [_NO_RESULT if output.ended else predict_one(rows) for output, predict_one in outputs]

        checks = self._key_checks([output for output, _ in outputs])
        rows = 0
        kept = frozenset(name for output, _ in outputs for name in output.kept)
        kept = kept.union(*(check.columns for check in checks))
        units = split_into_units(self._source, batch_rows, columns, threads.count)
        for item, results in predict_in_order(units, predict, threads, kept):
            rows += self._write_batch([output for output, _ in outputs], checks, item, results)
            if self._is_over([output for output, _ in outputs]):
                return rows, {}
        return rows, self._check_totals([output for output, _ in outputs], checks, rows)

    @staticmethod
    def _key_checks(outputs: Sequence[ModelOutput]) -> list[KeyCheck]:
        keys = {output.predictor.model.spec.key_columns for output in outputs}
        return [KeyCheck(names) for names in sorted(keys) if names]

    def _start_copying(self, outputs: Sequence[ModelOutput], executor: Executor) -> None:
        for output in outputs:
            output.start_copying(executor)

    def _is_over(self, outputs: Sequence[ModelOutput]) -> bool:
        """Return whether no further batch would be written."""
        return all(output.ended for output in outputs)

    def _fail(self, model_id: str, error: ScoringError) -> None:
        """Record why a model has no output of the object; an empty `model_id` means all models."""
        self.errors.append((model_id, error))

    def _fail_each(self, errors: Sequence[tuple[str, ScoringError]]) -> None:
        for model_id, error in errors:
            self._fail(model_id, error)

    def _write_batch(
        self,
        outputs: Sequence[ModelOutput],
        checks: Sequence[KeyCheck],
        item: InputBatch,
        results: Sequence[BatchResult | ScoringError],
    ) -> int:
        """Write a batch to all outputs, with a result for each. Returns the rows read."""
        for check in checks:
            check.add(item.batch)
        for output, result in zip(outputs, results, strict=True):
            output.write(item, result)
        return int(item.batch.num_rows) + len(item.rejected)

    @staticmethod
    def _check_totals(
        outputs: Sequence[ModelOutput], checks: Sequence[KeyCheck], rows: int
    ) -> dict[tuple[str, ...], KeyReport]:
        """Check the outputs after the last batch. Returns the report per key columns."""
        for output in outputs:
            output.check_totals(rows)
        return {check.columns: check.report() for check in checks}

    def _choose_outputs(self, models: Mapping[ThreadSafeModel, str]) -> tuple[list[Chosen], frozenset[str]]:
        """Choose the models' writers, each with its reason to re-encode or "".

        Returns the models that can score the object, and the columns that batches must have.
        """

        def choose(predictor: ObjectPredictor) -> tuple[Chosen, frozenset[str]]:
            writer = self._choose_writer(predictor, models[predictor.model])
            return Chosen(predictor, writer), predictor.plan.read.union(writer.kept)

        opened = self._predictors.open_each(models, choose)
        self._fail_each(opened.errors)
        return opened.found, opened.columns

    def _choose_writer(self, predictor: ObjectPredictor, reencode_reason: str) -> WriterChoice:
        spec, plan = predictor.model.spec, predictor.plan

        def group_rows() -> int:
            return self._rows_per_batch(self._setup.batch_rows, plan.read.union(plan.kept), [predictor])

        def choose(reason: str) -> WriterChoice:
            source, file = self._source, self._file
            return choose_writer(spec, plan, source, file=file, group_rows=group_rows, reencode_reason=reason)

        choice, fleet = choose(reencode_reason), predictor.model.fleet
        if choice.copies_input and fleet and fleet.has_rows_to_skip(self._source, self._setup.batch_rows):
            return choose(ROWS_ARE_SKIPPED)
        return choice

    def _open_outputs(
        self, chosen: Sequence[Chosen], stack: ExitStack, shared: SharedPartFiles | None = None
    ) -> list[ModelOutput]:
        outputs = []
        for each in chosen:
            rows, notes = self._source.rows, self._source.notes
            output = ModelOutput(
                each.predictor, each.writer, self._folder, rows, notes, place=self._place, shared=shared
            )
            stack.callback(output.discard)
            outputs.append(output)
        return outputs

    def _rows_per_batch(self, most: int, columns: frozenset[str], predictors: Sequence[ObjectPredictor]) -> int:
        widest = max((predictor.model for predictor in predictors), key=lambda model: model.width).features
        factor = max(batch_size_factor(predictor.model.loaded) for predictor in predictors)
        return rows_per_batch(most, self._source, columns, widest, factor)
