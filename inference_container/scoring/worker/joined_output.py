"""The joined output of one object: its kept columns once, then the prediction columns of each model."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scoring.columns.predictions import numeric_column
from scoring.outputs.writers import OutputWriter, WriterChoice
from scoring.protocol import WrittenFile
from scoring.readers import InputBatch
from scoring.splice import SharedPartFiles, SplicedWriter
from scoring.worker.model_output import ModelOutput, describe_file
from scoring.worker.object_predictor import BatchResult, ThreadSafeModel


class ModelColumns:
    """The prediction columns of one model for the batch that is being written: an OutputWriter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """Path of the joined output."""
        self.rows = 0
        """Number of scored rows."""
        self._columns: list[pa.Array] = []

    def write(self, columns: list[Any]) -> None:
        raise NotImplementedError("a joined output takes results")

    def add(self, result: BatchResult) -> None:
        """Take a batch's predictions; rows without one become null."""
        if result.good is None:
            self._columns = result.columns
            self.rows += len(result.columns[0])
            return
        indices = pa.array(np.where(result.good, np.cumsum(result.good) - 1, 0), mask=~result.good)
        self._columns = [column.take(indices) for column in result.columns]
        self.rows += int(result.good.sum())

    def take(self) -> list[pa.Array]:
        """Return the columns of the last batch."""
        columns, self._columns = self._columns, []
        return columns

    def close(self) -> None:
        """Do nothing: the joined output has the file."""

    def prefix_digest(self) -> None:
        """Return None: the joined output describes the file."""

    def discard(self) -> None:
        """Do nothing: the joined output has the file."""


class JoinedMember(ModelOutput):
    """The part of one model in a joined output, with a quarantine of its own."""

    file: WrittenFile | None = None
    """The joined output, once it is complete."""
    _columns: ModelColumns

    def take(self) -> list[pa.Array]:
        return self._columns.take()

    def _open_writer(self, path: Path, shared: SharedPartFiles | None) -> OutputWriter:
        self._columns = ModelColumns(path)
        return self._columns

    def _describe_predictions(self) -> WrittenFile:
        assert self.file is not None  # noqa: S101 - members finish after the joined output
        return self.file

    def _write_predictions(self, item: InputBatch, result: BatchResult) -> None:
        self._columns.add(result)


class JoinedOutput:
    """Writes the batches of all members to one file."""

    def __init__(
        self,
        path: Path,
        choice: WriterChoice,
        models: Sequence[ThreadSafeModel],
        members: Sequence[JoinedMember],
        shared: SharedPartFiles | None = None,
    ) -> None:
        """`models` are all models of the job. Those without a member cannot score the object."""
        self._kept = choice.kept
        self._models = models
        self._members: Mapping[ThreadSafeModel, JoinedMember] = {member.predictor.model: member for member in members}
        self._row_numbers = bool(models[0].spec.row_number_column)
        self._writer = choice.open(path, shared)
        self._is_settled = False

    def start_copying(self, executor: Executor) -> None:
        """Copy the input's bytes on the executor's threads, before any result arrives."""
        if isinstance(self._writer, SplicedWriter):
            self._writer.start_copying(executor)

    def write(self, item: InputBatch) -> None:
        """Write a batch whose results all members have. Ignored when one of them has failed."""
        if any(member.ended for member in self._members.values()):
            return
        columns: list[Any] = [item.batch.column(name) for name in self._kept]
        for model in self._models:
            member = self._members.get(model)
            if member is None:
                columns += [pa.nulls(item.batch.num_rows, field.type) for field in model.outputs]
            else:
                columns += member.take()
        if self._row_numbers:
            columns.append(numeric_column(item.numbers()))
        self._writer.write(columns)

    def finish(self) -> WrittenFile:
        """Complete the file and describe it. It is kept then, and `discard` has no effect.

        Raises SpliceError.
        """
        self._writer.close()
        self._is_settled = True
        return describe_file(self._writer)

    def discard(self) -> None:
        """Delete the file unless it is complete. Idempotent."""
        if not self._is_settled:
            self._is_settled = True
            self._writer.discard()
