"""What of a recipe cannot be trained, and the job that trains it: decisions without any I/O."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract.catalog.image_variants import ImageVariant, image_of
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.catalog.models import Compute
from contract.dataset.formats import format_of
from contract.problems import Problem
from contract.status import ExecutionKind, JobStatus
from contract.table.records import JobRecord
from contract.training.recipes import ModelRecipe
from contract.training.training_spec import TrainingSpec
from contract.workflow.messages import JobPointer
from lambdas.dataset.parquet_footer import Column
from lambdas.plan_execution.decisions import check_columns


@dataclass(frozen=True)
class PlannedTraining:
    """One job of the plan, before it is written down; it trains one version of one model."""

    recipe: ModelRecipe
    spec: TrainingSpec
    compute: Compute

    def record(self, created_at: str, image_uri: str) -> JobRecord:
        objects = (*self.spec.objects, *self.spec.validation_objects)
        return JobRecord(
            execution_id=self.spec.execution_id,
            job_id=self.spec.job_id,
            status=JobStatus.PENDING,
            dataset=self.spec.dataset,
            model_ids=(self.spec.model_id,),
            model_versions=(self.spec.version,),
            object_count=len(objects),
            input_bytes=sum(item.size for item in objects),
            compute=self.compute,
            max_attempts=self.recipe.max_attempts,
            created_at=created_at,
            kind=ExecutionKind.TRAINING,
            image_uri=image_uri,
        )

    @property
    def image(self) -> ImageVariant:
        """The image that has the framework of the model that is trained."""
        return image_of(FRAMEWORK_OF_FORMAT[self.spec.format])

    def pointer(self) -> JobPointer:
        return JobPointer(self.spec.execution_id, self.spec.job_id, attempt=1)


def check_training_columns(recipe: ModelRecipe, dataset: str, key: str, columns: Sequence[Column]) -> list[Problem]:
    """Whether an object has the features, in types that they can be read from, and the label. Keys are for scoring."""
    spec = replace(recipe.candidate.spec, key_columns=(), columns="all", row_number_column="")
    found = check_columns(replace(recipe.candidate, spec=spec), dataset, key, columns, "set a recipe")
    problems = [replace(problem, field=_field(recipe, dataset, "features")) for problem in found]
    if recipe.label not in {column.name for column in columns}:
        expected = f"an object with the label {recipe.label!r}"
        remedy = "Add it to the dataset, or correct the recipe."
        problems.append(Problem(_field(recipe, dataset, "label"), key, expected, remedy))
    return problems


def check_formats(dataset: str, keys: Sequence[str]) -> list[Problem]:
    """Trainers read Parquet only: text holds no types, and a label must not change its meaning with its form."""
    text = [key for key in keys if (found := format_of(key)) is not None and found.name != "parquet"]
    if not text:
        return []
    counted = f"{len(text):,} of {len(keys):,} objects that are text, the first is {min(text)!r}"
    remedy = "Convert them, or train on another dataset."
    return [Problem(f"training dataset {dataset!r}", counted, "Parquet objects only", remedy)]


def check_code(recipe: ModelRecipe, archive: bytes | None) -> list[Problem]:
    """Whether the training script's archive is there, and the one that the recipe was set with."""
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
