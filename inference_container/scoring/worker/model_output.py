"""What one model makes of one object: predictions and quarantine, from the first batch to what is committed."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.catalog.model_spec import tolerated_rows
from contract.job.ledger import KeyReport, Marker, OutputFile
from contract.job.scoring_spec import PinnedObject
from contract.layout import ContainerPaths, output_key, output_name
from contract.status import FailureKind
from scoring.bad_rows import BadRow
from scoring.columns.predictions import numeric_column
from scoring.errors import DataError, ModelError, ScoringError, log_error
from scoring.outputs.atomic_files import FileMove, describe_output
from scoring.outputs.ledger import PreparedCommit, prepare_commit
from scoring.outputs.quarantine import QuarantineWriter
from scoring.outputs.writers import ChosenWriter
from scoring.protocol import WorkerSetup
from scoring.readers import InputBatch
from scoring.splice import SplicedWriter, SpliceError
from scoring.worker.model_run import MOST_BLAMED_ROWS, BatchResult, ModelRun, failure_of


class ModelOutput:
    """Takes the results of a run in the order of the object's rows."""

    def __init__(self, run: ModelRun, output: ChosenWriter, scratch: Path, rows: int | None) -> None:
        self.run = run
        self.error: ScoringError | None = None
        self.reencode_reason = ""
        """Why the object is to be read once more for this model and written anew, by whom nothing is copied."""
        self._output = output
        self._rows = rows
        self._row_numbers = bool(run.model.spec.row_number_column)
        spec = run.model.spec
        path = scratch / f"{spec.model_id}.quarantine"
        self._quarantine = QuarantineWriter(path, run.key, spec.model_id, spec.version)
        self._first_bad: BadRow | None = None
        self._cause: BaseException | None = None
        self._blamed = 0

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns of a batch that it needs beside the results."""
        return self._output.kept

    @property
    def ended(self) -> bool:
        """Nothing that is still to come would be used."""
        return self.error is not None or bool(self.reencode_reason)

    def start_copying(self, executor: Executor) -> None:
        """Let threads of the executor do now what can be done before there are results."""
        if isinstance(self._output.writer, SplicedWriter):
            self._output.writer.start_copying(executor)

    def take(self, item: InputBatch, result: BatchResult | ScoringError) -> None:
        if self.ended:
            return
        if isinstance(result, ScoringError):
            self.error = result
            return
        bad = self._with_rejected(item, result)
        if bad:
            self._note(bad, result)
            if self.ended:
                return
            self._quarantine.write(bad)
        self._write(item, result)

    def finish(self, rows_read: int) -> None:
        """All batches have been taken: hold the bad rows against what is tolerated, now that all are known."""
        if self.ended:
            return
        fraction = self.run.model.spec.tolerated_quarantine_fraction
        if self._quarantine.rows > tolerated_rows(fraction, rows_read):
            self._fail(self._quarantine.rows, rows_read)
        elif self._rows is not None and rows_read != self._rows:
            self.error = DataError(
                f"object {self.run.key!r}: {rows_read:,} rows were read, its footer says {self._rows:,}: write it again"
            )
        elif self._output.writer.rows + self._quarantine.rows != rows_read:
            # Whatever this would be a fault of, a row that nobody accounts for must not pass as scored.
            self.error = ScoringError(
                f"object {self.run.key!r}, model {self.run.model.spec.model_id!r}: of {rows_read:,} rows "
                f"{self._output.writer.rows:,} were scored and {self._quarantine.rows:,} quarantined: this is a fault "
                "of Fleetscore, report it with the model's record"
            )

    def discard(self) -> None:
        """Remove what is not published; safe to call at any time."""
        self._output.writer.discard()
        self._quarantine.discard()

    def prepare(
        self, setup: WorkerSetup, pinned: PinnedObject, paths: ContainerPaths, scratch: Path, keys: KeyReport | None
    ) -> PreparedCommit | None:
        """Finish the outputs and write their marker; None: `error` or `reencode_reason` says why not."""
        try:
            self._output.writer.close()
            self._quarantine.close()
        except SpliceError as error:
            # Copying is a short cut: an object that cannot take it is still scored, and the ledger says why it was not.
            log_error(error)
            self.reencode_reason = f"copying failed ({error.text})"
            return None
        spec = self.run.model.spec
        name = output_name(pinned.key, spec.output_format)
        described = [self._finished("predictions", paths.predictions, name, setup)]
        if self._quarantine.rows:
            name = output_name(pinned.key, "parquet")
            described.append(self._finished("quarantine", paths.quarantine, name, setup))
        marker = Marker(
            execution_id=setup.execution_id,
            job_id=setup.job_id,
            model_id=spec.model_id,
            model_version=spec.version,
            object=pinned,
            # What the object's footer says where it has one, not what came through: the marker refuses to differ.
            rows_in=self._output.writer.rows + self._quarantine.rows if self._rows is None else self._rows,
            rows_scored=self._output.writer.rows,
            rows_quarantined=self._quarantine.rows,
            outputs=tuple(output for output, _ in described),
            writer=self._output.name,
            keys=keys,
            notes=self.run.model.loaded.notes,
        )
        return prepare_commit(paths.ledger, scratch, marker, [move for _, move in described])

    def _finished(self, kind: Any, folder: Path, name: str, setup: WorkerSetup) -> tuple[OutputFile, FileMove]:
        writer: Any = self._output.writer if kind == "predictions" else self._quarantine
        key = output_key(setup.dataset, self.run.model.spec.model_id, setup.execution_id, name)
        return describe_output(kind, key, writer.path, writer.prefix_digest()), FileMove(writer.path, folder / key)

    def _with_rejected(self, item: InputBatch, result: BatchResult) -> list[BadRow]:
        rejected = [BadRow(row.row, FailureKind.DATA, row.reason, row.raw) for row in item.rejected]
        return sorted([*rejected, *result.bad], key=lambda row: row.row)

    def _note(self, bad: list[BadRow], result: BatchResult) -> None:
        if self._first_bad is None:
            self._first_bad, self._cause = bad[0], result.cause
        self._blamed += sum(row.raised for row in result.bad)
        count = self._quarantine.rows + len(bad)
        if count > self.run.tolerated:
            self._fail(count, self._rows)
        elif self._blamed > MOST_BLAMED_ROWS:
            self.error = ModelError(
                f"object {self.run.key!r}, model {self.run.model.spec.model_id!r}: its predict failed on more than "
                f"{MOST_BLAMED_ROWS:,} rows, the first is row {self._first_bad.row:,}: {self._first_bad.reason}; this "
                "is a matter of the model and not of single rows: register a corrected version"
            )
        elif self._output.copies_input:
            self.reencode_reason = "rows are in quarantine"

    def _fail(self, count: int, rows: int | None) -> None:
        assert self._first_bad is not None  # noqa: S101 - there is no count without a row
        self.error = failure_of(self.run, self._first_bad, count, rows, self._cause)

    def _write(self, item: InputBatch, result: BatchResult) -> None:
        columns = [item.batch.column(name) for name in self._output.kept]
        numbers = [numeric_column(item.numbers())] if self._row_numbers else []
        if result.good is not None:
            mask = pa.array(result.good)
            columns = [column.filter(mask) for column in columns]
            numbers = [column.filter(mask) for column in numbers]
        self._output.writer.write([*columns, *result.columns, *numbers])
