"""Stored predictions of an object's parts, for models that need one process per core.

Workers predict row ranges of one object in parallel, and one of them merges the ranges. They
exchange only predictions, in Arrow's stream format, and the bad rows.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.status import FailureKind
from scoring.bad_rows import BadRow
from scoring.readers import InputBatch, InputObject, Reading
from scoring.worker.object_predictor import BatchResult, ObjectPredictor


def part_range(rows: int, part: int, parts: int) -> tuple[int, int]:
    """Return the half-open row range of one part.

    >>> [part_range(10, part, 3) for part in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    """
    return rows * part // parts, rows * (part + 1) // parts


def batches_of_part(
    source: InputObject, rows_per_batch: int, columns: frozenset[str], part: int, parts: int
) -> Iterator[InputBatch]:
    """Yield the batches of one part; row groups outside the part are not read."""
    counts = source.group_rows()
    start, stop = part_range(sum(counts), part, parts)
    if start == stop:
        return
    ends = np.cumsum(counts)
    groups = (int(np.searchsorted(ends, start, side="right")), int(np.searchsorted(ends, stop, side="left")) + 1)
    for item in source.batches(rows_per_batch, columns, use_threads=False, groups=groups):
        first, last = max(item.first_row, start), min(item.first_row + item.batch.num_rows, stop)
        if first < last:
            yield InputBatch(first, item.batch.slice(first - item.first_row, last - first))


class PartWriter:
    """Writes one model's predictions of one part: a value per row, null for rows that are bad or skipped.

    A second file has the bad rows, and on its last line the counts and the time.
    """

    def __init__(self, folder: Path, predictor: ObjectPredictor, part: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        predictions, bad_rows = _paths(folder, predictor.model.spec.model_id, part)
        self._bad_rows = bad_rows.open("w", encoding="utf-8")
        self._counts: Counter[Reading] = Counter()
        self._seconds = 0.0
        # Only names and types: the model's fields may be non-nullable, and bad rows are null here.
        self._schema = pa.schema([(field.name, field.type) for field in predictor.model.outputs])
        self._writer = pa.ipc.new_stream(str(predictions), self._schema)

    def write(self, result: BatchResult) -> None:
        columns = result.columns
        if result.good is not None:
            positions = np.cumsum(result.good) - 1
            indices = pa.array(np.where(result.good, positions, 0), mask=~result.good)
            columns = [column.take(indices) for column in columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        for row in result.bad:
            self._bad_rows.write(json.dumps({**asdict(row), "kind": row.kind.value}) + "\n")
        self._counts.update(result.counts)
        self._seconds += result.seconds

    def close(self) -> None:
        self._writer.close()
        counts = [[*reading, count] for reading, count in self._counts.items()]
        self._bad_rows.write(json.dumps({"counts": counts, "seconds": self._seconds}) + "\n")
        self._bad_rows.close()


class PartReader:
    """Reads one model's parts in row order; replaces its ObjectPredictor in a merge."""

    def __init__(self, folder: Path, predictor: ObjectPredictor, parts: int) -> None:
        files = [_paths(folder, predictor.model.spec.model_id, part) for part in range(parts)]
        self._batches = _stream([predictions for predictions, _ in files])
        self._fields = predictor.model.outputs
        self._rest: pa.RecordBatch | None = None
        self._bad: dict[int, BadRow] = {}
        self._counts: Counter[Reading] = Counter()
        self._seconds = 0.0
        """Counts and time of all parts, until the first batch has returned them."""
        for _, path in files:
            *rows, last = path.read_text(encoding="utf-8").splitlines()
            totals = json.loads(last)
            self._bad |= {row.row: row for row in map(_bad_row, map(json.loads, rows))}
            self._counts.update({Reading(*reading): count for *reading, count in totals["counts"]})
            self._seconds += totals["seconds"]

    def predict(self, item: InputBatch) -> BatchResult:
        """Return the stored predictions of a batch. Batches must come in row order."""
        taken: list[pa.RecordBatch] = []
        missing = item.batch.num_rows
        while missing:
            batch = self._rest if self._rest is not None else next(self._batches)
            taken.append(batch.slice(0, missing))
            self._rest = batch.slice(missing) if batch.num_rows > missing else None
            missing -= taken[-1].num_rows
        columns = [
            pa.concat_arrays([batch.column(index) for batch in taken]) if taken else pa.array([], field.type)
            for index, field in enumerate(self._fields)
        ]
        numbers = item.numbers().tolist()
        bad = tuple(self._bad[row] for row in numbers if row in self._bad) if self._bad else ()
        counts, self._counts = self._counts, Counter()
        seconds, self._seconds = self._seconds, 0.0
        if not columns[0].null_count:
            return BatchResult(columns, counts=counts, seconds=seconds)
        mask = columns[0].is_valid()
        good = np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)
        skipped = int((~good).sum()) - len(bad)
        columns = [column.filter(mask) for column in columns]
        return BatchResult(columns, good, bad, counts=counts, skipped=skipped, seconds=seconds)


def _paths(folder: Path, model_id: str, part: int) -> tuple[Path, Path]:
    return folder / f"{model_id}-{part}.arrow", folder / f"{model_id}-{part}.bad"


def _stream(paths: list[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


def _bad_row(fields: dict[str, Any]) -> BadRow:
    return BadRow(**{**fields, "kind": FailureKind(fields["kind"])})
