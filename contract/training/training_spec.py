"""The spec of a training job, and the report about the model that it trained.

The plan writes a `TrainingSpec`. The container reads it, and packs a `TrainingReport` into the
model's archive. RegisterModelVersion knows the model only from this report.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT, METHODS_OF_FORMAT, Method, ModelFormat
from contract.checks import check_range, check_unique
from contract.container_paths import SCRIPT_METRICS_NAME, TRAINING_REPORT_NAME
from contract.job.scoring_spec import PinnedObject
from contract.names import (
    check_dataset_name,
    check_execution_name,
    check_job_id,
    check_model_id,
    check_object_key,
    check_sha256,
    check_version,
)
from contract.problems import InvalidInputError, Problem
from contract.training.hyperparameters import EARLY_STOPPING, ESTIMATORS, parse_hyperparameters

Trainer = Literal["xgboost", "sklearn", "script"]
Task = Literal["binary", "multiclass", "regression"]

FORMATS_OF_TRAINER: dict[str, frozenset[str]] = {
    "xgboost": frozenset({"xgboost-ubj", "xgboost-json", "xgboost-sklearn-ubj", "xgboost-sklearn-json"}),
    "sklearn": frozenset({"sklearn-joblib"}),
    "script": frozenset(FRAMEWORK_OF_FORMAT) - {"custom"},
}
"""Formats that each trainer can save. A script may save any format, except code that scoring would
run."""

MAX_OBJECTS = 100_000
MAX_HYPERPARAMETERS = 100
"""SageMaker's limit, like the limits of a key and a value below, as in botocore's service model."""
HYPERPARAMETER_KEY_CHARACTERS = 256
HYPERPARAMETER_VALUE_CHARACTERS = 2_500
MAX_METRIC = 1e100
"""Largest metric. DynamoDB holds numbers up to 1e126."""
LARGEST_HOLDOUT = 0.5
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Metric:
    """A metric of a model on rows that it was not trained on."""

    tasks: frozenset[Task]
    greater_is_better: bool
    meaning: str
    lowest: float
    """Smallest value that the metric can have."""
    highest: float = math.inf
    """Largest value that the metric can have."""

    @property
    def best(self) -> float:
        return self.highest if self.greater_is_better else self.lowest


_BINARY: frozenset[Task] = frozenset({"binary"})
_MULTICLASS: frozenset[Task] = frozenset({"multiclass"})
_CLASSES: frozenset[Task] = frozenset({"binary", "multiclass"})
_REGRESSION: frozenset[Task] = frozenset({"regression"})

METRICS: dict[str, Metric] = {
    "auc": Metric(_BINARY, True, "area under the ROC curve", 0, 1),
    "average_precision": Metric(
        _BINARY, True, "average precision: the area under precision and recall, in steps", 0, 1
    ),
    "f1": Metric(_BINARY, True, "F1 of the second class, at probability 0.5", 0, 1),
    "f1_macro": Metric(_MULTICLASS, True, "unweighted mean of F1 over the classes", 0, 1),
    "logloss": Metric(_CLASSES, False, "mean negative logarithm of the true class's probability", 0),
    "accuracy": Metric(_CLASSES, True, "share of rows with the right class", 0, 1),
    "balanced_accuracy": Metric(_CLASSES, True, "unweighted mean of recall over the classes", 0, 1),
    "rmse": Metric(_REGRESSION, False, "root of the mean squared error", 0),
    "mae": Metric(_REGRESSION, False, "mean absolute error", 0),
    "r2": Metric(_REGRESSION, True, "coefficient of determination", -math.inf, 1),
}
"""The metrics by name. A promotion rule compares by `greater_is_better`."""

DEFAULT_METRIC: dict[Task, str] = {"binary": "auc", "multiclass": "logloss", "regression": "rmse"}


def metrics_of(task: str) -> tuple[str, ...]:
    """Return the names of a task's metrics.

    >>> metrics_of("regression")
    ('rmse', 'mae', 'r2')
    """
    return tuple(name for name, metric in METRICS.items() if task in metric.tasks)


@dataclass(frozen=True)
class TrainingSpec:
    """Immutable spec of a training job: one version of one model, from pinned objects of one
    dataset."""

    execution_id: str
    job_id: str
    model_id: str
    version: str
    """Version that the job trains."""
    dataset: str
    """Dataset to train on. Keys of `objects` are relative to its prefix."""
    trainer: Trainer
    label: str
    """Column to predict."""
    features: tuple[Feature, ...]
    task: Task
    method: Method
    format: ModelFormat
    model_file: str
    """Path of the serialized model inside model.tar.gz."""
    objects: tuple[PinnedObject, ...]
    metric: str
    """One of `METRICS`, for early stopping and the promotion rule."""
    key_columns: tuple[str, ...] = ()
    """Key columns of the version's record. Training does not read them."""
    output_columns: tuple[str, ...] = ()
    """Output columns of the version's record; empty: the default names."""
    missing: float | None = None
    """Number that XGBoost takes as missing besides nulls, also in the version's record."""
    validation_objects: tuple[PinnedObject, ...] = ()
    """Objects of the channel `validation`.

    If there are any, the metrics are measured on their rows, and nothing is held out.
    """
    validation_dataset: str | None = None
    """Dataset of `validation_objects`. Their keys are relative to its prefix."""
    holdout_fraction: float = 0.2
    """Share of rows that is held out of training for the metrics. With 0 there are no metrics."""
    seed: int = 0
    early_stopping_rounds: int | None = None
    estimator: str | None = None
    """One of `hyperparameters.ESTIMATORS`; only for trainer `sklearn`."""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    """Hyperparameters as text, as SageMaker passes them. The job request's hyperparameters override
    them."""
    code_sha256: str = ""
    """Lower-case hex SHA-256 of the script's archive; only for trainer `script`. No other archive
    is unpacked."""

    def __post_init__(self) -> None:
        problems = [
            # These two names are folders of the job's outputs.
            *check_execution_name("execution_id", self.execution_id),
            *check_job_id("job_id", self.job_id),
            *check_model_id("model_id", self.model_id),
            *check_version("version", self.version),
            *check_dataset_name("dataset", self.dataset),
            *check_object_key("model_file", self.model_file),
            *self._columns(),
            *self._model(),
            *self._objects(),
            *self._holdout(),
            *self._estimator(),
            *self._code(),
            *_hyperparameter_limits(self.hyperparameters),
        ]
        if self.trainer != "script" and self.task in DEFAULT_METRIC:
            problems += parse_hyperparameters(self.trainer, self.estimator, self.task, self.hyperparameters)[1]
        if problems:
            raise InvalidInputError("TrainingSpec", problems)

    @property
    def greater_is_better(self) -> bool:
        return METRICS[self.metric].greater_is_better

    def _columns(self) -> list[Problem]:
        names = [feature.name for feature in self.features]
        problems = [] if names else [Problem("features", [], "at least one feature column")]
        problems += check_unique("features", names)
        problems += check_unique("key_columns", list(self.key_columns))
        problems += check_unique("output_columns", list(self.output_columns))
        if not self.label:
            problems.append(Problem("label", self.label, "the name of the column to predict"))
        if self.label in names:
            remedy = "Remove the label from features: a model that sees the label learns nothing else."
            problems.append(Problem("label", self.label, "a column that is not a feature", remedy))
        texts = [feature.name for feature in self.features if feature.type == "string"]
        if self.trainer == "xgboost" and texts:
            remedy = "Encode them as numbers in the dataset, or use trainer 'sklearn', which encodes text itself."
            problems.append(Problem("features", texts, "numbers or booleans for trainer 'xgboost'", remedy))
        others = [feature.name for feature in self.features if feature.is_time or feature.is_list]
        if self.trainer != "script" and others:
            remedy = "Compute numbers from them in the dataset, or use trainer 'script'."
            expected = f"numbers, booleans and texts for trainer {self.trainer!r}"
            problems.append(Problem("features", others, expected, remedy))
        return problems

    def _model(self) -> list[Problem]:
        problems = []
        if self.model_file in (TRAINING_REPORT_NAME, SCRIPT_METRICS_NAME):
            expected = f"a name other than {TRAINING_REPORT_NAME} and {SCRIPT_METRICS_NAME}, which are files next to it"
            problems.append(Problem("model_file", self.model_file, expected))
        formats = FORMATS_OF_TRAINER.get(self.trainer, frozenset())
        if self.format not in formats:
            expected = f"one of {', '.join(sorted(formats))} for trainer {self.trainer!r}"
            problems.append(Problem("format", self.format, expected))
        methods = METHODS_OF_FORMAT.get(self.format, frozenset())
        if self.task == "regression":
            methods -= {"predict_proba", "decision_function"}
        if self.method not in methods:
            expected = f"one of {', '.join(sorted(methods))} for format {self.format!r} and task {self.task!r}"
            problems.append(Problem("method", self.method, expected))
        if self.metric not in metrics_of(self.task):
            problems.append(
                Problem("metric", self.metric, f"one of {', '.join(metrics_of(self.task))} for task {self.task!r}")
            )
        return problems

    def _objects(self) -> list[Problem]:
        problems = [] if self.objects else [Problem("objects", [], "at least one object")]
        for name, objects in (("objects", self.objects), ("validation_objects", self.validation_objects)):
            if len({item.key for item in objects}) != len(objects):
                problems.append(Problem(name, f"{len(objects)} objects", "each key once"))
            if len(objects) > MAX_OBJECTS:
                problems.append(Problem(name, f"{len(objects):,} objects", f"at most {MAX_OBJECTS:,}"))
        if self.validation_dataset is not None:
            problems += check_dataset_name("validation_dataset", self.validation_dataset)
        elif self.validation_objects:
            problems.append(Problem("validation_dataset", None, "the dataset of validation_objects"))
        return problems

    def _holdout(self) -> list[Problem]:
        problems = []
        if not 0 <= self.holdout_fraction <= LARGEST_HOLDOUT:
            expected = f"0 to {LARGEST_HOLDOUT}, the share of rows that is held out"
            problems.append(Problem("holdout_fraction", self.holdout_fraction, expected))
        if not 0 <= self.seed <= _LARGEST_SEED:
            problems.append(Problem("seed", self.seed, f"0 to {_LARGEST_SEED:,}"))
        rounds = self.early_stopping_rounds
        if rounds is None or self.trainer == "script":
            return problems
        if not 1 <= rounds <= 10_000:
            problems.append(Problem("early_stopping_rounds", rounds, "1 to 10,000 rounds without improvement"))
        if not self.holdout_fraction and not self.validation_objects:
            expected = "no early stopping when nothing is held out"
            remedy = "Set holdout_fraction above 0, or give validation objects."
            problems.append(Problem("early_stopping_rounds", rounds, expected, remedy))
        followed = EARLY_STOPPING.get(self.estimator or "" if self.trainer == "sklearn" else self.trainer)
        if followed is None:
            trained_by = f"estimator {self.estimator!r}" if self.estimator else f"trainer {self.trainer!r}"
            remedy = "Only trainer 'xgboost' and estimator 'hist_gradient_boosting' train in rounds."
            problems.append(Problem("early_stopping_rounds", rounds, f"no value for {trained_by}", remedy))
        elif self.metric not in followed:
            expected = f"no value, because metric {self.metric!r} cannot stop the training early"
            remedy = f"Leave it out, or set metric to one of {', '.join(sorted(followed))}."
            problems.append(Problem("early_stopping_rounds", rounds, expected, remedy))
        return problems

    def _estimator(self) -> list[Problem]:
        if self.trainer != "sklearn":
            expected = f"none: trainer {self.trainer!r} has no estimators to choose from"
            return [] if self.estimator is None else [Problem("estimator", self.estimator, expected)]
        known = [name for name, tasks in ESTIMATORS.items() if self.task in tasks]
        if self.estimator not in known:
            return [Problem("estimator", self.estimator, f"one of {', '.join(known)} for task {self.task!r}")]
        if self.method == "decision_function" and self.estimator in ("random_forest", "extra_trees"):
            return [Problem("method", self.method, f"predict or predict_proba for estimator {self.estimator!r}")]
        return []

    def _code(self) -> list[Problem]:
        if self.trainer != "script":
            expected = f"none: trainer {self.trainer!r} runs no script"
            return [Problem("code_sha256", self.code_sha256, expected)] if self.code_sha256 else []
        return check_sha256("code_sha256", self.code_sha256)


@dataclass(frozen=True)
class TrainingReport:
    """Report of a training job about its model, in `fleetscore.json` next to the model."""

    execution_id: str
    job_id: str
    model_id: str
    version: str
    trainer: Trainer
    task: Task
    framework: str
    framework_version: str
    format: ModelFormat
    model_file: str
    method: Method
    features: tuple[Feature, ...]
    output_columns: tuple[str, ...]
    """Names of the prediction columns in scoring."""
    metric: str
    greater_is_better: bool
    metrics: Mapping[str, float]
    """Every metric of the task, on the rows that were held out; empty if none were."""
    metric_value: float | None
    """Value of `metric`. None if nothing was held out, or if a script reported no metric."""
    rows_total: int | None
    """Rows in the data. A script reads its data itself, so all row counts are None."""
    rows_trained: int | None
    rows_held_out: int | None
    best_iteration: int | None
    """Best round, counted from 0. None for scripts and for estimators that do not train in
    rounds."""
    seconds: float
    resumed_from: int | None
    """Rounds of the checkpoint from which the training resumed. None if it started from scratch."""
    estimator: str | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    """Hyperparameters of the spec and the request, without defaults."""
    model_bytes: int = 0
    """Size of `model_file`, in bytes."""
    rarest_class_held_out: int | None = None
    """Held-out rows of the class that has the fewest. None for regressions and scripts, or if nothing is held out."""

    def __post_init__(self) -> None:
        problems = [*check_model_id("model_id", self.model_id), *check_version("version", self.version)]
        problems += check_object_key("model_file", self.model_file)
        metric = METRICS.get(self.metric)
        if metric is None or metric.greater_is_better != self.greater_is_better:
            problems.append(
                Problem("metric", self.metric, f"one of {', '.join(METRICS)}, with the metric's own greater_is_better")
            )
        values = {**self.metrics, self.metric: 0.0 if self.metric_value is None else self.metric_value}
        problems += [
            Problem(f"metrics.{name}", value, f"a finite number, at most {MAX_METRIC:g}")
            for name, value in values.items()
            if not is_metric(value)
        ]
        for name in (
            "rows_total",
            "rows_trained",
            "rows_held_out",
            "best_iteration",
            "resumed_from",
            "model_bytes",
            "rarest_class_held_out",
        ):
            problems += check_range(name, getattr(self, name), 0, 2**63 - 1, "in 64 bits")
        if self.metrics.get(self.metric) != self.metric_value:
            expected = f"{self.metrics.get(self.metric)!r}, the value of {self.metric!r} in metrics"
            problems.append(Problem("metric_value", self.metric_value, expected))
        if problems:
            raise InvalidInputError("TrainingReport", problems)


def is_metric(value: object) -> bool:
    """Return whether a value is a number that the table can hold as a metric."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -MAX_METRIC <= value <= MAX_METRIC


def _hyperparameter_limits(values: Mapping[str, str]) -> list[Problem]:
    problems = []
    if len(values) > MAX_HYPERPARAMETERS:
        problems.append(Problem("hyperparameters", f"{len(values)} hyperparameters", f"at most {MAX_HYPERPARAMETERS}"))
    longest, most = HYPERPARAMETER_KEY_CHARACTERS, HYPERPARAMETER_VALUE_CHARACTERS
    for name, value in values.items():
        if len(name) > longest or len(value) > most:
            expected = f"a name of at most {longest} characters and a value of at most {most:,}"
            problems.append(Problem(f"hyperparameters.{name[:40]}", value, expected))
    return problems
