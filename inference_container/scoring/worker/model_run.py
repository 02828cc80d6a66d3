"""One model over one object: each batch's predictions, and the rows that cannot be scored, each with its reason."""

import sys
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec, tolerated_rows
from contract.status import FailureKind
from scoring.bad_rows import BadRow, raw_values
from scoring.columns.bisection import by_halves
from scoring.columns.column_plan import ColumnPlan, cast_to_declared, plan_columns
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import prediction_columns
from scoring.errors import DataError, ModelError, ScoringError, TransientError, one_line
from scoring.models import LoadedModel
from scoring.readers import InputBatch

MOST_BLAMED_ROWS = 10_000
"""Rows of an object that are found one by one because predict raises on them: past these it is the model's fault."""


class SharedModel:
    """A loaded model; one whose library allows one call at a time gets no more."""

    def __init__(self, spec: ModelSpec, loaded: LoadedModel) -> None:
        self.spec = spec
        self.loaded = loaded
        self._lock = threading.Lock()
        self._planned: tuple[pa.Schema, dict[str, int], ColumnPlan] | None = None

    def plan(self, key: str, schema: pa.Schema, nulls: dict[str, int]) -> ColumnPlan:
        """As `plan_columns`, once for all objects that look alike."""
        last = self._planned
        if last is not None and last[1] == nulls and last[0].equals(schema, check_metadata=True):
            return last[2]
        plan = plan_columns(key, self.spec, self.loaded.outputs, schema, nulls)
        self._planned = (schema, nulls, plan)
        return plan

    def predict(self, batch: FeatureBatch) -> Any:
        if self.loaded.concurrent:
            return self.loaded.predict(batch)
        with self._lock:
            return self.loaded.predict(batch)


@dataclass(frozen=True)
class BatchResult:
    """The predictions of a batch's good rows, and its bad rows in order."""

    columns: list[pa.Array]
    good: npt.NDArray[np.bool_] | None = None
    """Which rows of the batch have a prediction; None: all."""
    bad: tuple[BadRow, ...] = ()
    cause: BaseException | None = None
    """What was raised on the first of them, for the log."""


class ModelRun:
    """Predicts batches, in any order and on several threads at once: it keeps nothing from one to the next."""

    def __init__(
        self, model: SharedModel, key: str, rows: int | None, plan: ColumnPlan, with_nulls: frozenset[str]
    ) -> None:
        self.model = model
        self.plan = plan
        self.key = key
        spec = model.spec
        self._names = tuple(feature.name for feature in spec.features)
        # A column whose null rows are not scored looks to the model as if it had none.
        self._with_nulls = with_nulls - {feature.name for feature in spec.features if not feature.nullable}
        kept = set(plan.kept)
        self._shown = (*plan.kept, *(name for name in self._names if name not in kept))
        fraction = spec.tolerated_quarantine_fraction
        # While nobody knows how many rows there are, nobody knows how many are too many.
        self.tolerated = sys.maxsize if rows is None and fraction else tolerated_rows(fraction, rows or 0)

    def predict(self, item: InputBatch) -> BatchResult | ScoringError:
        spec = self.model.spec
        name = f"object {self.key!r}, model {spec.model_id!r}"
        try:
            return self._predict(item)
        except ModelError as error:
            return located(ModelError(f"{name}: {error.text}"), error)
        except ScoringError as error:
            return error
        except MemoryError as error:
            text = f"{name}: out of memory, with few rows a batch too: choose an instance type with more memory"
            return located(TransientError(text), error)

    def _predict(self, item: InputBatch) -> BatchResult:
        batch = item.batch
        reasons: dict[int, str] = {}
        arrays: list[pa.Array] = []
        for feature in self.model.spec.features:
            array, found = cast_to_declared(feature, batch.column(feature.name), self.tolerated)
            arrays.append(array)
            for index, reason in found.items():
                reasons.setdefault(index, reason)
        kinds = dict.fromkeys(reasons, FailureKind.DATA)
        if len(reasons) > self.tolerated:
            # The object fails for these: nothing is gained by a look at its other rows.
            return BatchResult([], bad=self._bad_rows(item, reasons, kinds, set()))
        places = None
        if reasons:
            good = np.ones(batch.num_rows, dtype=bool)
            good[list(reasons)] = False
            places = np.flatnonzero(good)
            arrays = [array.filter(pa.array(good)) for array in arrays]
        columns, failed, cause = self._score(arrays, len(arrays[0]), None if reasons else item.shared)
        raised: set[int] = set()
        for position, (reason, was_raised) in failed.items():
            index = position if places is None else int(places[position])
            reasons[index], kinds[index] = reason, FailureKind.MODEL
            if was_raised:
                raised.add(index)
        if not reasons:
            return BatchResult(columns)
        good = np.ones(batch.num_rows, dtype=bool)
        good[list(reasons)] = False
        return BatchResult(columns, good, self._bad_rows(item, reasons, kinds, raised), cause)

    def _score(
        self, arrays: list[pa.Array], rows: int, shared: dict[object, npt.NDArray[Any]] | None
    ) -> tuple[list[pa.Array], dict[int, tuple[str, bool]], BaseException | None]:
        """Predictions of the good ones of these rows; of the others why not, and whether predict raised."""
        spec, outputs = self.model.spec, self.model.loaded.outputs
        if rows == 0:
            return [pa.array([], field.type) for field in outputs], {}, None

        def score(start: int, stop: int) -> tuple[list[pa.Array], dict[int, str]]:
            batch = FeatureBatch(self._names, tuple(arrays), self._with_nulls, shared)
            values = self.model.predict(batch if stop - start == rows else batch.slice(start, stop - start))
            return prediction_columns(spec, outputs, values, stop - start)

        halving = by_halves(rows, score, min(self.tolerated, MOST_BLAMED_ROWS))
        cause = next(iter(halving.failed.values()), None)
        failed = {
            row: (f"its {spec.method} failed on it ({one_line(error)})", True) for row, error in halving.failed.items()
        }
        pieces: list[list[pa.Array]] = []
        for start, (columns, missing) in halving.pieces:
            failed.update({start + index: (reason, False) for index, reason in missing.items()})
            pieces.append(_without(columns, missing))
        if len(pieces) == 1:
            return pieces[0], failed, cause
        joined = [
            pa.concat_arrays([piece[index] for piece in pieces]) if pieces else pa.array([], field.type)
            for index, field in enumerate(outputs)
        ]
        return joined, failed, cause

    def _bad_rows(
        self, item: InputBatch, reasons: dict[int, str], kinds: dict[int, FailureKind], raised: set[int]
    ) -> tuple[BadRow, ...]:
        # Past what is tolerated the object fails, and only the first is shown.
        shown = sorted(reasons) if len(reasons) <= self.tolerated else sorted(reasons)[:1]
        raw = {index: raw_values(item.batch, index, self._names_in(item.batch)) for index in shown}
        return tuple(
            BadRow(item.number(index), kinds[index], reasons[index], raw.get(index, ""), index in raised)
            for index in sorted(reasons)
        )

    def _names_in(self, batch: pa.RecordBatch) -> list[str]:
        """Columns to show: kept ones are not decoded where their bytes are copied."""
        present = set(batch.schema.names)
        return [name for name in self._shown if name in present]


def failure_of(run: ModelRun, bad: BadRow, count: int, rows: int | None, cause: BaseException | None) -> ScoringError:
    """Why an object fails whose bad rows, `count` so far, are more than its model tolerates; `bad` is the first."""
    spec = run.model.spec
    name = f"object {run.key!r}, model {spec.model_id!r}"
    fraction = spec.tolerated_quarantine_fraction
    if not fraction:
        text = f"{name}: row {bad.row:,} cannot be scored: {bad.reason}"
        remedy = "mend the row, or set tolerated_quarantine_fraction to quarantine such rows"
    else:
        of = "" if rows is None else f" of {rows:,}"
        text = (
            f"{name}: at least {count:,}{of} rows cannot be scored, more than tolerated_quarantine_fraction "
            f"{fraction:g} allows; the first is row {bad.row:,}: {bad.reason}"
        )
        remedy = "mend the rows, or raise the fraction"
    cls = ModelError if bad.kind is FailureKind.MODEL else DataError
    return located(cls(f"{text}: {remedy}"), cause)


def located(error: ScoringError, cause: BaseException | None) -> ScoringError:
    error.__cause__ = cause
    return error


def _without(columns: list[pa.Array], missing: dict[int, str]) -> list[pa.Array]:
    if not missing:
        return columns
    keep = np.ones(len(columns[0]), dtype=bool)
    keep[list(missing)] = False
    mask = pa.array(keep)
    return [column.filter(mask) for column in columns]
