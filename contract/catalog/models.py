"""The catalog: a model's identity, and its immutable versions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from contract.catalog.model_spec import ModelSpec
from contract.checks import check_range
from contract.names import check_dataset_name, check_instance_type
from contract.problems import InvalidInputError, Problem
from contract.status import VersionState

MAX_ATTEMPTS_LIMIT = 10
HISTORY_LIMIT = 20
"""Changes of the current version that a model remembers; older ones are in the versions' own records only."""
REASON_CHARACTERS = 500


@dataclass(frozen=True)
class Compute:
    """What a job runs on. None: not said here, so the next in line decides (request, then model, then stage)."""

    instance_type: str | None = None
    instance_count: int | None = None
    volume_size_gb: int | None = None
    max_runtime_seconds: int | None = None

    def __post_init__(self) -> None:
        problems = check_instance_type("instance_type", self.instance_type)
        # Limits of SageMaker's CreateProcessingJob, as botocore's service model has them.
        problems += check_range("instance_count", self.instance_count, 1, 100, "instances")
        problems += check_range("volume_size_gb", self.volume_size_gb, 1, 16_384, "GB")
        problems += check_range("max_runtime_seconds", self.max_runtime_seconds, 1, 777_600, "seconds")
        if problems:
            raise InvalidInputError("Compute", problems)

    def over(self, fallback: "Compute") -> "Compute":
        """This one's wishes where it has any, else the fallback's."""
        return Compute(
            instance_type=self.instance_type or fallback.instance_type,
            instance_count=self.instance_count or fallback.instance_count,
            volume_size_gb=self.volume_size_gb or fallback.volume_size_gb,
            max_runtime_seconds=self.max_runtime_seconds or fallback.max_runtime_seconds,
        )


@dataclass(frozen=True)
class TrainedBy:
    """Where a version that was trained came from."""

    execution_id: str
    training_job_name: str
    dataset: str
    metric: str
    """What a promotion is decided by."""
    rows_trained: int | None = None
    """None where a script did not say; the next one too."""
    rows_held_out: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class VersionDecision:
    """What was decided about a version that was trained, and why. The time is ISO 8601 in UTC."""

    state: VersionState
    reason: str
    decided_at: str = ""
    decided_by: str = ""

    def __post_init__(self) -> None:
        check_reason(self.reason, "VersionDecision")


def check_reason(reason: str, subject: str) -> None:
    """Refuse a reason that is too long for a model's history."""
    if len(reason) > REASON_CHARACTERS:
        raise InvalidInputError(subject, [Problem("reason", reason, f"at most {REASON_CHARACTERS} characters")])


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model: its artifact, how to call it, what it scores and on what. Only `decision` ever changes."""

    spec: ModelSpec
    dataset: str
    compute: Compute = field(default_factory=Compute)
    max_attempts: int = 3
    registered_at: str = ""
    registered_by: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    """The model's tags as this version was registered. Executions choose by the tags of the model itself."""
    source: str = ""
    """Where the version was imported from, such as the ARN of a model package; empty when it was registered by hand."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """How it did on rows that it was not trained on, by name of the metric."""
    trained_by: TrainedBy | None = None
    """None: it was registered or imported."""
    decision: VersionDecision | None = None
    """None: it was registered or imported, so nobody has to decide about it."""

    def __post_init__(self) -> None:
        problems = check_dataset_name("dataset", self.dataset)
        problems += check_range("max_attempts", self.max_attempts, 1, MAX_ATTEMPTS_LIMIT, "attempts")
        if problems:
            raise InvalidInputError("ModelVersion", problems)


@dataclass(frozen=True)
class CurrentChange:
    """One moment at which a version became the current one. The time is ISO 8601 in UTC."""

    version: str
    changed_at: str
    changed_by: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        check_reason(self.reason, "CurrentChange")


@dataclass(frozen=True)
class Model:
    """A model's identity: which version is current, and whether executions score it."""

    model_id: str
    current_version: str
    enabled: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    updated_at: str = ""
    previous_version: str | None = None
    """What was current before, and what a roll back makes current again. None: there was none."""
    history: tuple[CurrentChange, ...] = ()
    """What became current when, by whom and why: the last `HISTORY_LIMIT` changes, the latest last."""

    def with_current(self, change: CurrentChange) -> "Model":
        """This model after a version became current; the same model when it was current already."""
        if change.version == self.current_version:
            return self
        return replace(
            self,
            current_version=change.version,
            previous_version=self.current_version,
            history=(*self.history, change)[-HISTORY_LIMIT:],
            updated_at=change.changed_at,
        )
