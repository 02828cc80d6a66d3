"""Trains XGBoost from Parquet batches; the data is in memory only once, as XGBoost's bins.

Memory holds the bins of all rows: about one byte per value, up to five where values are missing.
Further it holds one label, gradient and prediction per row, and one batch. Objects are decoded again for each of
XGBoost's four passes. With `external_memory` the bins are on disk.

Each round depends only on the model before it and on its number. So a training that resumes from a
checkpoint gives the same model, byte for byte, as an uninterrupted one.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.training.hyperparameters import EARLY_STOPPING, Value, parse_hyperparameters
from contract.training.training_spec import TrainingSpec
from scoring.columns.features import FeatureBatch
from scoring.errors import IN_LOG, MORE_ROOM, ConfigurationError, DataError, ScoringError, describe_error
from scoring.files.new_file import new_file
from scoring.job_log.events import log_event
from scoring.models.trees.xgboost_library import xgboost
from training.data.labels import LabelSummary
from training.data.training_data import Batch, TrainingData
from training.interruption import Interruption
from training.trainers.checkpoints import Checkpoint, CheckpointFolder, fingerprint
from training.trainers.memory import refuse_if_too_large
from training.trainers.metrics import evaluate
from training.trainers.trainer import TrainingContext, TrainingResult, threads_for

DEFAULT_ROUNDS = 100
DEFAULT_CHECKPOINT_ROUNDS = 10
_CHECKPOINT_SPACING = 10
"""Checkpoints are at least a tenth of the finished rounds apart."""
_TRAINER_HYPERPARAMETERS = frozenset({"num_boost_round", "checkpoint_rounds", "external_memory"})
_OBJECTIVE = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
_EVAL_METRIC = {
    "auc": "auc",
    "average_precision": "aucpr",
    "accuracy": "error",
    "mae": "mae",
    "rmse": "rmse",
    "r2": "rmse",
    "logloss": "logloss",
}
"""XGBoost's metric per metric of the contract: the same, or one that orders models the same way."""
_MULTICLASS_EVAL_METRIC = {"error": "merror", "logloss": "mlogloss"}
_SMALLEST_LABEL = {
    # objective: (limit, its wording in messages, whether the limit itself is allowed)
    "reg:gamma": (0.0, "above 0", False),
    "reg:tweedie": (0.0, "from 0", True),
    "count:poisson": (0.0, "from 0", True),
    "reg:squaredlogerror": (-1.0, "above -1", False),
}
_SAMPLING = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")
_SAMPLE_ROWS = 256
_SEED_LIMIT = 2**31


def train(job: TrainingContext) -> TrainingResult:
    """Train, save and measure.

    Raises ScoringError; after a signal InterruptedTrainingError, once a checkpoint is saved.
    """
    spec = job.spec
    dataset = TrainingData(spec, job.record, job.train.objects, job.validation.objects, threads=job.cores)
    found = dataset.summarize_labels()
    job.interruption.check()
    values, _ = parse_hyperparameters("xgboost", None, spec.task, spec.hyperparameters)
    _refuse_labels(spec, found, values)
    _refuse_size(spec, found, values)
    log_event(
        "training_started",
        rows_trained=found.rows_trained,
        rows_held_out=found.rows_held_out,
        rarest_class_held_out=found.rarest_held_out,
    )
    try:
        threads = threads_for(found.rows_trained, len(spec.features), job.cores)
        matrices = _Matrices(job, dataset, found, values, threads)
        rounds = _Rounds(job, matrices, found, values, threads)
        booster, best = rounds.run()
        metrics = _measure(spec, booster, matrices.held_out) if matrices.held_out is not None else {}
    except xgboost.core.XGBoostError as error:
        raise ScoringError(f"XGBoost failed ({describe_error(error)}; {IN_LOG})") from error
    _save(job, booster)
    return TrainingResult(
        metrics=metrics,
        rows_trained=found.rows_trained,
        rows_held_out=found.rows_held_out,
        rarest_class_held_out=found.rarest_held_out,
        best_iteration=best,
        resumed_from=rounds.resumed_from,
        sample=_sample(dataset),
    )


def needed_bytes(spec: TrainingSpec, found: LabelSummary, values: dict[str, Value]) -> int:
    """Return an upper bound of the training's memory in bytes, for many missing values."""
    rows = found.rows_trained + found.rows_held_out
    groups = max(1, len(found.classes)) if spec.task == "multiclass" else 1
    bins = 0 if values.get("external_memory") else rows * len(spec.features) * 5
    return bins + rows * (16 + 12 * groups)


class BatchIterator(xgboost.DataIter):  # type: ignore[misc]
    """Passes batches to XGBoost: either the rows to train on, or the held-out ones."""

    def __init__(
        self, dataset: TrainingData, interruption: Interruption, *, held_out: bool, cache_prefix: str | None
    ) -> None:
        self._dataset = dataset
        self._interruption = interruption
        self._held_out = held_out
        self._batches: Iterator[Batch] = iter(())
        super().__init__(cache_prefix=cache_prefix, release_data=True)

    def reset(self) -> None:
        self._batches = self._dataset.batches()

    def next(self, input_data: Any) -> bool:
        for batch in self._batches:
            # XGBoost passes on exceptions from this callback.
            self._interruption.check()
            chosen = batch.held_out if self._held_out else ~batch.held_out
            if not chosen.any():
                continue
            matrix = _finite(batch)[chosen]
            input_data(
                data=matrix, label=batch.labels[chosen].astype(np.float32), feature_names=list(batch.features.names)
            )
            return True
        return False


class _Matrices:
    """The binned data, built batch by batch."""

    def __init__(
        self, job: TrainingContext, dataset: TrainingData, found: LabelSummary, values: dict[str, Value], threads: int
    ) -> None:
        cls, folder = xgboost.QuantileDMatrix, None
        if values.get("external_memory"):
            cls, folder = xgboost.ExtMemQuantileDMatrix, job.scratch / "bins"
            folder.mkdir()
            refuse_without_room(job.spec, found, folder)
        bins = values.get("max_bin", 256)
        missing = np.nan if job.spec.missing is None else job.spec.missing

        def build(name: str, reference: Any) -> Any:
            iterator = BatchIterator(
                dataset,
                job.interruption,
                held_out=reference is not None,
                cache_prefix=None if folder is None else str(folder / name),
            )
            return cls(iterator, missing=missing, max_bin=bins, nthread=threads, ref=reference)

        self.train = build("train", None)
        # With the bins of the training rows, a row goes the same way at each split as with its raw
        # values.
        self.held_out = build("held-out", self.train) if found.rows_held_out else None

    @property
    def all(self) -> list[Any]:
        return [self.train] if self.held_out is None else [self.train, self.held_out]


class _Rounds:
    """The boosting rounds, resumed from the newest checkpoint."""

    def __init__(
        self, job: TrainingContext, matrices: _Matrices, found: LabelSummary, values: dict[str, Value], threads: int
    ) -> None:
        spec = job.spec
        self._job = job
        self._matrices = matrices
        self._rounds = int(values.get("num_boost_round") or DEFAULT_ROUNDS)
        self._every = int(values.get("checkpoint_rounds") or DEFAULT_CHECKPOINT_ROUNDS)
        self._sampled = any(values.get(name, 1) != 1 for name in _SAMPLING)
        self._parameters = _parameters(spec, found, values, threads)
        self._greater = self._parameters["eval_metric"] in ("auc", "aucpr")
        self._patience = spec.early_stopping_rounds
        identity = fingerprint(spec, xgboost.__version__, threads)
        self._folder = CheckpointFolder(job.paths.checkpoints, identity)
        self.resumed_from: int | None = None

    def run(self) -> tuple[Any, int]:
        """Train, and return the booster up to its best round, and that round's number from 0."""
        booster = xgboost.Booster(self._parameters, self._matrices.all)
        history: list[float] = []
        checkpoint = self._folder.newest()
        done = saved = 0
        if checkpoint is not None:
            booster.load_model(bytearray(checkpoint.model))
            booster.set_param(self._parameters)
            history, done, saved = list(checkpoint.history), checkpoint.rounds, checkpoint.rounds
            self.resumed_from = done
            log_event("resumed", rounds=done)
        while done < self._rounds and not self._exhausted(history):
            if self._job.interruption.requested:
                break
            self._reseed(booster, done)
            booster.update(self._matrices.train, done)
            history += self._held_out_metric(booster, done)
            done += 1
            # Each checkpoint writes the whole model, so they get further apart as the model grows.
            if done - saved >= max(self._every, done // _CHECKPOINT_SPACING):
                self._save(booster, done, history)
                saved = done
                log_event("checkpoint", rounds=done, **self._shown(history))
        if self._job.interruption.requested:
            if done > saved:
                self._save(booster, done, history)
            self._job.interruption.saved = f"{done} rounds are in a checkpoint, from which the next attempt resumes"
            self._job.interruption.check()
        best = self._best(history) if self._patience else done - 1
        log_event("rounds_ended", rounds=done, best_iteration=best, **self._shown(history))
        return (booster[: best + 1] if best + 1 < done else booster), best

    def _reseed(self, booster: Any, done: int) -> None:
        """Derive the random choices of a round from its number.

        XGBoost's random generators carry over from round to round and are in no model file, even
        with `seed_per_iteration`: the generator for columns belongs to the tree updater. Switching
        the tree method there and back creates a new updater.
        """
        if self._sampled:
            booster.set_param({"tree_method": "approx"})
            booster.num_features()  # applies the parameters
            booster.set_param({"tree_method": "hist", "seed": (self._job.spec.seed + done) % _SEED_LIMIT})

    def _held_out_metric(self, booster: Any, done: int) -> list[float]:
        if self._matrices.held_out is None:
            return []
        text = booster.eval_set([(self._matrices.held_out, "held_out")], done)
        value = float(text.rpartition(":")[2])
        if not np.isfinite(value):
            raise DataError(
                f"round {done}: the held-out {self._parameters['eval_metric']} is {value}: the training diverged; "
                "lower eta, or look for extreme labels"
            )
        return [value]

    def _save(self, booster: Any, done: int, history: list[float]) -> None:
        self._folder.save(Checkpoint(tuple(history), bytes(booster.save_raw("ubj")), done))

    def _best(self, history: list[float]) -> int:
        return int(np.argmax(history) if self._greater else np.argmin(history))

    def _exhausted(self, history: list[float]) -> bool:
        return bool(self._patience and history and len(history) - 1 - self._best(history) >= self._patience)

    def _shown(self, history: list[float]) -> dict[str, float]:
        return {self._parameters["eval_metric"]: history[-1]} if history else {}


def refuse_without_room(spec: TrainingSpec, found: LabelSummary, folder: Path) -> None:
    """Raise ConfigurationError if the bins cannot fit into a folder: XGBoost would abort the process."""
    rows = found.rows_trained + found.rows_held_out
    needed, free = rows * len(spec.features), shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigurationError(
            f"hyperparameter external_memory: the bins of {rows:,} rows and {len(spec.features)} features need "
            f"{needed:,} bytes, the disk has {free:,} (No space left on device): {MORE_ROOM}, or choose fewer features "
            "or objects"
        )


def _parameters(spec: TrainingSpec, found: LabelSummary, values: dict[str, Value], threads: int) -> dict[str, Any]:
    metric = spec.metric if spec.metric in EARLY_STOPPING["xgboost"] else "logloss"
    followed = _EVAL_METRIC[metric]
    parameters: dict[str, Any] = {
        "objective": _OBJECTIVE[spec.task],
        **{name: value for name, value in values.items() if name not in _TRAINER_HYPERPARAMETERS},
        "tree_method": "hist",
        "nthread": threads,
        "seed": spec.seed,
        "eval_metric": followed,
        "verbosity": 1,
    }
    if spec.task == "multiclass":
        parameters["num_class"] = len(found.classes)
        parameters["eval_metric"] = _MULTICLASS_EVAL_METRIC.get(followed, followed)
    return parameters


def _refuse_labels(spec: TrainingSpec, found: LabelSummary, values: dict[str, Value]) -> None:
    if spec.task != "regression":
        numbers = [int(value) for value in found.classes]
        if numbers != list(range(len(numbers))):
            raise DataError(
                f"label column {spec.label!r} has {len(numbers):,} classes that are not numbered from 0 without gaps, "
                "as trainer 'xgboost' takes them: number them in the dataset, or use trainer 'sklearn'",
                f"classes {numbers[:8]}",
            )
        return
    objective = values.get("objective")
    low, words, inclusive = _SMALLEST_LABEL.get(str(objective), (-np.inf, "", True))
    if found.smallest < low or (found.smallest == low and not inclusive):
        raise DataError(
            f"label column {spec.label!r} has labels outside those of objective {objective!r}, which takes labels "
            f"{words}: choose another objective, or fix the labels",
            f"the smallest label is {found.smallest:g}",
        )


def _refuse_size(spec: TrainingSpec, found: LabelSummary, values: dict[str, Value]) -> None:
    rows = found.rows_trained + found.rows_held_out
    refuse_if_too_large(
        needed_bytes(spec, found, values),
        f"training XGBoost on {rows:,} rows with {len(spec.features)} features",
        "choose an instance type with more memory, fewer features or objects, or the hyperparameter "
        "external_memory=true",
    )


def _finite(batch: Batch) -> Any:
    """Return the batch as 32-bit floats, with missing values as NaN.

    Raises DataError for an infinite value, which XGBoost refuses.
    """
    with np.errstate(over="ignore"):
        matrix = batch.features.matrix(np.float32)
    infinite = np.isinf(matrix)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise DataError(
            f"object {batch.key!r}: feature column {batch.features.names[column]!r} is infinite, or too large for a "
            f"32-bit float, in row {batch.first_row + int(row):,}: XGBoost takes finite values and nulls only"
        )
    return matrix


def _measure(spec: TrainingSpec, booster: Any, held_out: Any) -> dict[str, float]:
    truth = held_out.get_label()
    if spec.task == "regression":
        return evaluate(spec.task, truth, booster.predict(held_out))
    if spec.task == "binary":
        second = booster.predict(held_out)
        return evaluate(spec.task, truth, np.column_stack((1 - second, second)))
    margins = booster.predict(held_out, output_margin=True).astype(np.float64)
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return evaluate(spec.task, truth, powers / powers.sum(axis=1, keepdims=True))


def _save(job: TrainingContext, booster: Any) -> None:
    spec = job.spec
    if spec.format.startswith("xgboost-sklearn-"):
        # The attribute that XGBClassifier and XGBRegressor write, and need to load the model.
        kind = "regressor" if spec.task == "regression" else "classifier"
        booster.set_attr(scikit_learn=json.dumps({"_estimator_type": kind}))
    with new_file(job.model_path) as file:
        file.write(booster.save_raw("json" if spec.format.endswith("json") else "ubj"))


def _sample(dataset: TrainingData) -> FeatureBatch | None:
    batch = next((batch for batch in dataset.batches() if batch.features.rows), None)
    if batch is None:
        return None
    arrays: tuple[pa.Array, ...] = tuple(array.slice(0, _SAMPLE_ROWS) for array in batch.features.arrays)
    return FeatureBatch(batch.features.names, arrays, batch.features.with_nulls)
