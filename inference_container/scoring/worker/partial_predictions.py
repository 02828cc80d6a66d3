"""Predictions of a part of an object, set aside until all parts are there: for models that need a process a core.

Workers predict row ranges of one object beside each other; one of them then puts the ranges together. Between them
lie only predictions, in Arrow's stream format, and the bad rows.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.status import FailureKind
from scoring.bad_rows import BadRow
from scoring.readers import InputBatch, InputObject
from scoring.worker.model_run import BatchResult, ModelRun


def part_range(rows: int, part: int, parts: int) -> tuple[int, int]:
    """The rows of one part, from the first up to, not including, the second."""
    return rows * part // parts, rows * (part + 1) // parts


def batches_of_part(
    source: InputObject, rows_a_batch: int, columns: frozenset[str], part: int, parts: int
) -> Iterator[InputBatch]:
    """The batches of one part; of the row groups that it does not touch nothing is read."""
    counts = source.group_rows()
    start, stop = part_range(sum(counts), part, parts)
    if start == stop:
        return
    ends = np.cumsum(counts)
    groups = (int(np.searchsorted(ends, start, side="right")), int(np.searchsorted(ends, stop, side="left")) + 1)
    for item in source.batches(rows_a_batch, columns, use_threads=False, groups=groups):
        first, last = max(item.first_row, start), min(item.first_row + item.batch.num_rows, stop)
        if first < last:
            yield InputBatch(first, item.batch.slice(first - item.first_row, last - first))


class PartFile:
    """One model's predictions of one part: a value for every row, null where the row is bad."""

    def __init__(self, folder: Path, run: ModelRun, part: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._predictions, self._bad_rows = _paths(folder, run.model.spec.model_id, part)
        self._bad = self._bad_rows.open("w", encoding="utf-8")
        # Without what an output says of its columns: nulls must have a place here.
        self._schema = pa.schema([(field.name, field.type) for field in run.model.loaded.outputs])
        self._writer = pa.ipc.new_stream(str(self._predictions), self._schema)

    def write(self, result: BatchResult) -> None:
        columns = result.columns
        if result.good is not None:
            places = np.cumsum(result.good) - 1
            indices = pa.array(np.where(result.good, places, 0), mask=~result.good)
            columns = [column.take(indices) for column in columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        for row in result.bad:
            self._bad.write(json.dumps({**asdict(row), "kind": row.kind.value}) + "\n")

    def close(self) -> None:
        self._writer.close()
        self._bad.close()


class StoredPredictions:
    """Reads the parts of one model in the object's order, as if it predicted."""

    def __init__(self, folder: Path, run: ModelRun, parts: int) -> None:
        files = [_paths(folder, run.model.spec.model_id, part) for part in range(parts)]
        self._batches = _stream([predictions for predictions, _ in files])
        self._fields = run.model.loaded.outputs
        self._left: pa.RecordBatch | None = None
        self._bad = {row.row: row for _, path in files for row in _read_bad_rows(path)}

    def predict(self, item: InputBatch) -> BatchResult:
        """The predictions of the rows that follow those of the last call."""
        taken: list[pa.RecordBatch] = []
        missing = item.batch.num_rows
        while missing:
            batch = self._left if self._left is not None else next(self._batches)
            taken.append(batch.slice(0, missing))
            self._left = batch.slice(missing) if batch.num_rows > missing else None
            missing -= taken[-1].num_rows
        columns = [
            pa.concat_arrays([batch.column(index) for batch in taken]) if taken else pa.array([], field.type)
            for index, field in enumerate(self._fields)
        ]
        numbers = item.numbers().tolist()
        bad = tuple(self._bad[row] for row in numbers if row in self._bad) if self._bad else ()
        if not bad:
            return BatchResult(columns)
        good = np.array([row not in self._bad for row in numbers], dtype=bool)
        mask = pa.array(good)
        return BatchResult([column.filter(mask) for column in columns], good, bad)


def _paths(folder: Path, model_id: str, part: int) -> tuple[Path, Path]:
    return folder / f"{model_id}-{part}.arrow", folder / f"{model_id}-{part}.bad"


def _stream(paths: list[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


def _read_bad_rows(path: Path) -> list[BadRow]:
    with path.open(encoding="utf-8") as lines:
        return [_bad_row(json.loads(line)) for line in lines]


def _bad_row(fields: dict[str, Any]) -> BadRow:
    return BadRow(**{**fields, "kind": FailureKind(fields["kind"])})
