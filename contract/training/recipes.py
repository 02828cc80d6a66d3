"""Recipes: training of a model, and promotion of trained versions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from contract.catalog.instance_types import MAX_VOLUME_GB
from contract.catalog.model_fields import MAX_ATTEMPTS_LIMIT, MembershipFields, PredictionFields
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT, MISSING_FORMATS
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, ModelVersion
from contract.catalog.spot import LONGEST_WAIT_SECONDS, check_spot_wait, spot_wait_seconds
from contract.checks import check_range
from contract.job.scoring_spec import PinnedObject
from contract.names import InstanceTypes, check_dataset_name, check_instance_type, check_object_key, check_sha256
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import values_of
from contract.training.training_spec import DEFAULT_METRIC, METRICS, Task, Trainer, TrainingReport, TrainingSpec

_ANY_OBJECT = (PinnedObject("any", 0, ""),)
_ANY_SHA256 = "0" * 64
"""Placeholder for an artifact's digest while a recipe is checked."""
_LONGEST_SECONDS = 28 * 86_400
"""Longest run time of a training job, in seconds, as SageMaker documents it."""
_DEFAULT_FILE = {
    "sklearn": "model.joblib",
    "sklearn-skops": "model.skops",
    "xgboost": "model",
    "tensorflow-savedmodel": "1/saved_model.pb",
    "keras": "model.keras",
    "pytorch-export": "model.pt2",
    "torchscript": "model.pt",
}
"""File name per format if its library needs a name or an extension, else per framework."""
MAX_CODE_BYTES = 20_000_000
"""Largest archive of a training script, in bytes. The plan reads many archives at once."""


@dataclass(frozen=True)
class Promotion:
    """The rule by which a trained version becomes the current one."""

    mode: Literal["rule", "approval"] = "rule"
    """`rule`: the metric decides at once.

    `approval`: a person decides, and sees what the rule would decide.
    """
    floor: float | None = None
    """Worst acceptable value of the recipe's metric. None means any."""
    min_improvement: float = 0.0
    """Minimum improvement of the metric over the current version. A negative value allows a worse
    metric."""

    def __post_init__(self) -> None:
        # Comparisons with NaN are always false, so such a rule would refuse everything with a
        # misleading reason.
        values = {"floor": self.floor or 0.0, "min_improvement": self.min_improvement}
        problems = [
            Problem(name, value, "a finite number") for name, value in values.items() if not math.isfinite(value)
        ]
        if problems:
            raise InvalidInputError("Promotion", problems)


@dataclass(frozen=True)
class TrainingCompute:
    """Compute of a training job, which always has one instance. None means the stage's setting."""

    instance_type: str | None = None
    volume_size_gb: int | None = None
    max_runtime_seconds: int | None = None
    spot: bool = False
    """Whether to use managed spot training, which is cheaper. An interrupted job resumes from its
    last checkpoint."""
    max_wait_seconds: int | None = None
    """Time limit for the run and the waits for spot capacity together. None means twice the run
    time."""
    larger_instance_types: tuple[str, ...] | None = None
    """Instance types to which a job changes when an attempt runs out of memory: see
    `Compute.larger_instance_types`."""
    max_volume_size_gb: int | None = None
    """Largest volume that an attempt may get after earlier ones had filled smaller ones."""

    def __post_init__(self) -> None:
        problems = check_instance_type("instance_type", self.instance_type)
        problems += check_range("volume_size_gb", self.volume_size_gb, 1, MAX_VOLUME_GB, "GB")
        problems += check_range("max_volume_size_gb", self.max_volume_size_gb, 1, MAX_VOLUME_GB, "GB")
        problems += InstanceTypes().problems("larger_instance_types", self.larger_instance_types or ())
        problems += check_range("max_runtime_seconds", self.max_runtime_seconds, 1, _LONGEST_SECONDS, "seconds")
        problems += check_range("max_wait_seconds", self.max_wait_seconds, 1, LONGEST_WAIT_SECONDS, "seconds")
        problems += check_spot_wait(self.max_runtime_seconds, self.max_wait_seconds, spot=self.spot)
        if problems:
            raise InvalidInputError("TrainingCompute", problems)

    def with_fallback(self, fallback: Compute) -> Compute:
        """Return these values, with the stage's where a value is None."""
        own = Compute(
            self.instance_type,
            1,
            self.volume_size_gb,
            self.max_runtime_seconds,
            self.larger_instance_types,
            self.max_volume_size_gb,
            # The stage's setting is about scoring, so a recipe without spot has none.
            spot=self.spot,
            max_wait_seconds=self.max_wait_seconds,
        )
        return own.with_fallback(fallback)

    def wait_seconds(self, max_runtime_seconds: int) -> int | None:
        """Return MaxWaitTimeInSeconds for a job with this run time; None without spot.

        >>> TrainingCompute(spot=True).wait_seconds(3_600), TrainingCompute().wait_seconds(3_600)
        (7200, None)
        """
        if not self.spot:
            return None
        return spot_wait_seconds(max_runtime_seconds, self.max_wait_seconds)


@dataclass(frozen=True)
class TrainingCode:
    """A training script in an archive. The digest is part of the archive's key in the models
    bucket."""

    program: str
    """Path of the script inside the archive."""
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        problems = check_object_key("program", self.program)
        problems += check_sha256("sha256", self.sha256)
        problems += check_range("bytes", self.bytes, 1, MAX_CODE_BYTES, "bytes")
        if problems:
            raise InvalidInputError("TrainingCode", problems)


@dataclass(frozen=True)
class ModelRecipe(MembershipFields, PredictionFields):
    """Training of a model, and the record fields of its versions."""

    model_id: str
    trainer: Trainer
    task: Task
    training_dataset: str
    label: str
    dataset: str
    """Dataset that a version scores."""
    validation_dataset: str | None = None
    """Dataset whose rows give the metrics. None means rows that are held out of the training
    dataset."""
    model_file: str = ""
    """Path of the serialized model inside model.tar.gz; empty: a default name per format."""
    metric: str = ""
    """Name of the metric that decides about a promotion; empty: the default of the task."""
    estimator: str | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    holdout_fraction: float = 0.2
    seed: int = 0
    early_stopping_rounds: int | None = None
    promotion: Promotion = field(default_factory=Promotion)
    compute: TrainingCompute = field(default_factory=TrainingCompute)
    max_attempts: int = 3
    """Maximum attempts per training job."""
    scoring_compute: Compute = field(default_factory=Compute)
    """Compute of the versions' scoring jobs."""
    scoring_max_attempts: int = 3
    """Maximum attempts per scoring job of the versions."""
    code: TrainingCode | None = None
    """The training script, for trainer `script`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the versions. A model that is new in the catalog gets them, too."""
    updated_at: str = ""
    updated_by: str = ""

    def __post_init__(self) -> None:
        problems = check_dataset_name("training_dataset", self.training_dataset)
        if self.validation_dataset is not None:
            problems += check_dataset_name("validation_dataset", self.validation_dataset)
            if self.validation_dataset == self.training_dataset:
                expected = f"a dataset other than training_dataset, {self.training_dataset!r}"
                remedy = "Leave it out to hold out a part of the training dataset."
                problems.append(Problem("validation_dataset", self.validation_dataset, expected, remedy))
        problems += check_range("max_attempts", self.max_attempts, 1, MAX_ATTEMPTS_LIMIT, "attempts")
        problems += self._check_code()
        problems += self._check_missing()
        problems += self._check_parts()
        if problems:
            raise InvalidInputError("recipe", problems)

    def _check_code(self) -> list[Problem]:
        if self.trainer == "script" and self.code is None:
            return [Problem("code", None, "the archive and the script in it, because trainer is 'script'")]
        if self.trainer != "script" and self.code is not None:
            return [Problem("code", self.code.program, f"no value, because trainer is {self.trainer!r}")]
        return []

    def _check_missing(self) -> list[Problem]:
        """Check that XGBoost's hyperparameter `missing` of a script equals the versions' field."""
        text = self.hyperparameters.get("missing", "")
        if self.trainer != "script" or self.format not in MISSING_FORMATS:
            return []
        try:
            trained = float(text)
        except ValueError:
            return []
        if trained == self.missing or (math.isnan(trained) and self.missing is None):
            return []
        remedy = "Set missing, so that the versions are scored as they were trained."
        return [Problem("missing", self.missing, f"{text}, as in hyperparameters.missing", remedy)]

    def promotion_problems(self) -> list[Problem]:
        """Check that the metric can reach the values that a promotion needs.

        Records of earlier releases may have such a rule, so the record itself can be read.
        """
        metric, rule = METRICS.get(self.effective_metric), self.promotion
        if metric is None:
            return []
        problems = []
        better, worse = ("at most", "above") if metric.greater_is_better else ("at least", "below")
        if rule.floor is not None and (
            rule.floor > metric.best if metric.greater_is_better else rule.floor < metric.best
        ):
            expected = f"{better} {metric.best:g}, because {self.effective_metric} is never {worse} that"
            remedy = f"Write {rule.floor / 100:g} for {rule.floor:g} percent." if 1 < rule.floor <= 100 else ""
            problems.append(Problem("promotion.floor", rule.floor, expected, remedy))
        span = metric.highest - metric.lowest
        if rule.min_improvement > span:
            expected = f"at most {span:g}, because {self.effective_metric} is {metric.lowest:g} to {metric.highest:g}"
            problems.append(Problem("promotion.min_improvement", rule.min_improvement, expected))
        return problems

    def _check_parts(self) -> list[Problem]:
        """Check the training spec and the version that this recipe would produce.

        The problems have the recipe's field names.
        """
        problems: list[Problem] = []
        validation = _ANY_OBJECT if self.validation_dataset else ()
        names = {"dataset": "training_dataset"}
        try:
            self.training_spec("any", "any", "any", _ANY_OBJECT, validation)
        except InvalidInputError as error:
            # People write `code`, so a missing script is reported there.
            found = [problem for problem in error.problems if problem.field != "code_sha256"]
            problems += [replace(problem, field=names.get(problem.field, problem.field)) for problem in found]
        try:
            self._version("any", _ANY_SHA256, 0)
        except InvalidInputError as error:
            # A recipe has no custom_code: the format that needs it is already refused.
            known = {"custom_code", *(problem.field for problem in problems)}
            problems += [problem for problem in error.problems if problem.field not in known]
        return problems

    @property
    def saved_as(self) -> str:
        """Path of the serialized model inside model.tar.gz."""
        framework = FRAMEWORK_OF_FORMAT.get(self.format, "")
        ending = f".{self.format.rpartition('-')[2]}" if framework == "xgboost" else ""
        return self.model_file or _DEFAULT_FILE.get(self.format) or _DEFAULT_FILE.get(framework, "model") + ending

    @property
    def effective_metric(self) -> str:
        """Name of the metric that decides about a promotion."""
        return self.metric or DEFAULT_METRIC.get(self.task, "")

    def training_spec(
        self,
        execution_id: str,
        job_id: str,
        version: str,
        objects: tuple[PinnedObject, ...],
        validation_objects: tuple[PinnedObject, ...],
    ) -> TrainingSpec:
        """Return the spec of a training job.

        Raises:
            InvalidInputError: with every problem of the spec.
        """
        return TrainingSpec(
            execution_id=execution_id,
            job_id=job_id,
            model_id=self.model_id,
            version=version,
            dataset=self.training_dataset,
            trainer=self.trainer,
            label=self.label,
            features=self.features,
            task=self.task,
            method=self.method,
            format=self.format,
            model_file=self.saved_as,
            objects=objects,
            metric=self.effective_metric,
            key_columns=self.key_columns,
            output_columns=self.output_columns,
            missing=self.missing,
            validation_objects=validation_objects,
            validation_dataset=self.validation_dataset,
            holdout_fraction=self.holdout_fraction,
            seed=self.seed,
            early_stopping_rounds=self.early_stopping_rounds,
            estimator=self.estimator,
            hyperparameters=self.hyperparameters,
            code_sha256=self.code.sha256 if self.code is not None else "",
        )

    @property
    def candidate(self) -> ModelVersion:
        """A version of this recipe, with placeholders for its name and artifact."""
        return self._version("any", _ANY_SHA256, 0)

    def trained_version(self, report: TrainingReport, sha256: str, size: int) -> ModelVersion:
        """Return the catalog's record of an artifact that was trained by this recipe."""
        version = self._version(report.version, sha256, size)
        spec = replace(version.spec, framework_version=report.framework_version)
        return replace(version, spec=spec, metrics=dict(report.metrics))

    def _version(self, version: str, sha256: str, size: int) -> ModelVersion:
        spec = ModelSpec(
            model_id=self.model_id,
            version=version,
            artifact_sha256=sha256,
            artifact_bytes=size,
            framework=FRAMEWORK_OF_FORMAT[self.format],
            model_file=self.saved_as,
            **values_of(PredictionFields, self),
        )
        return ModelVersion(
            spec=spec,
            dataset=self.dataset,
            compute=self.scoring_compute,
            max_attempts=self.scoring_max_attempts,
            tags=self.tags,
            **values_of(MembershipFields, self),
        )
