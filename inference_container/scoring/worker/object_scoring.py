"""The passes over one object: one, and a second one for the models that have to write it anew."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from contract.job.ledger import KeyReport
from contract.job.scoring_spec import PinnedObject
from contract.layout import ContainerPaths
from scoring.columns.keys import KeyCheck
from scoring.errors import ScoringError
from scoring.models import batches_of_usual_size
from scoring.outputs.ledger import PreparedCommit, commit
from scoring.outputs.writers import open_writer
from scoring.protocol import WorkerSetup
from scoring.readers import InputBatch, InputObject
from scoring.splice import SpliceSource
from scoring.worker.model_output import ModelOutput
from scoring.worker.model_run import BatchResult, ModelRun, SharedModel, failure_of
from scoring.worker.partial_predictions import PartFile, StoredPredictions, batches_of_part
from scoring.worker.passes import Hands, in_order, rows_a_batch, units

_NOTHING = BatchResult([])
"""Of a model whose pass has ended."""

Predict = Callable[[InputBatch], BatchResult | ScoringError]


@dataclass
class _Pass:
    """What one pass came to."""

    rows: int
    """That were read."""
    prepared: list[PreparedCommit]
    again: list[tuple[SharedModel, str]]
    """Models that need another pass, with the reason why they encode then."""


@dataclass(frozen=True)
class Places:
    """Where outputs go, and where they lie until they are whole."""

    paths: ContainerPaths
    scratch: Path


class ObjectScoring:
    """One object, open, and what its scoring came to."""

    def __init__(
        self,
        setup: WorkerSetup,
        pinned: PinnedObject,
        source: InputObject,
        file: SpliceSource,
        places: Places,
        *,
        predicted: Callable[[], None],
    ) -> None:
        """`predicted` is called when nothing is left but to wait for the disk."""
        self._setup = setup
        self._pinned = pinned
        self._source = source
        self._file = file
        self._places = places
        self._predicted = predicted
        self.errors: list[tuple[str, ScoringError]] = []
        """Model id and reason of what could not be committed."""

    def score(self, models: Sequence[SharedModel], threads: int, batch_rows: int) -> int:
        """Commit the object for the models that can score it. Returns the rows that were read."""
        return self._passes(models, lambda run: run.predict, threads, batch_rows)

    def join_parts(self, models: Sequence[SharedModel], folder: Path, parts: int, batch_rows: int) -> int:
        """The same with predictions that were set aside."""
        return self._passes(models, lambda run: StoredPredictions(folder, run, parts).predict, 1, batch_rows)

    def score_part(self, models: Sequence[SharedModel], folder: Path, part: int, parts: int, batch_rows: int) -> int:
        """Predict one part and set the predictions aside. Returns the rows that were read."""
        rows = 0
        with ExitStack() as stack:
            opened: list[tuple[ModelRun, PartFile]] = []
            columns: frozenset[str] = frozenset()
            for model in models:
                try:
                    run = self._open_run(model)
                except ScoringError as error:
                    self.errors.append((model.spec.model_id, error))
                else:
                    file = PartFile(folder, run, part)
                    stack.callback(file.close)
                    opened.append((run, file))
                    # Kept columns too: what the quarantine is to show can only be seen here.
                    columns |= run.plan.read | frozenset(run.plan.kept if run.tolerated else ())
            if not opened:
                return 0
            batch_rows = self._rows_a_batch(batch_rows, columns, [run for run, _ in opened])
            for item in batches_of_part(self._source, batch_rows, columns, part, parts):
                rows += item.batch.num_rows
                opened = [(run, file) for run, file in opened if self._set_aside(run, file, item)]
        return rows

    def _set_aside(self, run: ModelRun, file: PartFile, item: InputBatch) -> bool:
        """Predict a batch of a part; False when there is nothing more to do for the model."""
        result = run.predict(item)
        if isinstance(result, BatchResult) and len(result.bad) > run.tolerated:
            result = failure_of(run, result.bad[0], len(result.bad), self._source.rows, result.cause)
        if isinstance(result, ScoringError):
            self.errors.append((run.model.spec.model_id, result))
            return False
        file.write(result)
        return True

    def _passes(
        self, models: Sequence[SharedModel], predict_of: Callable[[ModelRun], Predict], threads: int, batch_rows: int
    ) -> int:
        with ExitStack() as stack:
            first = self._pass([(model, "") for model in models], predict_of, threads, batch_rows, stack)
            rows, prepared = first.rows, first.prepared
            if first.again:
                # A file that keeps its input's bytes keeps all its rows; which ones are bad is known only by scoring
                # them. The first pass may have ended before the last row.
                second = self._pass(first.again, predict_of, threads, batch_rows, stack)
                rows, prepared = second.rows, prepared + second.prepared
            self._predicted()
            if prepared:
                commit(prepared)
            return rows

    def _pass(
        self,
        models: Sequence[tuple[SharedModel, str]],
        predict_of: Callable[[ModelRun], Predict],
        threads: int,
        batch_rows: int,
        stack: ExitStack,
    ) -> _Pass:
        """Read the object once, for models that each may have a reason to encode; `stack` ends with what is unused."""
        # Before the outputs: these go first, so that its threads have nothing left to do.
        hands = stack.enter_context(Hands(threads))
        stack.callback(self._file.stop)
        outputs: list[tuple[ModelOutput, Predict]] = []
        columns: frozenset[str] = frozenset()
        for model, reencode_reason in models:
            try:
                run = self._open_run(model)
                output, needed = self._open_output(run, reencode_reason)
            except ScoringError as error:
                self.errors.append((model.spec.model_id, error))
            else:
                stack.callback(output.discard)
                outputs.append((output, predict_of(run)))
                columns |= needed
        found = _Pass(0, [], [])
        if not outputs:
            return found
        batch_rows = self._rows_a_batch(batch_rows, columns, [output.run for output, _ in outputs])
        if self._source.rows is not None and self._source.rows <= batch_rows:
            hands = Hands(1)
        if hands.pool is not None:
            for output, _ in outputs:
                output.start_copying(hands.pool)
        found.rows, keys = self._run(outputs, columns, hands, batch_rows)
        for output, _ in outputs:
            spec = output.run.model.spec
            if not output.ended and (ready := self._prepare(output, keys.get(spec.key_columns))):
                found.prepared.append(ready)
            if output.error is not None:
                self.errors.append((spec.model_id, output.error))
            elif output.reencode_reason:
                found.again.append((output.run.model, output.reencode_reason))
            if output.ended:
                output.discard()
        return found

    def _prepare(self, output: ModelOutput, keys: KeyReport | None) -> PreparedCommit | None:
        return output.prepare(self._setup, self._pinned, self._places.paths, self._places.scratch, keys)

    def _open_run(self, model: SharedModel) -> ModelRun:
        spec, source = model.spec, self._source
        nulls = source.null_counts([feature.name for feature in spec.features])
        plan = model.plan(self._pinned.key, source.schema, nulls)
        with_nulls = frozenset(name for name, count in nulls.items() if count)
        return ModelRun(model, self._pinned.key, source.rows, plan, with_nulls)

    def _open_output(self, run: ModelRun, reencode_reason: str) -> tuple[ModelOutput, frozenset[str]]:
        """A model's output, and the columns that it has to be given."""
        spec, plan = run.model.spec, run.plan
        writer = open_writer(
            spec,
            plan,
            self._source,
            file=self._file,
            scratch=self._places.scratch,
            group_rows=self._rows_a_batch(self._setup.batch_rows, plan.read | frozenset(plan.kept), [run]),
            reencode_reason=reencode_reason,
        )
        output = ModelOutput(run, writer, self._places.scratch, self._source.rows)
        return output, plan.read | frozenset(writer.kept)

    def _rows_a_batch(self, most: int, columns: frozenset[str], runs: Sequence[ModelRun]) -> int:
        widest = max((run.model.spec.features for run in runs), key=len)
        usual = max(batches_of_usual_size(run.model.loaded) for run in runs)
        return rows_a_batch(most, self._source, columns, widest, usual)

    def _run(
        self, outputs: Sequence[tuple[ModelOutput, Predict]], columns: frozenset[str], hands: Hands, batch_rows: int
    ) -> tuple[int, dict[tuple[str, ...], KeyReport]]:
        """Read, predict and write all batches. The rows that were read, and what was seen of the keys."""

        def predict(item: InputBatch) -> list[BatchResult | ScoringError]:
            # What is shared is gone when all have predicted, while the batch still waits for its turn.
            rows = replace(item, shared={}) if len(outputs) > 1 else item
            return [_NOTHING if output.ended else predict_one(rows) for output, predict_one in outputs]

        keys = {output.run.model.spec.key_columns for output, _ in outputs}
        checks = [KeyCheck(names) for names in sorted(keys) if names]
        rows = 0
        kept = frozenset(name for output, _ in outputs for name in output.kept).union(*keys)
        for item, results in in_order(units(self._source, batch_rows, columns, hands.threads), predict, hands, kept):
            rows += item.batch.num_rows + len(item.rejected)
            for check in checks:
                check.add(item.batch)
            for (output, _), result in zip(outputs, results, strict=True):
                output.take(item, result)
            if all(output.ended for output, _ in outputs):
                return rows, {}
        for output, _ in outputs:
            output.finish(rows)
        return rows, {check.columns: check.report() for check in checks}
