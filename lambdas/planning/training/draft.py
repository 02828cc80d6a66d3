"""Draft a training execution in four stages: choose recipes, read their datasets, check both, and form jobs.

The plan writes the draft down. The check of a request only reports it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contract.catalog.image_variants import ImageVariant
from contract.checks import raise_if_any
from contract.dataset.input_options import InputOptions
from contract.dataset.object_keys import is_data
from contract.job.job_input import JobInput
from contract.job.scoring_spec import PinnedObject
from contract.pool.pool_records import pool_kind
from contract.problems import Problem
from contract.status import ExecutionKind
from contract.training.recipes import ModelRecipe
from contract.workflow.messages import PlanInput
from contract.workflow.training_request import TrainingRequest
from lambdas.admission.quotas import InstanceNeed
from lambdas.dataset.archived import check_archived
from lambdas.dataset.parquet_footer import Column
from lambdas.dataset.pinning import pin_objects
from lambdas.dataset.samples import Sample, read_sample, sample_candidates
from lambdas.dataset.table_files import FoundTable, check_tables, find_tables
from lambdas.planning.model_checks import check_images
from lambdas.planning.recipe_choice import choose_enabled, choose_named
from lambdas.planning.training.decisions import (
    PlannedTraining,
    check_code,
    check_formats,
    check_instance_types,
    check_label_kinds,
    check_training_columns,
    check_volumes,
    form_trainings,
    mark_unchanged,
)
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel
from lambdas.stage.settings import PlanDefaults
from lambdas.stage.tables.job_table import JobTable


@dataclass(frozen=True)
class _TrainingData:
    """A dataset that recipes train on or validate with."""

    objects: tuple[PinnedObject, ...]
    samples: tuple[Sample, ...]
    """Columns of a few objects, without those that cannot be read. The job reports the reason."""
    problems: tuple[Problem, ...]


def draft_training(
    event: PlanInput, request: TrainingRequest, deployment: Deployment, defaults: PlanDefaults
) -> list[PlannedTraining]:
    """Return the jobs of a training execution. Nothing is written.

    Raises:
        InvalidInputError: with every problem of the request.
    """
    recipes, problems = _choose_recipes(request, deployment.table)
    datasets = _read_datasets(recipes, deployment)
    problems += [problem for data in datasets.values() for problem in data.problems]
    problems += _check_recipes(recipes, datasets, defaults.image_uris, deployment)
    raise_if_any(problems, "request")
    objects = {name: data.objects for name, data in datasets.items()}
    jobs = form_trainings(recipes, event, objects, defaults.compute)
    raise_if_any([*check_instance_types(jobs, defaults.instance_types), *check_volumes(jobs)], "request")
    if not request.train_unchanged:
        jobs = _mark_unchanged(jobs, defaults, deployment)
    needs = [
        InstanceNeed(
            job.spec.job_id, pool_kind(ExecutionKind.TRAINING, job.compute), job.compute.instance_type or "", 1
        )
        for job in jobs
        if not job.unchanged_since
    ]
    raise_if_any(deployment.quotas.problems_of(needs), "request")
    return jobs


def _mark_unchanged(
    jobs: Sequence[PlannedTraining], defaults: PlanDefaults, deployment: Deployment
) -> list[PlannedTraining]:
    """Return the jobs, of which some would only repeat the last training of their model."""
    found = in_parallel(deployment.table.last_trained_version, [job.spec.model_id for job in jobs])
    last = {version.spec.model_id: version for version in found if version is not None}
    return mark_unchanged(jobs, last, defaults.image_uris)


def _choose_recipes(request: TrainingRequest, table: JobTable) -> tuple[list[ModelRecipe], list[Problem]]:
    if request.models is not None:
        return choose_named("models", request.models, table.recipes(request.models), table.models(request.models))
    recipes = table.all_recipes()
    return choose_enabled(recipes, table.models([recipe.model_id for recipe in recipes]))


def _read_datasets(recipes: Sequence[ModelRecipe], deployment: Deployment) -> dict[str, _TrainingData]:
    """Pin each dataset of the recipes and read the columns of a few of its objects."""
    refusing: dict[str, list[str]] = {}
    for recipe in recipes:
        for name in filter(None, (recipe.training_dataset, recipe.validation_dataset)):
            names = refusing.setdefault(name, [])
            if recipe.input.table != "files":
                names.append(f"the recipe of model {recipe.model_id!r}")
    found = in_parallel(lambda item: _read_dataset(*item, deployment), sorted(refusing.items()))
    return dict(zip(sorted(refusing), found, strict=True))


def _read_dataset(name: str, refusing: Sequence[str], deployment: Deployment) -> _TrainingData:
    """Read one dataset. `refusing` names the recipes that do not train on every file of a table."""
    listing = deployment.store.dataset_objects(name)
    tables = find_tables(entry.key for entry in listing)
    files = [entry for entry in listing if not any(table.is_metadata(entry.key) for table in tables)]
    # Training writes no outputs per object, so no output key is longer than the object's key.
    objects, problems = pin_objects(name, files, deployment.settings.datasets_bucket, 0)
    problems = [*check_tables(name, tables, refusing), *problems]
    problems += check_formats(name, [item.key for item in objects])
    data = [entry for entry in files if is_data(entry.key)]
    problems += check_archived(name, data, deployment.store, deployment.clock().timestamp())
    wanted = JobInput(InputOptions(format="parquet"))
    read = [read_sample(name, chosen, wanted, deployment.store) for chosen in sample_candidates(objects)]
    samples = tuple(found for found in read if isinstance(found, Sample))
    copied = [FoundTable("iceberg", "", sample.key) for sample in samples if sample.is_iceberg and not tables]
    problems += check_tables(name, copied[:1], refusing)
    return _TrainingData(objects, samples, tuple(problems))


def _check_recipes(
    recipes: Sequence[ModelRecipe],
    datasets: Mapping[str, _TrainingData],
    image_uris: Mapping[ImageVariant, str],
    deployment: Deployment,
) -> list[Problem]:
    """Check each recipe's script, the columns of its datasets, and its image."""
    checked = in_parallel(lambda recipe: check_code(recipe, read_code(recipe, deployment)), recipes)
    problems: list[Problem] = []
    for recipe, code_problems in zip(recipes, checked, strict=True):
        problems += code_problems
        problems += _check_columns(recipe, datasets)
        subject = f"recipe of model {recipe.model_id!r}: "
        problems += [replace(found, field=subject + found.field) for found in recipe.promotion_problems()]
        problems += check_images([recipe.candidate], image_uris)
    return problems


def _check_columns(recipe: ModelRecipe, datasets: Mapping[str, _TrainingData]) -> list[Problem]:
    problems: list[Problem] = []
    seen: list[tuple[str, Sequence[Column]]] = []
    for name in (recipe.training_dataset, recipe.validation_dataset):
        data = datasets.get(name or "")
        for sample in data.samples if data is not None else ():
            problems += check_training_columns(recipe, name or "", sample.key, sample.columns)
            seen.append((f"{name}/{sample.key}", sample.columns))
    return [*problems, *check_label_kinds(recipe, seen)]


def read_code(recipe: ModelRecipe, deployment: Deployment) -> bytes | None:
    """Return the archive of the recipe's script; None when the recipe has none, or when it is missing."""
    return None if recipe.code is None else deployment.store.training_code(recipe.model_id, recipe.code)
