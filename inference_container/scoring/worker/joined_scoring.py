"""Scores one open object with all models of a job into one joined output."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pyarrow as pa

from contract.job.joined import joined_names, repeated_names
from contract.job.ledger import KeyReport
from contract.job.scoring_spec import PinnedObject
from scoring.columns.column_plan import ColumnPlan, extended_metadata
from scoring.columns.keys import KeyCheck
from scoring.errors import ConfigurationError, DataError, ScoringError, log_error, with_cause
from scoring.models import LoadedModel
from scoring.outputs.writers import WriterChoice, choose_writer
from scoring.protocol import WorkerSetup, WrittenFile, WrittenOutput, joined_file
from scoring.readers import InputBatch, InputObject
from scoring.splice import SharedPartFiles, SpliceError, SpliceSource
from scoring.worker.joined_output import JoinedMember, JoinedOutput
from scoring.worker.model_output import ModelOutput
from scoring.worker.object_predictor import BatchResult, ObjectPredictor, ThreadSafeModel
from scoring.worker.object_scoring import Chosen, ObjectScoring, PassResult, Predict


def joined_outputs(setup: WorkerSetup, models: Sequence[LoadedModel]) -> list[tuple[pa.Field, ...]]:
    """Return the prediction columns of each model, with their names in the joined output.

    Raises ConfigurationError if two columns have one name. The plan checks the names that records
    tell.
    """
    names = {
        spec.model_id: joined_names(spec.model_id, [field.name for field in model.outputs])
        for spec, model in zip(setup.models, models, strict=True)
    }
    for name, owners in repeated_names(names, setup.models[0].row_number_column).items():
        raise ConfigurationError(
            f"models {owners}: prediction column {name!r} appears more than once in their joined output: set other "
            "output_columns or row_number_column in the models' records, or score with output_layout 'per_model'"
        )
    return [
        tuple(pa.field(name, field.type) for name, field in zip(names[spec.model_id], model.outputs, strict=True))
        for spec, model in zip(setup.models, models, strict=True)
    ]


class JoinedScoring(ObjectScoring):
    """Scores one open object into one output for all models.

    When a model cannot score the object, nothing of the object is written. With `joined_nulls`, the
    object is scored again without this model, whose columns are then null.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        pinned: PinnedObject,
        source: InputObject,
        file: SpliceSource,
        folder: Path,
        *,
        models: Sequence[ThreadSafeModel],
        place: int = 0,
    ) -> None:
        """`models` are all models of the job."""
        super().__init__(setup, pinned, source, file, folder, place=place)
        self._models = models
        self._joined: JoinedOutput | None = None
        self._decodes_kept = False
        """Whether kept columns are decoded although their bytes are copied, for the raw values of bad rows."""

    def _fail(self, model_id: str, error: ScoringError) -> None:
        super()._fail(model_id if self._setup.joined_nulls else "", error)

    def _choose_outputs(self, models: Mapping[ThreadSafeModel, str]) -> tuple[list[Chosen], frozenset[str]]:
        """Choose the writer that the models share; see ObjectScoring."""
        opened = self._predictors.open_each(models, lambda predictor: (predictor, predictor.plan.read))
        chosen: list[Chosen] = []
        columns: frozenset[str] = frozenset()
        if opened.found and (self._setup.joined_nulls or not opened.errors):
            reason = next(filter(None, models.values()), "")
            choice, read = self._choose_joined_writer(opened.found, reason)
            columns = read.union(choice.kept)
            if self._decodes_kept:
                columns = columns.union(*(predictor.plan.kept for predictor in opened.found))
                choice = replace(choice, copies_input=False)
            if self._predictors.change_types(columns):
                return self._choose_outputs(models)
            chosen = [Chosen(predictor, choice) for predictor in opened.found]
        self._fail_each(opened.errors)
        return chosen, columns

    def _choose_joined_writer(
        self, predictors: Sequence[ObjectPredictor], reencode_reason: str
    ) -> tuple[WriterChoice, frozenset[str]]:
        """Return the writer, and the columns that the models read."""
        plan = self._joined_plan([predictor.plan for predictor in predictors])
        batch_rows = self._setup.batch_rows
        choice = choose_writer(
            self._models[0].spec,
            plan,
            self._source,
            file=self._file,
            group_rows=lambda: self._rows_per_batch(batch_rows, plan.read | frozenset(plan.kept), predictors),
            reencode_reason=reencode_reason,
        )
        return choice, plan.read

    def _joined_plan(self, plans: Sequence[ColumnPlan]) -> ColumnPlan:
        spec, schema = self._models[0].spec, self._source.schema
        kept_by_any = {name for plan in plans for name in plan.kept}
        kept = plans[0].kept if spec.columns == "keys" else tuple(name for name in schema.names if name in kept_by_any)
        added = tuple(field for model in self._models for field in model.outputs)
        if spec.row_number_column:
            added = (*added, pa.field(spec.row_number_column, pa.int64(), nullable=False))
        if clashes := [field.name for field in added if field.name in kept_by_any]:
            raise ConfigurationError(
                f"object {self._pinned.key!r}: the prediction columns {clashes} of the joined output are also input "
                "columns: rename the input columns, or score with output_layout 'per_model'"
            )
        fields = {field.name: field for plan in plans for field in plan.schema}
        metadata = extended_metadata(schema.metadata or {}, kept, added)
        output_schema = pa.schema([*(fields[name] for name in kept), *added], metadata=metadata or None)
        return replace(
            plans[0],
            kept=kept,
            schema=output_schema,
            added=added,
            read=frozenset().union(*(plan.read for plan in plans)),
            has_key_outside_file=any(plan.has_key_outside_file for plan in plans),
        )

    def _open_outputs(
        self, chosen: Sequence[Chosen], stack: ExitStack, shared: SharedPartFiles | None = None
    ) -> list[ModelOutput]:
        if not chosen:
            return []
        rows, notes, place = self._source.rows, self._source.notes, self._place
        members = []
        for each in chosen:
            member = JoinedMember(each.predictor, each.writer, self._folder, rows, notes, place=place)
            stack.callback(member.discard)
            members.append(member)
        path = self._folder / joined_file(self._models[0].spec.output_format, place)
        self._joined = JoinedOutput(path, chosen[0].writer, self._models, members, shared)
        stack.callback(self._joined.discard)
        return list(members)

    def _start_copying(self, outputs: Sequence[ModelOutput], executor: Executor) -> None:
        self._open_joined.start_copying(executor)

    def _is_over(self, outputs: Sequence[ModelOutput]) -> bool:
        # With nulls, one pass finds all models that cannot score the object.
        return (all if self._setup.joined_nulls else any)(output.ended for output in outputs)

    def _write_batch(
        self,
        outputs: Sequence[ModelOutput],
        checks: Sequence[KeyCheck],
        item: InputBatch,
        results: Sequence[BatchResult | ScoringError],
    ) -> int:
        rows = super()._write_batch(outputs, checks, item, results)
        try:
            self._open_joined.write(item)
        except DataError as error:
            raise with_cause(DataError(f"object {self._pinned.key!r}: {error.text}"), error) from error
        return rows

    def _finish(
        self, outputs: Sequence[ModelOutput], rows: int, keys: Mapping[tuple[str, ...], KeyReport]
    ) -> PassResult:
        """Complete the joined output if all its models have scored the object."""
        result = PassResult(rows, [], {})
        failed = [output for output in outputs if output.error is not None]
        for output in failed:
            self._fail(output.predictor.model.spec.model_id, cast("ScoringError", output.error))
        needs_kept = any(output.reencode_reason for output in outputs)
        reason = ""
        if not failed and not needs_kept:
            try:
                file = self._open_joined.finish()
            except SpliceError as error:
                # Copying is an optimization: the object is re-encoded instead, and the ledger says why.
                log_error(error)
                reason = f"copying failed ({error.text})"
            else:
                result.written += [self._finish_member(output, file, keys) for output in outputs]
                return result
        self._decodes_kept |= needs_kept
        self._open_joined.discard()
        for output in outputs:
            output.discard()
        if self._setup.joined_nulls or not failed:
            result.to_reencode |= {output.predictor.model: reason for output in outputs if output not in failed}
        return result

    @staticmethod
    def _finish_member(
        output: ModelOutput, file: WrittenFile, keys: Mapping[tuple[str, ...], KeyReport]
    ) -> WrittenOutput:
        assert isinstance(output, JoinedMember)  # noqa: S101 - see _open_outputs
        output.file = file
        written = output.finish(keys.get(output.predictor.model.spec.key_columns))
        assert written is not None  # noqa: S101 - it has not ended
        return written

    def _reencode(
        self,
        first: PassResult,
        predict_of: Callable[[ObjectPredictor], Predict],
        threads: int,
        batch_rows: int,
        stack: ExitStack,
    ) -> int:
        """Run further passes while there are models that can score the object, but no output yet.

        Each pass leaves out a model, decodes the kept columns, or no longer copies the input.
        """
        result = first
        while result.to_reencode:
            result = self._run_pass(result.to_reencode, predict_of, threads, batch_rows, stack)
        self.written = result.written
        return result.rows_read

    @property
    def _open_joined(self) -> JoinedOutput:
        assert self._joined is not None  # noqa: S101 - see _open_outputs
        return self._joined
