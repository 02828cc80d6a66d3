"""Predicts the batches of one object with one model, and explains rows that it cannot score."""

import sys
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec, tolerated_rows
from contract.catalog.routes import SKIP
from contract.layout import OutputLayout
from contract.status import FailureKind
from scoring.bad_rows import BadRow, raw_values
from scoring.called_models import calling
from scoring.columns.bisection import bisect_failures
from scoring.columns.column_plan import ColumnPlan, plan_columns
from scoring.columns.feature_casts import cast_to_declared
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import prediction_columns
from scoring.columns.row_blocks import first_rows, join_in_blocks
from scoring.errors import (
    IN_LOG,
    DataError,
    ModelError,
    Reason,
    ScoringError,
    TransientError,
    describe_error,
    text_of,
    with_cause,
)
from scoring.fleets.fleet_model import FleetModel
from scoring.models import LoadedModel, rows_are_independent
from scoring.models.categories import Categories
from scoring.readers import InputBatch, Reading

_UNFIT = "is a feature of another model of the job; cells that its type cannot hold are null"

MAX_RAISING_ROWS = 10_000
"""Most rows per object for which predict may raise. Each is found by bisection; with more, the
model is at fault and not the rows."""


class ThreadSafeModel:
    """A loaded model and its spec.

    A lock protects models whose library allows one call at a time.
    """

    def __init__(
        self, spec: ModelSpec, loaded: LoadedModel, joined_outputs: tuple[pa.Field, ...] | None = None
    ) -> None:
        """`joined_outputs` are the prediction columns of a joined output, with their names there."""
        self.spec = spec
        self.loaded = loaded
        self.outputs = loaded.outputs if joined_outputs is None else joined_outputs
        """The prediction columns."""
        self.fleet = loaded if isinstance(loaded, FleetModel) else None
        self.layout: OutputLayout = "joined" if joined_outputs is not None else "fleet" if self.fleet else "per_model"
        self.features = spec.features
        """The record's features; one object for all models of a job with the same."""
        self.names = tuple(feature.name for feature in spec.features)
        self.without_nulls = frozenset(feature.name for feature in spec.features if not feature.nullable)
        self.width = sum(feature.width for feature in spec.features)
        self.dtype_depends_on_nulls = frozenset(
            feature.name for feature in spec.features if feature.type.startswith(("bool", "int", "uint"))
        )
        """Features whose column has another dtype in pandas if it has nulls."""
        self.categories: Categories = getattr(loaded, "categories", None) or Categories()
        self.has_categories = bool(self.categories)
        self.predicts_together = rows_are_independent(loaded)
        """Whether the model may predict rows of several objects in one call."""
        self._lock = threading.Lock()
        self._last_plan: tuple[pa.Schema, tuple[dict[str, int], frozenset[str]], ColumnPlan] | None = None

    def plan(
        self, key: str, schema: pa.Schema, nulls: dict[str, int], absent: frozenset[str] = frozenset()
    ) -> ColumnPlan:
        """Return `plan_columns`, cached while its arguments other than the key stay the same."""
        last = self._last_plan
        if last is not None and last[1] == (nulls, absent) and last[0].equals(schema, check_metadata=True):
            return last[2]
        fleet = None if self.fleet is None else self.fleet.fleet
        plan = plan_columns(key, self.spec, self.outputs, schema, nulls, absent=absent, layout=self.layout, fleet=fleet)
        self._last_plan = (schema, (nulls, absent), plan)
        return plan

    def predict(self, batch: FeatureBatch) -> Any:
        """Return the predictions of a batch, which are the same in a call with other objects."""
        if not self.predicts_together:
            return self.predict_as_given(batch)
        blocks = join_in_blocks([batch], batch.shared)
        return first_rows(self.predict_as_given(blocks), batch.rows, blocks.rows)

    def predict_as_given(self, batch: FeatureBatch) -> Any:
        if self.loaded.concurrent:
            return self._call(batch)
        with self._lock:
            return self._call(batch)

    def _call(self, batch: FeatureBatch) -> Any:
        if self.fleet is not None:
            return self.loaded.predict(batch)
        with calling(self.spec.model_id):
            return self.loaded.predict(batch)


@dataclass(frozen=True)
class PreparedBatch:
    """A batch's features in their declared types, and the rows that are bad before any prediction."""

    arrays: tuple[pa.Array, ...]
    reasons: dict[int, Reason]
    counts: dict[Reading, int]
    skipped: npt.NDArray[np.bool_] | None = None
    """Mask of the rows that get no prediction, because no model of the fleet has their route."""

    @property
    def rows(self) -> int:
        return len(self.arrays[0])


@dataclass(frozen=True)
class BatchResult:
    """The predictions of a batch's good rows, and its bad rows in order."""

    columns: list[pa.Array]
    good: npt.NDArray[np.bool_] | None = None
    """Mask of the rows that have a prediction; None means all rows."""
    bad: tuple[BadRow, ...] = ()
    cause: BaseException | None = None
    """The exception that predict raised on the first bad row, for the log."""
    counts: Mapping[Reading, int] = field(default_factory=dict)
    """How features were cast that could be cast in another way, with the number of values."""
    skipped: int = 0
    """Number of rows that have no prediction because no model of the fleet has their route."""
    seconds: float = 0.0
    """Time that the prediction took on its thread."""


class ObjectPredictor:
    """Predicts batches of one object with one model.

    Thread-safe: it keeps no state between batches.
    """

    def __init__(
        self, model: ThreadSafeModel, key: str, rows: int | None, plan: ColumnPlan, with_nulls: frozenset[str]
    ) -> None:
        self.model = model
        self.plan = plan
        self.key = key
        spec = model.spec
        self._names = model.names
        self._categories = model.categories
        # Null rows of a non-nullable feature are not scored, so the model sees a column without
        # nulls. NaN in floating-point numbers that are read as whole ones is null, in any batch.
        self.with_nulls = (with_nulls | plan.may_have_nan) - model.without_nulls
        fraction = spec.tolerated_quarantine_fraction
        # The tolerated number is unknown until the number of rows is known.
        self.tolerated = sys.maxsize if rows is None and fraction else tolerated_rows(fraction, rows or 0)

    def predict(self, item: InputBatch) -> BatchResult | ScoringError:
        """Predict a batch and return the result, or the error (not raised) that fails the object."""
        spec = self.model.spec
        name = f"object {self.key!r}, model {spec.model_id!r}"
        started = time.perf_counter()
        try:
            result = self._predict(item)
            return replace(result, seconds=time.perf_counter() - started)
        except ModelError as error:
            return with_cause(ModelError(f"{name}: {error.text}"), error)
        except ScoringError as error:
            return error
        except MemoryError as error:
            text = f"{name}: out of memory, even with few rows per batch: choose an instance type with more memory"
            return with_cause(TransientError(text), error)

    def prepare(self, item: InputBatch) -> PreparedBatch:
        """Cast the features of a batch. Raises ScoringError."""
        batch = item.batch
        reasons = {cell.index: Reason(cell.reason, cell.detail) for cell in item.unfit if cell.column in self.plan.read}
        counts: dict[Reading, int] = {}
        arrays: list[pa.Array] = []
        fleet = self.model.fleet
        route_by = "" if fleet is None else fleet.fleet.route_by
        unreadable = {cell.index for cell in item.unfit if cell.column == route_by}
        # The first bad rows may be skipped, so all are needed.
        max_bad = batch.num_rows if fleet is not None and fleet.fleet.unmatched == SKIP else self.tolerated
        for feature in self.model.spec.features:
            cast = cast_to_declared(feature, batch.column(feature.name), max_bad)
            arrays.append(cast.array)
            counts.update({Reading(feature.name, way): count for way, count in cast.ways.items()})
            for index, reason in cast.bad.items():
                reasons.setdefault(index, reason)
            if self._categories:
                self._categories.check(feature.name, cast.array, reasons, counts)
            if feature.name == route_by:
                unreadable.update(cast.bad)
        skipped = None
        if fleet is not None:
            features = self.features(tuple(arrays), None)
            skipped = fleet.check_rows(features, reasons, counts, unreadable=unreadable, max_bad=self.tolerated)
        return PreparedBatch(tuple(arrays), reasons, counts, skipped)

    def features(self, arrays: tuple[pa.Array, ...], shared: dict[object, npt.NDArray[Any]] | None) -> FeatureBatch:
        return FeatureBatch(self._names, arrays, self.with_nulls, shared)

    def _predict(self, item: InputBatch) -> BatchResult:
        batch = item.batch
        prepared = self.prepare(item)
        arrays, reasons, counts = prepared.arrays, dict(prepared.reasons), dict(prepared.counts)
        kinds = dict.fromkeys(reasons, FailureKind.DATA)
        if len(reasons) > self.tolerated:
            # These rows already fail the object, so its other rows are not predicted.
            return BatchResult([], bad=self._bad_rows(item, reasons, kinds, set()))
        positions = None
        if reasons or prepared.skipped is not None:
            good = _good_rows(batch.num_rows, reasons, prepared.skipped)
            positions = np.flatnonzero(good)
            arrays = tuple(array.filter(pa.array(good)) for array in arrays)
        columns, failed, cause = self._score(arrays, len(arrays[0]), item.shared if positions is None else None)
        raised: set[int] = set()
        for position, (reason, was_raised) in failed.items():
            index = position if positions is None else int(positions[position])
            reasons[index], kinds[index] = reason, FailureKind.MODEL
            if was_raised:
                raised.add(index)
        for cell in item.unfit:
            if cell.column not in self.plan.read and cell.index not in reasons:
                # Counted only if the output keeps the column.
                reading = Reading(cell.column, _UNFIT)
                counts[reading] = counts.get(reading, 0) + 1
        if not reasons and prepared.skipped is None:
            return BatchResult(columns, counts=counts)
        good = _good_rows(batch.num_rows, reasons, prepared.skipped)
        skipped = 0 if prepared.skipped is None else int(prepared.skipped.sum())
        return BatchResult(columns, good, self._bad_rows(item, reasons, kinds, raised), cause, counts, skipped)

    def _score(
        self, arrays: tuple[pa.Array, ...], rows: int, shared: dict[object, npt.NDArray[Any]] | None
    ) -> tuple[list[pa.Array], dict[int, tuple[Reason, bool]], BaseException | None]:
        """Predict these rows.

        Returns the predictions of the good rows; for each other row the reason and whether predict
        raised on it; and the first exception raised.
        """
        spec, outputs = self.model.spec, self.model.outputs
        if rows == 0:
            return [pa.array([], field.type) for field in outputs], {}, None

        def score(start: int, stop: int) -> tuple[list[pa.Array], dict[int, str]]:
            batch = self.features(arrays, shared)
            values = self.model.predict(batch if stop - start == rows else batch.slice(start, stop - start))
            return prediction_columns(spec, outputs, values, stop - start)

        found = bisect_failures(rows, score, min(self.tolerated, MAX_RAISING_ROWS))
        cause = next(iter(found.failures.values()), None)
        failed = {row: (self._failed_prediction(error, arrays, row), True) for row, error in found.failures.items()}
        chunks: list[list[pa.Array]] = []
        for start, (columns, missing) in found.results:
            failed.update({start + index: (Reason(reason), False) for index, reason in missing.items()})
            chunks.append(_without(columns, missing))
        if len(chunks) == 1:
            return chunks[0], failed, cause
        joined = [
            pa.concat_arrays([chunk[index] for chunk in chunks]) if chunks else pa.array([], field.type)
            for index, field in enumerate(outputs)
        ]
        return joined, failed, cause

    def _failed_prediction(self, error: BaseException, arrays: tuple[pa.Array, ...], row: int) -> Reason:
        """Return the reason of a row for which predict raised, with the features that are null there."""
        whose = "its"
        if self.model.fleet is not None:
            whose = f"model {self.model.fleet.name_of_member(self.features(arrays, None), row)!r}: its"
        text = f"{whose} {self.model.spec.method} failed for this row ({describe_error(error)})"
        nulls = [name for name, array in zip(self._names, arrays, strict=True) if not array[row].is_valid]
        if nulls:
            more = f" and {len(nulls) - 1:,} more" if len(nulls) > 1 else ""
            text += f", in which {nulls[0]!r}{more} is null: set nullable: false if the model cannot take nulls"
        return Reason(text, text_of(error))

    def _bad_rows(
        self, item: InputBatch, reasons: dict[int, Reason], kinds: dict[int, FailureKind], raised: set[int]
    ) -> tuple[BadRow, ...]:
        # With more than the tolerated rows the object fails, and only the first row is shown.
        shown = sorted(reasons) if len(reasons) <= self.tolerated else sorted(reasons)[:1]
        raw = {index: raw_values(item.batch, index, self._raw_names_in(item.batch)) for index in shown}
        raw |= {cell.index: cell.raw for cell in item.unfit if cell.index in reasons and cell.column in self.plan.read}
        return tuple(
            BadRow(
                item.number(index),
                kinds[index],
                reasons[index].text,
                raw.get(index, ""),
                index in raised,
                reasons[index].detail,
                reasons[index].remedy,
            )
            for index in sorted(reasons)
        )

    def _raw_names_in(self, batch: pa.RecordBatch) -> list[str]:
        """Return the columns to show; kept columns are not decoded if their bytes are copied."""
        present = set(batch.schema.names)
        return [name for name in dict.fromkeys((*self.plan.kept, *self._names)) if name in present]


def too_many_bad_rows(
    predictor: ObjectPredictor,
    first: BadRow,
    count: int,
    rows: int | None,
    cause: BaseException | None,
    *,
    all_read: bool = False,
) -> ScoringError:
    """Return the error of an object with more bad rows than its model tolerates.

    `count` is the number found so far, `rows` the object's rows or None if unknown. `all_read` says that all rows
    were read, so that there are no other bad ones.
    """
    spec = predictor.model.spec
    name = f"object {predictor.key!r}, model {spec.model_id!r}"
    fraction = spec.tolerated_quarantine_fraction
    # A failure of the model says nothing about the data, so only a bad row is to be corrected.
    correct = first.remedy or (
        "correct the model or its record" if first.kind is FailureKind.MODEL else "correct the data"
    )
    least = "" if all_read else "at least "
    of = "" if rows is None else f" of {rows:,}"
    if not fraction:
        # `BAD_ROWS` finds the number, by which objects differ that failed alike.
        text = f"{name}: row {first.row:,} cannot be scored: {first.reason}; {least}{count:,}{of} rows are bad"
        remedy = f"{correct}, or set tolerated_quarantine_fraction to quarantine such rows"
    else:
        text = (
            f"{name}: {least}{count:,}{of} rows cannot be scored, more than tolerated_quarantine_fraction "
            f"{fraction:g} allows; the first is row {first.row:,}: {first.reason}"
        )
        remedy = f"{correct}, or raise the fraction"
    if first.detail:
        remedy += "; the value is in the job's log" if first.kind is FailureKind.DATA else f"; {IN_LOG}"
    cls = ModelError if first.kind is FailureKind.MODEL else DataError
    return with_cause(cls(f"{text}: {remedy}", f"row {first.row:,}: {first.full_reason}"), cause)


def _good_rows(rows: int, bad: Collection[int], skipped: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows that are neither bad nor skipped."""
    good = np.ones(rows, dtype=bool) if skipped is None else ~skipped
    good[list(bad)] = False
    return good


def _without(columns: list[pa.Array], missing: dict[int, str]) -> list[pa.Array]:
    if not missing:
        return columns
    keep = np.ones(len(columns[0]), dtype=bool)
    keep[list(missing)] = False
    mask = pa.array(keep)
    return [column.filter(mask) for column in columns]
