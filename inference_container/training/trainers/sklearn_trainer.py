"""Trains scikit-learn estimators on a table in memory.

The table has only the needed columns, in the type in which the estimator computes. The rows are
counted first. So the matrix is allocated once and filled batch by batch, and data that does not fit
is refused before the process is killed.
"""

from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from contract.training.hyperparameters import parse_hyperparameters
from contract.training.training_spec import TrainingSpec
from scoring.columns.features import FeatureBatch
from scoring.errors import IN_LOG, DataError, ModelError, ScoringError, describe_error
from scoring.files.new_file import new_file
from scoring.job_log.events import log_event
from training.data.labels import LabelSummary
from training.data.training_data import TrainingData
from training.interruption import Interruption
from training.trainers.memory import refuse_if_too_large
from training.trainers.metrics import evaluate
from training.trainers.sklearn_preparation import make_estimator, make_preparation, matrix_type, peak_copies
from training.trainers.trainer import TrainingContext, TrainingResult, threads_for

_TEXT_BYTES = 64
"""Memory per text value in pandas and the encoder, in bytes."""
_PREDICTED_ROWS = 65_536
"""Held-out rows per prediction call."""
_SAMPLE_ROWS = 256


def train(job: TrainingContext) -> TrainingResult:
    """Train, save and measure. Raises ScoringError.

    A signal ends the training at once, because scikit-learn has no checkpoints.
    """
    spec = job.spec
    dataset = TrainingData(spec, job.record, job.train.objects, job.validation.objects, threads=job.cores)
    found = dataset.summarize_labels()
    job.interruption.check()
    rows = found.rows_trained + found.rows_held_out
    refuse_if_too_large(
        needed_bytes(spec, found),
        f"training {spec.estimator} on {rows:,} rows with {len(spec.features)} features",
        "choose an instance type with more memory, fewer features or objects, or trainer 'xgboost', which streams them",
    )
    log_event(
        "training_started",
        rows_trained=found.rows_trained,
        rows_held_out=found.rows_held_out,
        rarest_class_held_out=found.rarest_held_out,
    )
    table = _Table(spec, dataset, found, job.interruption)

    def stop() -> None:
        raise job.interruption.error()

    threads = threads_for(found.rows_trained, len(spec.features), job.cores)
    with (
        job.interruption.call_on_signal(stop),
        threadpool_limits(threads),
        joblib.parallel_config(backend="threading", n_jobs=threads),
    ):
        model, best = _fit(spec, table)
        metrics = _measure(spec, model, table)
    job.interruption.check()
    _save(job, model)
    return TrainingResult(
        metrics=metrics,
        rows_trained=found.rows_trained,
        rows_held_out=found.rows_held_out,
        rarest_class_held_out=found.rarest_held_out,
        best_iteration=best,
        sample=table.sample,
    )


def needed_bytes(spec: TrainingSpec, found: LabelSummary) -> int:
    """Return the peak memory of the training in bytes, without the trees."""
    rows = found.rows_trained + found.rows_held_out
    texts = sum(feature.type == "string" for feature in spec.features)
    numbers = len(spec.features) - texts
    return int(rows * (numbers * np.dtype(matrix_type(spec)).itemsize * peak_copies(spec) + texts * _TEXT_BYTES + 16))


class _Table:
    """All rows in memory; `frames` and `labels` have the held-out ones under True."""

    def __init__(
        self, spec: TrainingSpec, dataset: TrainingData, found: LabelSummary, interruption: Interruption
    ) -> None:
        self._spec = spec
        self._numbers = [feature.name for feature in spec.features if feature.type != "string"]
        self._texts = [feature.name for feature in spec.features if feature.type == "string"]
        sizes = {False: found.rows_trained, True: found.rows_held_out}
        kind = matrix_type(spec)
        # Columns first, as pandas stores them, so a frame over the transposed block needs no copy.
        blocks = {held: np.empty((len(self._numbers), size), dtype=kind) for held, size in sizes.items()}
        texts: dict[tuple[bool, str], list[pa.Array]] = {(h, name): [] for h in sizes for name in self._texts}
        labels: dict[bool, list[npt.NDArray[Any]]] = {held: [] for held in sizes}
        filled = dict.fromkeys(sizes, 0)
        self.sample: FeatureBatch | None = None
        for batch in dataset.batches():
            interruption.check()
            self.sample = self.sample or _head(batch.features)
            matrix = self._matrix(batch.features, kind, batch.key)
            for held in sizes:
                chosen = batch.held_out if held else ~batch.held_out
                count = int(chosen.sum())
                blocks[held][:, filled[held] : filled[held] + count] = matrix[chosen].T
                filled[held] += count
                labels[held].append(batch.labels[chosen])
                for name in self._texts:
                    texts[held, name].append(_array(batch.features, name).filter(pa.array(chosen)))
        if filled != sizes:
            raise DataError(f"the objects changed while they were read: {filled} rows after {sizes}")
        self.frames = {held: self._frame(blocks[held], texts, held) for held in sizes}
        self.labels = {held: np.concatenate(parts) for held, parts in labels.items()}

    def _matrix(self, features: FeatureBatch, kind: type[np.floating[Any]], key: str) -> npt.NDArray[Any]:
        arrays = tuple(_array(features, name) for name in self._numbers)
        if not arrays:
            return np.empty((features.rows, 0), dtype=kind)
        with np.errstate(over="ignore"):
            matrix = FeatureBatch(tuple(self._numbers), arrays, frozenset()).matrix(kind)
        infinite = np.isinf(matrix).any(axis=0)
        if infinite.any():
            name = self._numbers[int(infinite.argmax())]
            raise DataError(
                f"object {key!r}: feature column {name!r} has an infinite value, or one too large for "
                f"{np.dtype(kind).name}: scikit-learn takes finite values and nulls only"
            )
        return matrix

    def _frame(self, block: npt.NDArray[Any], texts: dict[tuple[bool, str], list[pa.Array]], held: bool) -> Any:
        frame = pd.DataFrame(block.T, columns=self._numbers, copy=False)
        columns = {
            name: pa.chunked_array(texts.pop((held, name)), pa.string()).to_pandas().to_numpy(dtype=object)
            for name in self._texts
        }
        for name, values in columns.items():
            frame[name] = pd.Series(values, dtype="str")
        return frame[[feature.name for feature in self._spec.features]] if columns else frame


def _fit(spec: TrainingSpec, table: _Table) -> tuple[Any, int | None]:
    """Return the fitted estimator or pipeline, and its best round from 0 if it trains in rounds."""
    values, _ = parse_hyperparameters("sklearn", spec.estimator, spec.task, spec.hyperparameters)
    preparation, estimator = make_preparation(spec), make_estimator(spec, values)
    frame, labels = table.frames[False], table.labels[False]
    missing = [name for name in frame.columns if frame[name].isna().all()]
    if missing:
        raise DataError(f"the feature columns {missing} have nothing but nulls in the rows to train on: drop them")
    try:
        # Fitted separately, because a pipeline does not transform the held-out rows for its last
        # step.
        ready = frame if preparation is None else preparation.fit_transform(frame)
        if spec.early_stopping_rounds is not None:
            held = table.frames[True]
            held = held if preparation is None else preparation.transform(held)
            estimator.fit(ready, labels, X_val=held, y_val=table.labels[True])
        else:
            estimator.fit(ready, labels)
    except ScoringError:
        raise
    except (ValueError, TypeError, FloatingPointError, np.linalg.LinAlgError) as error:
        raise ModelError(
            f"{spec.estimator} cannot be trained on this data with these hyperparameters ({describe_error(error)}; "
            f"{IN_LOG})"
        ) from error
    if getattr(estimator, "n_jobs", None) is not None:
        estimator.set_params(n_jobs=None)
    iterations = getattr(estimator, "n_iter_", None) if spec.estimator == "hist_gradient_boosting" else None
    model = estimator if preparation is None else Pipeline([("preparation", preparation), ("model", estimator)])
    return model, None if iterations is None else int(iterations) - 1


def _measure(spec: TrainingSpec, model: Any, table: _Table) -> dict[str, float]:
    frame, labels = table.frames[True], table.labels[True]
    if not len(frame):
        return {}
    predict = model.predict if spec.task == "regression" else model.predict_proba
    parts = [predict(frame.iloc[first : first + _PREDICTED_ROWS]) for first in range(0, len(frame), _PREDICTED_ROWS)]
    truth = labels if spec.task == "regression" else np.searchsorted(model.classes_, labels)
    return evaluate(spec.task, truth, np.concatenate(parts))


def _save(job: TrainingContext, model: Any) -> None:
    with new_file(job.model_path) as file:
        joblib.dump(model, file)


def _array(features: FeatureBatch, name: str) -> pa.Array:
    return features.arrays[features.names.index(name)]


def _head(features: FeatureBatch) -> FeatureBatch | None:
    if not features.rows:
        return None
    arrays = tuple(array.slice(0, _SAMPLE_ROWS) for array in features.arrays)
    nulls = frozenset(name for name, array in zip(features.names, arrays, strict=True) if array.null_count)
    return FeatureBatch(features.names, arrays, nulls)
