"""Plan a training: refuse what cannot be trained, with all its problems at once, else write down every job."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contract import layout
from contract.catalog.recipes import ModelRecipe
from contract.dataset.input_options import InputOptions
from contract.job.scoring_spec import PinnedObject
from contract.names import check_all, check_execution_name
from contract.problems import InvalidInputError, Problem
from contract.table.records import ExecutionRecord
from contract.workflow.messages import ExecutionPlan, PlanInput
from contract.workflow.training_request import TrainingRequest, parse_training_request
from lambdas.dataset.object_columns import columns_or_none, first_of
from lambdas.dataset.parquet_footer import Column
from lambdas.errors import PlanChangedError
from lambdas.plan_execution.decisions import check_images, pin_objects
from lambdas.plan_training.decisions import PlannedTraining, check_code, check_formats, check_training_columns
from lambdas.planning.execution_record import open_execution, record_plan, refuse
from lambdas.planning.recipe_choice import choose_enabled, choose_named
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import publish_counts
from lambdas.stage.parallel import in_parallel
from lambdas.stage.settings import PlanDefaults


class _Dataset(NamedTuple):
    objects: tuple[PinnedObject, ...]
    columns: Sequence[Column] | None
    """Of the first object; None when it cannot be read, which is left to the job."""
    problems: Sequence[Problem]


def plan_training(event: PlanInput, deployment: Deployment, defaults: PlanDefaults) -> ExecutionPlan:
    """Plan a training execution once, however often this is called for it, as PlanExecution plans one of scoring.

    Raises:
        InvalidRequestError: with every problem of the request; the execution's record says the same.
        ExecutionNameUsedError: when the records of another execution bear this name.
        ExecutionClosedError: when the execution has ended.
        PlanChangedError: when recipes or objects have changed since a call that died.
    """
    record = open_execution(event, deployment)
    if record.plan is not None:
        return record.plan
    try:
        check_all(check_execution_name("execution name", event.execution_id))
        request = parse_training_request(event.request)
        jobs = _jobs(request, record, deployment, defaults)
    except InvalidInputError as error:
        raise refuse(record, error.problems, deployment) from error
    return _write_down(record, request, jobs, deployment, defaults)


def _jobs(
    request: TrainingRequest, record: ExecutionRecord, deployment: Deployment, defaults: PlanDefaults
) -> list[PlannedTraining]:
    """The jobs of a request, the one with the most data first.

    Raises:
        InvalidInputError: with every problem that the recipes, the datasets and the scripts have.
    """
    recipes, problems = _recipes(request, deployment)
    names = sorted(
        {name for recipe in recipes for name in (recipe.training_dataset, recipe.validation_dataset) if name}
    )
    datasets = dict(zip(names, in_parallel(lambda name: _read_dataset(name, deployment), names), strict=True))
    problems += [problem for dataset in datasets.values() for problem in dataset.problems]
    jobs: list[PlannedTraining] = []
    checked = in_parallel(lambda recipe: check_code(recipe, _code(recipe, deployment)), recipes)
    for recipe, code_problems in zip(recipes, checked, strict=True):
        images = check_images([recipe.candidate], defaults.image_uris)
        found = [*code_problems, *_check_columns(recipe, datasets), *images]
        problems += found
        if not found and not problems:
            jobs.append(_job(recipe, record, datasets, defaults))
    if problems:
        raise InvalidInputError("request", problems)
    return sorted(jobs, key=lambda job: (-sum(item.size for item in job.spec.objects), job.spec.job_id))


def _recipes(request: TrainingRequest, deployment: Deployment) -> tuple[list[ModelRecipe], list[Problem]]:
    table = deployment.table
    if request.models is not None:
        return choose_named("models", request.models, table.recipes(request.models), table.models(request.models))
    recipes = table.all_recipes()
    return choose_enabled(recipes, table.models([recipe.model_id for recipe in recipes]))


def _read_dataset(name: str, deployment: Deployment) -> _Dataset:
    listing = deployment.store.dataset_objects(name)
    # The container finds an object by its key below the channel; nothing is written under it.
    objects, problems = pin_objects(name, listing, deployment.settings.datasets_bucket, 0)
    problems += check_formats(name, [item.key for item in objects])
    first = first_of(objects)
    columns = None if first is None else columns_or_none(name, first, InputOptions(), deployment.store)
    return _Dataset(objects, columns, problems)


def _code(recipe: ModelRecipe, deployment: Deployment) -> bytes | None:
    return None if recipe.code is None else deployment.store.training_code(recipe.model_id, recipe.code)


def _check_columns(recipe: ModelRecipe, datasets: Mapping[str, _Dataset]) -> list[Problem]:
    problems: list[Problem] = []
    for name in (recipe.training_dataset, recipe.validation_dataset):
        dataset = datasets.get(name or "")
        if dataset is not None and dataset.columns is not None:
            first = min(item.key for item in dataset.objects)
            problems += check_training_columns(recipe, name or "", first, dataset.columns)
    return problems


def _job(
    recipe: ModelRecipe,
    record: ExecutionRecord,
    datasets: Mapping[str, _Dataset],
    defaults: PlanDefaults,
) -> PlannedTraining:
    version = layout.trained_version(record.execution_arn, record.started_at, recipe.model_id)
    validation = datasets[recipe.validation_dataset].objects if recipe.validation_dataset else ()
    objects = datasets[recipe.training_dataset].objects
    spec = recipe.training_spec(record.execution_id, recipe.model_id, version, objects, validation)
    return PlannedTraining(recipe, spec, recipe.compute.over(defaults.compute))


def _write_down(
    record: ExecutionRecord,
    request: TrainingRequest,
    jobs: Sequence[PlannedTraining],
    deployment: Deployment,
    defaults: PlanDefaults,
) -> ExecutionPlan:
    execution_id = record.execution_id

    def write(job: PlannedTraining) -> None:
        # Read once more, and not kept since it was checked: all scripts together would not fit in memory.
        archive = _code(job.recipe, deployment)
        if check_code(job.recipe, archive):
            raise PlanChangedError(layout.s3_uri(deployment.settings.models_bucket, layout.CODE_PREFIX))
        if archive is not None:
            deployment.store.add_training_code(execution_id, job.spec.job_id, archive)
        deployment.store.add_training(job.spec, job.recipe)

    for _ in in_parallel(write, jobs):
        pass
    deployment.store.add_jobs(execution_id, [job.pointer() for job in jobs])
    created_at = deployment.now()
    deployment.table.add_jobs(job.record(created_at, defaults.image_uris[job.image]) for job in jobs)
    publish_counts(deployment.settings.stage, {"TrainingJobsPlanned": len(jobs)})
    return record_plan(record, request, len(jobs), deployment, defaults)
