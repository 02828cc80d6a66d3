"""The training data in batches, with features and labels in their declared types.

At most one batch is in memory; a trainer that needs more must keep it. Each iteration reads the
objects again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from contract.training.label_types import XGBOOST_TAKES_NUMBERS
from contract.training.training_spec import TrainingSpec
from scoring.columns.column_plan import plan_columns
from scoring.columns.features import FeatureBatch
from scoring.errors import DataError, ScoringError
from training.data.channel_files import LocalObject
from training.data.holdout import ClassLimits, held_out, held_out_of_classes, row_numbers
from training.data.labels import LabelSummary, check_class_count, label_kind, label_values, summarize_labels
from training.data.object_rows import feature_array, open_object, rows_of

_BATCH_BYTES = 16 << 20
"""Target size of a batch's features as 32-bit floats, in bytes, whatever the number of columns."""
_MOST_ROWS = 65_536
"""Largest batch, in rows."""
_SHOWN = 5
"""Problems listed in a message."""


@dataclass(frozen=True)
class Batch:
    """Some rows of one object."""

    key: str
    first_row: int
    features: FeatureBatch
    labels: npt.NDArray[Any]
    held_out: npt.NDArray[np.bool_]


class TrainingData:
    """The rows to train on and the held-out rows to measure with.

    With validation objects, their rows are the held-out ones, and no other row is held out.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        record: ModelSpec,
        train: tuple[LocalObject, ...],
        validation: tuple[LocalObject, ...],
        *,
        threads: int,
    ) -> None:
        self._spec = spec
        self._sources = [(source, False) for source in train] + [(source, True) for source in validation]
        self._threads = threads > 1
        self.batch_rows = max(1_024, min(_MOST_ROWS, _BATCH_BYTES // (4 * len(spec.features))))
        self.label_kind = self._check_columns(record)

    def summarize_labels(self) -> LabelSummary:
        """Read only the label column and summarize it.

        Raises DataError when the labels cannot be trained on.
        """
        return summarize_labels(self._spec, self._labels())

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in order of keys, validation objects last."""
        spec = self._spec
        columns = frozenset({spec.label, *(feature.name for feature in spec.features)})
        names = tuple(feature.name for feature in spec.features)
        for source, validation in self._sources:
            with open_object(source) as opened:
                for first_row, raw in rows_of(opened, self.batch_rows, columns, use_threads=self._threads):
                    arrays = tuple(
                        feature_array(source.key, feature, _column(raw, feature.name), first_row)
                        for feature in spec.features
                    )
                    nulls = frozenset(name for name, array in zip(names, arrays, strict=True) if array.null_count)
                    labels = label_values(source.key, spec.label, self.label_kind, _column(raw, spec.label), first_row)
                    mask = self._mask(source, first_row, labels, validation=validation)
                    yield Batch(source.key, first_row, FeatureBatch(names, arrays, nulls), labels, mask)

    def _labels(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]:
        for source, validation, first_row, values in self._label_values():
            yield values, self._mask(source, first_row, values, validation=validation)

    def _label_values(self) -> Iterator[tuple[LocalObject, bool, int, npt.NDArray[Any]]]:
        spec = self._spec
        columns = frozenset({spec.label})
        for source, validation in self._sources:
            with open_object(source) as opened:
                for first_row, raw in rows_of(opened, _MOST_ROWS, columns, use_threads=self._threads):
                    column = _column(raw, spec.label)
                    values = label_values(source.key, spec.label, self.label_kind, column, first_row)
                    yield source, validation, first_row, values

    def _mask(
        self, source: LocalObject, first_row: int, labels: npt.NDArray[Any], *, validation: bool
    ) -> npt.NDArray[np.bool_]:
        spec = self._spec
        if validation or spec.validation_objects:
            return np.full(len(labels), validation)
        numbers = row_numbers(spec.seed, source.key, first_row, len(labels))
        if spec.task == "regression" or not spec.holdout_fraction:
            return held_out(numbers, spec.holdout_fraction)
        return held_out_of_classes(numbers, labels, self._class_limits)

    @cached_property
    def _class_limits(self) -> Mapping[Any, float]:
        """Limits of the classes' row numbers, from one pass over the label column."""
        found = ClassLimits(self._spec.holdout_fraction)
        for source, _, first_row, values in self._label_values():
            found.add(values, row_numbers(self._spec.seed, source.key, first_row, len(values)))
            check_class_count(self._spec, found.classes)
        return found.limits()

    def _check_columns(self, record: ModelSpec) -> str:
        """Compare each object's schema with the spec, and return the kind of the labels."""
        spec = self._spec
        problems: list[str] = []
        kinds: dict[str, str] = {}
        for source, _ in self._sources:
            with open_object(source) as opened:
                try:
                    plan_columns(source.key, record, (), opened.schema, {})
                except ScoringError as error:
                    problems.append(error.text)
                if spec.label not in opened.schema.names:
                    problems.append(f"object {source.key!r} has no label column {spec.label!r}")
                    continue
                found = (
                    opened.schema.field(spec.label).type if opened.schema.names.count(spec.label) == 1 else pa.null()
                )
                kind = label_kind(spec.task, found)
                if kind is None:
                    problems.append(
                        f"object {source.key!r}: label column {spec.label!r} of type {found} cannot be the label of "
                        f"task {spec.task!r}"
                    )
                else:
                    kinds.setdefault(kind, source.key)
        if len(kinds) > 1:
            where = ", ".join(f"{kind} in {key!r}" for kind, key in kinds.items())
            problems.append(f"label column {spec.label!r} has different kinds in different objects: {where}")
        if "text" in kinds and spec.trainer == "xgboost":
            problems.append(f"label column {spec.label!r} is text: {XGBOOST_TAKES_NUMBERS}")
        if problems:
            more = f"; and {len(problems) - _SHOWN:,} more problems" if len(problems) > _SHOWN else ""
            raise DataError("; ".join(problems[:_SHOWN]) + more)
        return next(iter(kinds))


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(batch.schema.names.index(name))
