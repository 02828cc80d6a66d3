"""The label column: its values, converted to one kind for all objects, and a summary of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.training import label_types
from contract.training.training_spec import Task, TrainingSpec
from scoring.errors import IN_LOG, DataError, describe_error

MAX_CLASSES = 1_000
_SHOWN = 8
"""Classes listed in an error's detail."""


def label_kind(task: Task, kind: pa.DataType) -> str | None:
    """Return the kind in which a label column is trained: `number`, `whole`, `bool` or `text`.

    None means that the column cannot be the label of the task.
    """
    return label_types.label_kind(task, str(kind.value_type if pa.types.is_dictionary(kind) else kind))


def label_values(key: str, name: str, kind: str, column: pa.Array, first_row: int) -> npt.NDArray[Any]:
    """Convert a batch's labels to NumPy values.

    Raises DataError for a null, a NaN, an infinity, or a value that is not of the kind.
    """
    if column.null_count:
        row = first_row + column.is_null().to_pylist().index(True)
        raise DataError(
            f"object {key!r}: label column {name!r} is null in row {row:,}: fill these labels or drop their rows from "
            "the dataset"
        )
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        if kind == "text":
            return np.array(column.to_pylist(), dtype=object)
        if kind == "bool":
            return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.bool_)
        target = pa.float64() if kind == "number" else pa.int64()
        # Arrow casts a boolean to a number only by way of an integer.
        column = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
        values: npt.NDArray[Any] = column.cast(target).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise DataError(
            f"object {key!r}: label column {name!r} of type {column.type} has a value that is not a "
            f"{'number' if kind == 'number' else 'class (a whole number)'}, in rows {first_row:,} to "
            f"{first_row + len(column) - 1:,} ({describe_error(error)}; {IN_LOG}): fix the labels, or the task in the "
            "recipe"
        ) from error
    if kind == "number" and not np.isfinite(values).all():
        row = first_row + int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"object {key!r}: label column {name!r} is not finite (NaN or infinite) in row {row:,}: fix the labels"
        )
    return values


@dataclass(frozen=True)
class LabelSummary:
    """Facts about the labels, from one pass over them."""

    rows_trained: int
    rows_held_out: int
    classes: tuple[Any, ...]
    """Classes of the rows to train on, sorted; empty for a regression."""
    smallest: float
    """Smallest label of a regression; infinity for other tasks."""
    rarest_held_out: int | None = None
    """Held-out rows of the class that has the fewest. None for a regression, or if nothing is held out."""


def summarize_labels(
    spec: TrainingSpec, parts: Iterable[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]
) -> LabelSummary:
    """Read all labels with their held-out masks.

    Raises DataError when the labels cannot be trained on.
    """
    trained: Counter[Any] = Counter()
    held: Counter[Any] = Counter()
    rows = held_rows = 0
    smallest = float("inf")
    for values, mask in parts:
        rows += len(values)
        held_rows += int(mask.sum())
        if spec.task == "regression":
            smallest = min(smallest, float(values.min())) if len(values) else smallest
            continue
        for counter, chosen in ((trained, values[~mask]), (held, values[mask])):
            counter.update(dict(zip(*(part.tolist() for part in np.unique(chosen, return_counts=True)), strict=True)))
        check_class_count(spec, len(trained.keys() | held.keys()))
    rarest = min((held[value] for value in trained.keys() | held.keys()), default=None) if held_rows else None
    found = LabelSummary(rows - held_rows, held_rows, tuple(sorted(trained)), smallest, rarest)
    _refuse(spec, found, set(held))
    return found


def check_class_count(spec: TrainingSpec, classes: int) -> None:
    """Raise DataError when there are too many classes."""
    if classes > MAX_CLASSES:
        raise DataError(
            f"label column {spec.label!r} has more than {MAX_CLASSES:,} classes: check label, and whether the task "
            "is 'regression'"
        )


def _refuse(spec: TrainingSpec, found: LabelSummary, held: set[Any]) -> None:
    if not found.rows_trained:
        raise DataError(
            f"there is no row to train on: the {len(spec.objects)} training objects have no rows, or all of them are "
            "held out"
        )
    if spec.holdout_fraction and not spec.validation_objects and len(found.classes) == found.rows_trained:
        raise DataError(
            f"no row is held out of {found.rows_trained:,}, because each class has one row: add rows, or check label "
            f"{spec.label!r}, and whether the task is 'regression'"
        )
    if (spec.holdout_fraction or spec.validation_objects) and not found.rows_held_out:
        raise DataError(
            f"no row is held out of {found.rows_trained:,}, so nothing can be measured: add rows, raise "
            f"holdout_fraction ({spec.holdout_fraction:g}), or set it to 0 to train without metrics"
        )
    if spec.task == "regression":
        return
    column = f"label column {spec.label!r}"
    shown = ", ".join(repr(value) for value in found.classes[:_SHOWN]) + (", …" if len(found.classes) > _SHOWN else "")
    if len(found.classes) < 2:
        raise DataError(f"{column} has one class only in the rows to train on: a model needs two or more", shown)
    if spec.task == "binary" and len(found.classes) > 2:
        raise DataError(
            f"{column} has {len(found.classes):,} classes, task 'binary' takes two: use 'multiclass', or fix the "
            "labels",
            shown,
        )
    unknown = sorted(held - set(found.classes))
    if unknown:
        raise DataError(
            f"{column} has classes that only the held-out rows have ({len(unknown):,}): add rows of them, use "
            "another seed, or drop them",
            ", ".join(map(repr, unknown[:_SHOWN])),
        )
    if found.rows_held_out and len(held) < 2:
        raise DataError(
            f"the {found.rows_held_out:,} held-out rows have one class only, so nothing can be measured: give more "
            "rows, raise holdout_fraction, or choose another seed",
            repr(next(iter(held))),
        )
