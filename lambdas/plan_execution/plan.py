"""Plan an execution: refuse what cannot be scored, with all its problems at once, else write down every job."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from contract import layout
from contract.catalog.models import Model, ModelVersion
from contract.dataset.input_options import InputOptions
from contract.job.job_input import input_of
from contract.job.scoring_spec import PinnedObject
from contract.names import check_all, check_execution_name
from contract.problems import InvalidInputError, Problem
from contract.table.records import ExecutionRecord
from contract.workflow.messages import ExecutionPlan, ExecutionPlanInput
from contract.workflow.scoring_request import ExecutionRequest, ModelFilter, parse_request
from lambdas.dataset.object_columns import columns_or_none, first_of
from lambdas.dataset.parquet_footer import Column
from lambdas.errors import TrainingFailedError
from lambdas.plan_execution.decisions import (
    PlannedJob,
    check_artifact,
    check_columns,
    check_commits,
    check_images,
    check_versions,
    choose_by_id,
    choose_from_catalog,
    fit_to_uploads,
    pin_objects,
    plan_jobs,
)
from lambdas.plan_execution.reading import check_partitions, without_partitions
from lambdas.plan_execution.training_outcome import training_failure
from lambdas.plan_execution.upload_manifest import Uploaded, read_uploaded
from lambdas.planning.execution_record import close_refused, open_execution, record_plan, refuse
from lambdas.stage.deployment import Deployment
from lambdas.stage.object_store import StoredObject
from lambdas.stage.observability import logger, publish_counts
from lambdas.stage.parallel import in_parallel
from lambdas.stage.settings import PlanDefaults


def plan_execution(event: ExecutionPlanInput, deployment: Deployment, defaults: PlanDefaults) -> ExecutionPlan:
    """Plan an execution once, however often this is called for it.

    Order matters: the specs, then the list of jobs, then the records, then the plan in the execution's record. A call
    that dies in between leaves nothing that a later call would not complete, as long as it would plan the same.

    Raises:
        InvalidRequestError: with every problem of the request; the execution's record says the same.
        TrainingFailedError: when the request wants to train first and that did not succeed; the record says the same.
        ExecutionNameUsedError: when the records of another execution bear this name.
        ExecutionClosedError: when the execution has ended.
        PlanChangedError: when models or objects have changed since a call that died, so that its plan would be mixed
            with this one's.
    """
    record = open_execution(event, deployment)
    if record.plan is not None:
        return record.plan
    try:
        check_all(check_execution_name("execution name", event.execution_id))
        request = parse_request(event.request)
        record = replace(record, training_failure=training_failure(event, request.train, deployment))
        uploaded = _uploaded(request, deployment)
        jobs = _jobs(request, uploaded, deployment, defaults)
    except InvalidInputError as error:
        raise refuse(record, error.problems, deployment) from error
    except TrainingFailedError as error:
        close_refused(record, str(error), deployment)
        raise
    if uploaded is not None and uploaded.skipped:
        deployment.store.add_skipped(event.execution_id, uploaded.skipped)
        logger.warning("objects of the upload manifest are skipped", count=len(uploaded.skipped))
        publish_counts(deployment.settings.stage, {"ObjectsSkipped": len(uploaded.skipped)})
    return _write_down(record, request, jobs, deployment, defaults)


def _uploaded(request: ExecutionRequest, deployment: Deployment) -> Uploaded | None:
    if request.objects_manifest is None:
        return None
    return read_uploaded(request.objects_manifest, request.dataset, deployment.store)


def _jobs(
    request: ExecutionRequest, uploaded: Uploaded | None, deployment: Deployment, defaults: PlanDefaults
) -> list[PlannedJob]:
    """The jobs of a request.

    Raises:
        InvalidInputError: with every problem that the catalog, the datasets and the artifacts have.
    """
    models, problems = _choose_models(request.models, deployment)
    versions, found = check_versions(models, deployment.table.current_versions(models))
    problems += found
    if uploaded is not None:
        request = replace(request, dataset=uploaded.dataset)
        versions, found = fit_to_uploads(request, versions)
        problems += found
    datasets = sorted({request.dataset or version.dataset for version in versions})
    if request.dataset and not datasets:
        datasets = [request.dataset]
    objects: dict[str, tuple[PinnedObject, ...]] = {}
    prefix_bytes = _longest_output_prefix(versions)
    # A list a thread: each dataset once, however many models share it.
    listings: Iterable[Sequence[StoredObject]] = (
        [uploaded.objects] if uploaded else in_parallel(deployment.store.dataset_objects, datasets)
    )
    for dataset, listing in zip(datasets, listings, strict=True):
        objects[dataset], found = pin_objects(dataset, listing, deployment.settings.datasets_bucket, prefix_bytes)
        problems += found
    problems += check_images(versions, defaults.image_uris)
    problems += _check_artifacts(versions, deployment)
    problems += _check_columns(request, versions, objects, deployment)
    if problems:
        raise InvalidInputError("request", problems)
    jobs = plan_jobs(request, versions, objects, defaults.compute)
    problems = check_commits(jobs)
    if problems:
        raise InvalidInputError("request", problems)
    return jobs


def _choose_models(
    wanted: Sequence[str] | ModelFilter | None, deployment: Deployment
) -> tuple[list[Model], list[Problem]]:
    if wanted is None or isinstance(wanted, ModelFilter):
        return choose_from_catalog(wanted, deployment.table.all_models())
    known = deployment.table.models(wanted)
    complete = len(known) == len(wanted)
    catalog_ids = [] if complete else [model.model_id for model in deployment.table.all_models()]
    return choose_by_id(wanted, known, catalog_ids)


def _longest_output_prefix(versions: Iterable[ModelVersion]) -> int:
    """An upper bound of the bytes before the object's key in any key that a job writes."""
    longest_id = max((len(version.spec.model_id) for version in versions), default=0)
    names = layout.output_key("d" * 63, "m" * longest_id, "e" * 80, "")
    longest_ending = max(len(layout.marker_key("", "")), *map(len, layout.OUTPUT_SUFFIXES.values()))
    return len(layout.PREDICTIONS_PREFIX + names) + longest_ending


def _check_artifacts(versions: Sequence[ModelVersion], deployment: Deployment) -> list[Problem]:
    def check(version: ModelVersion) -> list[Problem]:
        size = deployment.store.artifact_bytes(version.spec.model_id, version.spec.version)
        return check_artifact(version, size, deployment.settings.models_bucket)

    return [problem for problems in in_parallel(check, versions) for problem in problems]


def _check_columns(
    request: ExecutionRequest,
    versions: Sequence[ModelVersion],
    objects: Mapping[str, Sequence[PinnedObject]],
    deployment: Deployment,
) -> list[Problem]:
    """Hold what the models need against the first object of each dataset.

    An object that cannot be read is left to the job: it must fail alone, as any other damaged object of the dataset.
    """
    firsts = {dataset: first for dataset, found in objects.items() if (first := first_of(found)) is not None}

    def reading(version: ModelVersion) -> tuple[str, InputOptions]:
        """What an object's columns depend on; those of Parquet on nothing that a model says."""
        dataset = request.dataset or version.dataset
        is_parquet = dataset in firsts and firsts[dataset].key.endswith(".parquet")
        return dataset, InputOptions() if is_parquet else input_of(version.spec).options

    def read(dataset: str, options: InputOptions) -> Sequence[Column] | None:
        return columns_or_none(dataset, firsts[dataset], options, deployment.store)

    readings = list(dict.fromkeys(found for version in versions if (found := reading(version))[0] in firsts))
    columns = dict(zip(readings, in_parallel(lambda item: read(*item), readings), strict=True))
    unsaid: dict[tuple[str, tuple[str, ...]], Mapping[str, str]] = {}
    problems: list[Problem] = []
    for version in versions:
        dataset, names = request.dataset or version.dataset, version.spec.partition_columns
        if (dataset, names) not in unsaid:
            unsaid[dataset, names] = without_partitions(objects.get(dataset, ()), names)
        problems += check_partitions(version, dataset, unsaid[dataset, names])
        own = columns.get(reading(version))
        if own is not None:
            # Those that a key does not say have a problem of their own.
            from_key = [Column(name, None) for name in names]
            problems += check_columns(version, dataset, firsts[dataset].key, [*own, *from_key])
    return problems


def _write_down(
    record: ExecutionRecord,
    request: ExecutionRequest,
    jobs: Sequence[PlannedJob],
    deployment: Deployment,
    defaults: PlanDefaults,
) -> ExecutionPlan:
    execution_id, bucket = record.execution_id, deployment.settings.datasets_bucket
    # Each spec is made where it is written: all of them together would not fit in memory.
    for _ in in_parallel(lambda job: deployment.store.add_job_spec(job.spec(execution_id, bucket)), jobs):
        pass
    deployment.store.add_jobs(execution_id, [job.pointer(execution_id) for job in jobs])
    job_count = len(jobs)
    created_at = deployment.now()
    deployment.table.add_jobs(job.record(execution_id, created_at, defaults.image_uris[job.image]) for job in jobs)
    publish_counts(deployment.settings.stage, {"JobsPlanned": job_count})
    return record_plan(record, request, job_count, deployment, defaults)
