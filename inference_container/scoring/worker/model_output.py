"""The output of one model for one object: predictions and quarantine."""

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from contract.catalog.model_spec import tolerated_rows
from contract.job.ledger import KeyReport
from contract.status import FailureKind
from scoring.bad_rows import BadRow
from scoring.columns.arrow_types import filter_column
from scoring.columns.predictions import numeric_column
from scoring.errors import DataError, ModelError, ScoringError, log_error, with_cause
from scoring.files.digests import as_text, digest_of
from scoring.outputs.quarantine import QuarantineWriter
from scoring.outputs.writers import OutputWriter, WriterChoice
from scoring.protocol import WrittenFile, WrittenOutput, predictions_file, quarantine_file
from scoring.readers import InputBatch, Reading, describe_readings
from scoring.splice import SharedPartFiles, SplicedWriter, SpliceError
from scoring.worker.object_predictor import MAX_RAISING_ROWS, BatchResult, ObjectPredictor, too_many_bad_rows

ROWS_ARE_SKIPPED = "rows of no model are skipped"
"""Reason to re-encode an object."""


class ModelOutput:
    """Writes the results of an ObjectPredictor, in the order of the object's rows."""

    def __init__(
        self,
        predictor: ObjectPredictor,
        choice: WriterChoice,
        folder: Path,
        rows: int | None,
        notes: tuple[str, ...] = (),
        *,
        place: int = 0,
        shared: SharedPartFiles | None = None,
    ) -> None:
        """`notes` are those about the object, `place` is its position in its group.

        `shared` has files that outputs of a group share.
        """
        self.predictor = predictor
        self._notes = notes
        self.error: ScoringError | None = None
        self.reencode_reason = ""
        """Why a second pass must re-encode the object for this model; empty if none is needed."""
        self._choice = choice
        self._rows = rows
        spec = predictor.model.spec
        self._row_numbers = bool(spec.row_number_column)
        self._writer = self._open_writer(folder / predictions_file(spec, place), shared)
        path = folder / quarantine_file(spec, place)
        self._quarantine = QuarantineWriter(path, predictor.key, spec.model_id, spec.version)
        self._first_bad: BadRow | None = None
        self._cause: BaseException | None = None
        self._raising_rows = 0
        self._rows_skipped = 0
        self._counts: Counter[Reading] = Counter()
        self._seconds = 0.0
        """Time that was spent for this model alone, summed over threads."""
        self._files_are_settled = False
        """Whether the files are finished or discarded; a second pass uses the same names."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Input columns that the output needs in each batch."""
        return self._choice.kept

    @property
    def ended(self) -> bool:
        """Whether further results would be ignored."""
        return self.error is not None or bool(self.reencode_reason)

    def start_copying(self, executor: Executor) -> None:
        """Copy the input's bytes on the executor's threads, before any result arrives."""
        if isinstance(self._writer, SplicedWriter):
            self._writer.start_copying(executor)

    def write(self, item: InputBatch, result: BatchResult | ScoringError) -> None:
        """Write one batch; ignored once the output has ended."""
        if self.ended:
            return
        if isinstance(result, ScoringError):
            self.error = result
            return
        started = time.perf_counter()
        self._write(item, result)
        self._seconds += result.seconds + time.perf_counter() - started

    def _write(self, item: InputBatch, result: BatchResult) -> None:
        self._count(item.counts)
        self._count(result.counts)
        bad = self._all_bad_rows(item, result)
        if bad:
            self._check_bad_rows(bad, result)
            if self.ended:
                return
            self._quarantine.write(bad)
        if result.skipped:
            if self._choice.copies_input:
                self.reencode_reason = ROWS_ARE_SKIPPED
                return
            self._rows_skipped += result.skipped
        try:
            self._write_predictions(item, result)
        except DataError as error:
            spec = self.predictor.model.spec
            text = f"object {self.predictor.key!r}, model {spec.model_id!r}: {error.text}"
            self.error = with_cause(DataError(text), error)

    def check_totals(self, rows_read: int) -> None:
        """Check the number of bad rows and of all rows after the last batch; sets `error`."""
        if self.ended:
            return
        fraction = self.predictor.model.spec.tolerated_quarantine_fraction
        rows = rows_read - self._rows_skipped
        if self._quarantine.rows > tolerated_rows(fraction, rows):
            self._fail(self._quarantine.rows, rows, all_read=True)
        elif self._rows is not None and rows_read != self._rows:
            self.error = DataError(
                f"object {self.predictor.key!r}: {rows_read:,} rows were read, its footer says {self._rows:,}: write "
                "it again"
            )
        elif self._writer.rows + self._quarantine.rows + self._rows_skipped != rows_read:
            # Whatever the cause, a row that is not accounted for must not count as scored.
            self.error = ScoringError(
                f"object {self.predictor.key!r}, model {self.predictor.model.spec.model_id!r}: of {rows_read:,} rows "
                f"{self._writer.rows:,} were scored, {self._quarantine.rows:,} quarantined and {self._rows_skipped:,} "
                "skipped: this is a bug in Fleetscore, report it with the model's record"
            )

    def discard(self) -> None:
        """Delete the files unless they are finished. Idempotent."""
        if self._files_are_settled:
            return
        self._files_are_settled = True
        self._writer.discard()
        self._quarantine.discard()

    def finish(self, keys: KeyReport | None) -> WrittenOutput | None:
        """Close the outputs and describe them. They are kept then, and `discard` has no effect.

        None means that `error` or `reencode_reason` is set.
        """
        started = time.perf_counter()
        try:
            self._writer.close()
            self._quarantine.close()
        except SpliceError as error:
            # Copying is an optimization: the object is re-encoded instead, and the ledger says why.
            log_error(error)
            self.reencode_reason = f"copying failed ({error.text})"
            return None
        rows = self._writer.rows + self._quarantine.rows + self._rows_skipped
        predictions = self._describe_predictions()
        quarantine = describe_file(self._quarantine) if self._quarantine.rows else None
        written = WrittenOutput(
            model_id=self.predictor.model.spec.model_id,
            # From the object's footer if it has one, so that the commit detects lost rows.
            rows_in=rows if self._rows is None else self._rows,
            rows_scored=self._writer.rows,
            rows_quarantined=self._quarantine.rows,
            predictions=predictions,
            quarantine=quarantine,
            writer=self._choice.name,
            keys=keys,
            notes=self.predictor.model.loaded.notes + self._notes,
            counts=describe_readings(self._counts),
            rows_skipped=self._rows_skipped,
            seconds=self._seconds + time.perf_counter() - started,
        )
        self._files_are_settled = True
        return written

    def _open_writer(self, path: Path, shared: SharedPartFiles | None) -> OutputWriter:
        return self._choice.open(path, shared)

    def _describe_predictions(self) -> WrittenFile:
        return describe_file(self._writer)

    def _count(self, counts: Mapping[Reading, int]) -> None:
        """Add counts of the columns that the model reads or keeps; batches are shared with other models."""
        plan = self.predictor.plan
        for reading, count in counts.items():
            if not reading.column or reading.column in plan.read or reading.column in plan.kept:
                self._counts[reading] += count

    def _all_bad_rows(self, item: InputBatch, result: BatchResult) -> list[BadRow]:
        """Return unreadable and unscorable rows together, in order."""
        rejected = [BadRow(row.row, FailureKind.DATA, row.reason, row.raw, detail=row.detail) for row in item.rejected]
        return sorted([*rejected, *result.bad], key=lambda row: row.row)

    def _check_bad_rows(self, bad: list[BadRow], result: BatchResult) -> None:
        """Set `error` for too many bad rows, or `reencode_reason` if the input is copied."""
        if self._first_bad is None:
            self._first_bad, self._cause = bad[0], result.cause
        self._raising_rows += sum(row.raised for row in result.bad)
        count = self._quarantine.rows + len(bad)
        if count > self.predictor.tolerated:
            # The search for bad rows ends when there are too many, and so does the reading.
            self._fail(count, self._rows, all_read=False)
        elif self._raising_rows > MAX_RAISING_ROWS:
            self.error = ModelError(
                f"object {self.predictor.key!r}, model {self.predictor.model.spec.model_id!r}: its predict failed on "
                f"more than {MAX_RAISING_ROWS:,} rows, the first is row {self._first_bad.row:,}: "
                f"{self._first_bad.reason}; the model is at fault and not single rows: register a corrected version",
                f"row {self._first_bad.row:,}: {self._first_bad.full_reason}",
            )
        elif self._choice.copies_input:
            self.reencode_reason = "rows are in quarantine"

    def _fail(self, count: int, rows: int | None, *, all_read: bool) -> None:
        assert self._first_bad is not None  # noqa: S101 - count is at least 1
        self.error = too_many_bad_rows(self.predictor, self._first_bad, count, rows, self._cause, all_read=all_read)

    def _write_predictions(self, item: InputBatch, result: BatchResult) -> None:
        columns = [item.batch.column(name) for name in self._choice.kept]
        numbers = [numeric_column(item.numbers())] if self._row_numbers else []
        if result.good is not None:
            columns = [filter_column(column, result.good) for column in columns]
            numbers = [filter_column(column, result.good) for column in numbers]
        self._writer.write([*columns, *result.columns, *numbers])


def describe_file(writer: Any) -> WrittenFile:
    size, prefix = writer.path.stat().st_size, writer.prefix_digest()
    # The file is read only if the writer does not know the digest of all of it.
    return WrittenFile(size, as_text(prefix) if prefix.bytes == size else digest_of(writer.path, prefix))
