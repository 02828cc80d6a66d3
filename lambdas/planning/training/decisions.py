"""Check whether a recipe can be trained, and form the job that trains it.

Pure functions, no I/O.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contract import training_layout
from contract.catalog.image_variants import ImageVariant, image_of
from contract.catalog.instance_types import check_allowed, has_local_storage
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.catalog.models import Compute, ModelVersion, instance_types
from contract.dataset.formats import format_of
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem
from contract.status import ExecutionKind, JobStatus
from contract.table.records import JobRecord
from contract.training.label_types import XGBOOST_TAKES_NUMBERS, label_kind, wanted_labels
from contract.training.recipes import ModelRecipe
from contract.training.training_inputs import inputs_sha256
from contract.training.training_spec import TrainingSpec
from contract.workflow.messages import JobPointer, PlanInput
from lambdas.continuing import as_sentence
from lambdas.dataset.parquet_footer import Column
from lambdas.planning.model_checks import check_columns


@dataclass(frozen=True)
class PlannedTraining:
    """One job of the plan, before it is written. It trains one version of one model."""

    recipe: ModelRecipe
    spec: TrainingSpec
    compute: Compute
    unchanged_since: str = ""
    """The last trained version, if this job would only repeat its training."""

    def record(self, created_at: str, image_uri: str) -> JobRecord:
        objects = (*self.spec.objects, *self.spec.validation_objects)
        return JobRecord(
            execution_id=self.spec.execution_id,
            job_id=self.spec.job_id,
            status=JobStatus.PENDING,
            dataset=self.spec.dataset,
            model_ids=(self.spec.model_id,),
            model_versions=(self.unchanged_since or self.spec.version,),
            object_count=len(objects),
            input_bytes=sum(item.size for item in objects),
            compute=self.compute,
            max_attempts=self.recipe.max_attempts,
            created_at=created_at,
            kind=ExecutionKind.TRAINING,
            image_uri=image_uri,
            unchanged_since=self.unchanged_since,
        )

    @property
    def image(self) -> ImageVariant:
        """The image with the framework of the trained model."""
        return image_of(FRAMEWORK_OF_FORMAT[self.spec.format])

    def pointer(self) -> JobPointer:
        return JobPointer(self.spec.execution_id, self.spec.job_id, attempt=1)


def form_trainings(
    recipes: Sequence[ModelRecipe],
    event: PlanInput,
    objects: Mapping[str, tuple[PinnedObject, ...]],
    stage_default: Compute,
) -> list[PlannedTraining]:
    """Return one job per recipe, ordered by the size of the training data, largest first.

    `objects` are by dataset.
    """
    jobs: list[PlannedTraining] = []
    for recipe in recipes:
        version = training_layout.trained_version(event.execution_arn, event.started_at, recipe.model_id)
        training = objects[recipe.training_dataset]
        validation = objects[recipe.validation_dataset] if recipe.validation_dataset else ()
        spec = recipe.training_spec(event.execution_id, recipe.model_id, version, training, validation)
        jobs.append(PlannedTraining(recipe, spec, recipe.compute.with_fallback(stage_default)))
    return sorted(jobs, key=lambda job: (-sum(item.size for item in job.spec.objects), job.spec.job_id))


def mark_unchanged(
    jobs: Sequence[PlannedTraining], last: Mapping[str, ModelVersion], image_uris: Mapping[ImageVariant, str]
) -> list[PlannedTraining]:
    """Return the jobs, with those marked that would only repeat the training of their model's last version.

    `last` are the last trained versions, by model id.
    """

    def mark(job: PlannedTraining) -> PlannedTraining:
        version = last.get(job.spec.model_id)
        trained_by = version.trained_by if version is not None else None
        digest = inputs_sha256(job.spec, job.recipe, image_uris[job.image])
        if version is None or trained_by is None or trained_by.inputs_sha256 != digest:
            return job
        return replace(job, unchanged_since=version.spec.version)

    return [mark(job) for job in jobs]


def check_instance_types(jobs: Sequence[PlannedTraining], allowed: Sequence[str]) -> list[Problem]:
    """Check that the stage allows the instance types of each job's attempts."""
    return [
        problem
        for job in jobs
        for instance_type in instance_types(job.compute)
        for problem in check_allowed(
            f"recipe of model {job.recipe.model_id!r}: compute."
            + ("instance_type" if instance_type == job.compute.instance_type else "larger_instance_types"),
            instance_type,
            allowed,
        )
    ]


def check_volumes(jobs: Sequence[PlannedTraining]) -> list[Problem]:
    """Return the problems of jobs whose volume cannot hold their data. A training job has one instance.

    `volume_size_gb` is taken for GiB, and the proposed value is in GB of 10^9 bytes.
    """
    problems = []
    for job in jobs:
        code = 0 if job.recipe.code is None else job.recipe.code.bytes
        needed = code + sum(item.size for item in (*job.spec.objects, *job.spec.validation_objects))
        volume_gb = job.compute.volume_size_gb or 0
        if needed > volume_gb << 30 and not has_local_storage(job.compute.instance_type or ""):
            field = f"recipe of model {job.recipe.model_id!r}: compute.volume_size_gb"
            proposed = math.ceil(needed / 10**9) + 1
            remedy = f"Set it to {proposed:,} or more, with room for the model, or train on a sample."
            problems.append(Problem(field, volume_gb, f"room for {needed / 10**9:,.1f} GB of training data", remedy))
    return problems


def check_training_columns(recipe: ModelRecipe, dataset: str, key: str, columns: Sequence[Column]) -> list[Problem]:
    """Check that an object has the features, in types that fit, and the label. Key columns are for
    scoring only."""
    spec = replace(recipe.candidate.spec, key_columns=(), columns="all", row_number_column="")
    found = check_columns(replace(recipe.candidate, spec=spec), dataset, key, columns, "set a recipe")
    problems = [replace(problem, field=_field(recipe, dataset, "features")) for problem in found]
    labels = [column for column in columns if column.name == recipe.label]
    if not labels:
        expected = f"an object with the label {recipe.label!r}"
        remedy = "Add it to the dataset, or correct the recipe."
        problems.append(Problem(_field(recipe, dataset, "label"), key, expected, remedy))
    elif len(labels) > 1 and recipe.trainer != "script":
        value = f"{key}, with {len(labels)} columns of this name"
        problems.append(Problem(_field(recipe, dataset, "label"), value, "one column", "Rename the others."))
    else:
        problems += _check_label(recipe, dataset, key, labels[0])
    return problems


def _check_label(recipe: ModelRecipe, dataset: str, key: str, label: Column) -> list[Problem]:
    """Check that the trainer can take the label. A script decides for itself."""
    if recipe.trainer == "script" or label.type is None:
        return []
    kind = label_kind(recipe.task, label.type)
    if kind is not None and not (kind == "text" and recipe.trainer == "xgboost"):
        return []
    remedy = "Correct label or task in the recipe, or write the labels as such."
    if kind == "text":
        remedy = as_sentence(XGBOOST_TAKES_NUMBERS)
    wanted = wanted_labels(recipe.task, recipe.trainer)
    expected = f"a label of task {recipe.task!r} for trainer {recipe.trainer!r}: {wanted}"
    value = f"{recipe.label} of type {label.type} in {key}"
    return [Problem(_field(recipe, dataset, "label"), value, expected, remedy)]


def check_label_kinds(recipe: ModelRecipe, found: Sequence[tuple[str, Sequence[Column]]]) -> list[Problem]:
    """Check that the labels of several objects have one kind. `found` has the columns of each object."""
    if recipe.trainer == "script":
        return []
    kinds: dict[str, str] = {}
    for name, columns in found:
        types = [column.type for column in columns if column.name == recipe.label]
        kind = label_kind(recipe.task, types[0]) if len(types) == 1 and types[0] is not None else None
        if kind is not None:
            kinds.setdefault(kind, name)
    if len(kinds) < 2:
        return []
    listed = ", ".join(f"{kind} in {name}" for kind, name in kinds.items())
    field = f"recipe of model {recipe.model_id!r}: label"
    return [Problem(field, listed, "labels of one kind in all objects", "Write them with one type.")]


def check_formats(dataset: str, keys: Sequence[str]) -> list[Problem]:
    """Refuse text objects. Trainers read only Parquet, because text has no types and a label needs
    exactly one."""
    text = [key for key in keys if (found := format_of(key)) is not None and found.name != "parquet"]
    if not text:
        return []
    counted = f"{len(text):,} of {len(keys):,} objects that are text, the first is {min(text)!r}"
    remedy = "Convert them, or train on another dataset."
    return [Problem(f"training dataset {dataset!r}", counted, "Parquet objects only", remedy)]


def check_code(recipe: ModelRecipe, archive: bytes | None) -> list[Problem]:
    """Check that the training script's archive exists and has the digest in the recipe."""
    code = recipe.code
    if code is None:
        return []
    field = f"recipe of model {recipe.model_id!r}: code"
    remedy = "Set the recipe again with `fleetscore models recipe set`, which uploads it."
    if archive is None:
        return [Problem(field, None, f"an archive with the SHA-256 {code.sha256}", remedy)]
    if hashlib.sha256(archive).hexdigest() != code.sha256:
        return [Problem(field, "another archive", f"the one with the SHA-256 {code.sha256}", remedy)]
    return []


def _field(recipe: ModelRecipe, dataset: str, name: str) -> str:
    return f"recipe of model {recipe.model_id!r} on dataset {dataset!r}: {name}"
