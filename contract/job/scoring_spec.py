"""The spec of a scoring job: the plan writes it, the container reads it, and nothing changes it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from contract.catalog.model_spec import ModelSpec
from contract.checks import check_unique, raise_if_any
from contract.job.fleet import FleetSpec, fleet_model
from contract.layout import OutputLayout
from contract.names import check_dataset_name, check_execution_name, check_job_id, check_object_key, check_sha256
from contract.problems import InvalidInputError, Problem


@dataclass(frozen=True, slots=True)
class PinnedObject:
    """One object of the dataset as the plan saw it."""

    key: str
    """Key relative to the dataset's prefix."""
    size: int
    """Size in bytes."""
    etag: str

    def __post_init__(self) -> None:
        raise_if_any(check_object_key("key", self.key))


@dataclass(frozen=True)
class SnapshotRef:
    """The snapshot that has a job's objects: see `contract.job.snapshot`.

    Jobs over the same objects share one.
    """

    uri: str
    sha256: str
    """Digest of the snapshot's file."""
    objects: int
    """Number of objects."""
    bytes: int
    """Sum of the objects' sizes."""

    def __post_init__(self) -> None:
        problems = check_sha256("sha256", self.sha256)
        if self.objects < 1:
            problems.append(Problem("objects", self.objects, "at least one object"))
        raise_if_any(problems)


DEFAULT_BATCH_ROWS = 65_536
"""Most rows per batch of a job's first attempt."""


@dataclass(frozen=True)
class ScoringOptions:
    """Settings of the container's scoring."""

    batch_rows: int = DEFAULT_BATCH_ROWS
    """Maximum rows per batch."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch_rows <= 10_000_000:
            raise InvalidInputError(
                "ScoringOptions", [Problem("batch_rows", self.batch_rows, "1 to 10,000,000 rows per batch")]
            )


SCORING_CONTRACT = 1
"""Number of the way in which this release scores.

Raise it when the same model and object give other output, in bytes that matter or in meaning. Then
no execution keeps what an earlier release has scored.
"""


@dataclass(frozen=True)
class JobSource:
    """A job of an earlier execution that may have scored what a job of a resumed one needs."""

    execution_id: str
    job_id: str

    def __post_init__(self) -> None:
        raise_if_any(
            [*check_execution_name("execution_id", self.execution_id), *check_job_id("job_id", self.job_id)],
            "JobSource",
        )


@dataclass(frozen=True)
class JobSpec:
    """The immutable input of a job: some models over the objects of a snapshot of one dataset."""

    execution_id: str
    job_id: str
    dataset: str
    dataset_bucket: str
    models: tuple[ModelSpec, ...]
    snapshot: SnapshotRef
    options: ScoringOptions = field(default_factory=ScoringOptions)
    output_layout: OutputLayout = "per_model"
    joined_nulls: bool = False
    """Whether a joined output has nulls for a model that cannot score the object.

    Otherwise there is no output of the object.
    """
    fleet: FleetSpec | None = None
    """Set if the models are a fleet, so that `output_layout` is "fleet"."""
    scoring_contract: int = 1
    """`SCORING_CONTRACT` of the release that planned the job."""
    sources: tuple[JobSource, ...] = ()
    """Jobs whose commits this one may keep, newest first: see `contract.job.scored_before`."""

    def __post_init__(self) -> None:
        # These names are folders of the job's outputs.
        problems = [
            *check_execution_name("execution_id", self.execution_id),
            *check_job_id("job_id", self.job_id),
            *check_dataset_name("dataset", self.dataset),
        ]
        if not self.models:
            problems.append(Problem("models", [], "at least one model"))
        problems.extend(check_unique("models", [model.model_id for model in self.models]))
        if (self.output_layout == "fleet") != (self.fleet is not None):
            problems.append(Problem("output_layout", self.output_layout, "'fleet' for a fleet, and only then"))
        elif self.fleet is not None:
            problems.extend(_check_members(self.fleet, {model.model_id for model in self.models}))
        if problems:
            raise InvalidInputError("JobSpec", problems)

    @cached_property
    def committing_models(self) -> tuple[ModelSpec, ...]:
        """The models with a commit per object: all models of the job, or its fleet."""
        return self.models if self.fleet is None else (fleet_model(self.fleet, self.models),)


def _check_members(fleet: FleetSpec, members: Iterable[str]) -> list[Problem]:
    known = set(members)
    named = {*fleet.routes.values(), *([fleet.fallback] if fleet.fallback else [])}
    return [Problem("fleet", model_id, "a model of the job") for model_id in sorted(named - known)]
