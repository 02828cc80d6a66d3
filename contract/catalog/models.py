"""The catalog's records: models, and their immutable versions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from contract.catalog.compute_fields import ComputeFields
from contract.catalog.model_fields import RegistrationFields, check_membership
from contract.catalog.model_spec import ModelSpec
from contract.catalog.spot import check_spot_wait, spot_wait_seconds
from contract.checks import raise_if_any
from contract.problems import InvalidInputError, Problem
from contract.schema.field_info import check_fields, describe
from contract.status import VersionState

HISTORY_LIMIT = 20
"""Maximum number of changes in a model's history. Older ones are only in the versions' records."""
REASON_CHARACTERS = 500
"""Longest reason, in characters."""


OPTIONAL_FIELDS = frozenset({"larger_instance_types", "max_volume_size_gb", "spot", "max_wait_seconds"})
"""Fields of `Compute` that a stage may leave out. Then its attempts get no larger type or volume, and
no spot capacity."""


@dataclass(frozen=True)
class Compute(ComputeFields):
    """Compute of a job: a request's values override the model's, and these the stage's."""

    def __post_init__(self) -> None:
        raise_if_any([*check_fields(self), *self._check_larger_types(), *self._check_wait()], "Compute")

    def _check_larger_types(self) -> list[Problem]:
        if self.instance_type is None or self.instance_type not in (self.larger_instance_types or ()):
            return []
        expected = f"types other than instance_type, {self.instance_type!r}"
        return [Problem("larger_instance_types", list(self.larger_instance_types or ()), expected)]

    def _check_wait(self) -> list[Problem]:
        # Without spot the limit has no effect here: a request may turn spot on.
        return check_spot_wait(self.max_runtime_seconds, self.max_wait_seconds, spot=True)

    @property
    def uses_spot(self) -> bool:
        """Whether the jobs are training jobs on spot capacity; False if no fallback says so."""
        return self.spot is True

    @property
    def wait_seconds(self) -> int:
        """Longest time of an attempt with spot, in seconds: its run and all waits for capacity.

        >>> Compute(max_runtime_seconds=3_600, spot=True).wait_seconds
        7200
        """
        return spot_wait_seconds(self.max_runtime_seconds or 0, self.max_wait_seconds)

    def with_fallback(self, fallback: "Compute") -> "Compute":
        """Return these values, with the fallback's where a value is None.

        >>> Compute("ml.c5.large").with_fallback(Compute("ml.m5.large", 2))  # doctest: +ELLIPSIS
        Compute(instance_type='ml.c5.large', instance_count=2, ...)
        """
        larger = self.larger_instance_types
        if larger is None:
            # The fallback's types are larger than its own type, and maybe not than this one.
            larger = fallback.larger_instance_types if self.instance_type is None else ()
        spot = fallback.spot if self.spot is None else self.spot
        runtime = self.max_runtime_seconds or fallback.max_runtime_seconds
        wait = None if spot is False else self.max_wait_seconds or fallback.max_wait_seconds
        if wait is not None and runtime is not None:
            # A limit of one record may be less than the run time of another.
            wait = max(wait, runtime)
        return Compute(
            instance_type=self.instance_type or fallback.instance_type,
            instance_count=self.instance_count or fallback.instance_count,
            volume_size_gb=self.volume_size_gb or fallback.volume_size_gb,
            max_runtime_seconds=runtime,
            larger_instance_types=larger,
            max_volume_size_gb=self.max_volume_size_gb or fallback.max_volume_size_gb,
            spot=spot,
            max_wait_seconds=wait,
        )


def instance_types(compute: Compute) -> tuple[str, ...]:
    """Return the instance types that the attempts of a job may have, smaller ones first."""
    return (compute.instance_type or "", *(compute.larger_instance_types or ()))


@dataclass(frozen=True)
class TrainedBy:
    """The training job that made a version."""

    execution_id: str
    training_job_name: str
    dataset: str
    metric: str
    """Name of the metric that decides about a promotion."""
    rows_trained: int | None = None
    """Rows that the model was trained on. None if a script did not report them."""
    rows_held_out: int | None = None
    """Rows that the metrics were measured on. None if a script did not report them."""
    seconds: float = 0.0
    rarest_class_held_out: int | None = None
    """Held-out rows of the class that has the fewest. None for regressions and scripts, or if nothing is held out."""
    inputs_sha256: str = ""
    """Digest of what the version was trained from: see `inputs_sha256`. Empty in earlier releases."""


@dataclass(frozen=True)
class VersionDecision:
    """Decision about a trained version, with the reason. The time is ISO 8601 in UTC."""

    state: VersionState
    reason: str
    decided_at: str = ""
    decided_by: str = ""

    def __post_init__(self) -> None:
        check_reason(self.reason, "VersionDecision")


def check_reason(reason: str, subject: str) -> None:
    """Raise InvalidInputError if a reason is too long for a model's history."""
    if len(reason) > REASON_CHARACTERS:
        raise InvalidInputError(subject, [Problem("reason", reason, f"at most {REASON_CHARACTERS} characters")])


@dataclass(frozen=True, kw_only=True)
class ModelVersion(RegistrationFields):
    """A version of a model: its artifact, how it is scored, on which dataset and compute.

    Only `decision` ever changes.
    """

    spec: ModelSpec = field(metadata=describe("Settings with which the container loads the model and scores."))
    compute: Compute = field(
        default_factory=Compute, metadata=describe("Instances, volume and time limit of the version's jobs.")
    )
    registered_at: str = field(default="", metadata=describe("Time of registration, ISO 8601 in UTC."))
    registered_by: str = field(
        default="", metadata=describe("ARN of the caller that registered the version, or of the training execution.")
    )
    tags: Mapping[str, str] = field(
        default_factory=dict,
        metadata=describe(
            "The model's tags at the time of registration. Executions select by the tags of the model itself."
        ),
    )
    metrics: Mapping[str, float] = field(
        default_factory=dict,
        metadata=describe("Metrics of a trained version, by name, measured on rows that were held out of training."),
    )
    trained_by: TrainedBy | None = field(
        default=None,
        metadata=describe(
            "The training job and dataset of a trained version. None: the version was registered or imported.",
            see="([training](../../learn/train-models.md))",
        ),
    )
    decision: VersionDecision | None = field(
        default=None,
        metadata=describe(
            "Whether a trained version was promoted, rejected or waits for approval, and why. None: the version was "
            "registered or imported, so there is nothing to decide."
        ),
    )

    def __post_init__(self) -> None:
        raise_if_any([*check_fields(self), *check_membership(self)], "ModelVersion")


@dataclass(frozen=True)
class DeletedVersion:
    """What remains of a deleted version: its name, which no other version of the model gets.

    Records, outputs and quarantine files name versions, and stay. The time is ISO 8601 in UTC.
    """

    model_id: str
    version: str
    deleted_at: str


@dataclass(frozen=True)
class CurrentChange:
    """A change of a model's current version. The time is ISO 8601 in UTC."""

    version: str
    changed_at: str
    changed_by: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        check_reason(self.reason, "CurrentChange")


@dataclass(frozen=True)
class Model:
    """A model: which of its versions is current, and whether executions score it."""

    model_id: str
    current_version: str
    enabled: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    updated_at: str = ""
    previous_version: str | None = None
    """Version that was current before; a rollback restores it. None if there was none."""
    history: tuple[CurrentChange, ...] = ()
    """The last `HISTORY_LIMIT` changes of the current version, oldest first."""
    set_back: CurrentChange | None = None
    """The change by which somebody went back to an earlier version.

    Trained versions then wait for approval, until somebody chooses a version that is not earlier.
    """

    def set_back_by(self, change: CurrentChange) -> "Model":
        """Return the model with an earlier version as the current one: trained ones wait from now on."""
        if change.version == self.current_version:
            return self
        return replace(self.with_current(change), set_back=change)

    def chosen_by(self, change: CurrentChange) -> "Model":
        """Return the model with the version that somebody chose: trained ones wait no longer.

        The model is returned unchanged if the version is current already and nothing waits.
        """
        if self.set_back is None:
            return self.with_current(change)
        return replace(self.with_current(change), set_back=None, updated_at=change.changed_at)

    def with_current(self, change: CurrentChange) -> "Model":
        """Return the model with the change's version as the current one.

        The model is returned unchanged if the version is current already.
        """
        if change.version == self.current_version:
            return self
        return replace(
            self,
            current_version=change.version,
            previous_version=self.current_version,
            history=(*self.history, change)[-HISTORY_LIMIT:],
            updated_at=change.changed_at,
        )
