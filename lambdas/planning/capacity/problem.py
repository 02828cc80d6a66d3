"""Form the planner's problem of the groups of an execution."""

import math
from collections.abc import Sequence
from itertools import chain

from contract.catalog.instance_types import MAX_VOLUME_GB
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute
from contract.planner.algorithm.shards import Dataset
from contract.planner.instances import size_of
from contract.planner.plan import JobCapacity
from contract.planner.problem import Fixed, ModelGroup, ModelWork, PlanningProblem
from contract.workflow.planning_options import AUTO
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.capacity.basis import PlanningBasis
from lambdas.planning.scoring.form_groups import JobGroup
from lambdas.stage.settings import PlanDefaults

_GB = 10**9
_KEYS_OUTPUT_RATIO = 0.25
"""Bytes of an output with key columns only, per byte of its input: a guess."""


def may_choose(request: ExecutionRequest, defaults: PlanDefaults) -> bool:
    """Return whether the planner may change what is only the stage's default.

    Otherwise it only estimates.
    """
    wanted = defaults.models_per_job if request.models_per_job is None else request.models_per_job
    return bool(wanted == AUTO or request.deadline or request.objective or defaults.planned_instance_types)


def form_problem(
    groups: Sequence[JobGroup],
    request: ExecutionRequest,
    defaults: PlanDefaults,
    basis: PlanningBasis,
    seconds_left: float | None,
) -> PlanningProblem:
    """Return the problem of an execution whose deadline is in `seconds_left` seconds, if it has one.

    Groups that are kept as a whole need no capacity, and are not in it.
    """
    datasets: dict[str, Sequence[int]] = {}
    found = tuple(_group(group, datasets, defaults) for group in groups if not group.is_kept)
    stage_type = defaults.compute.instance_type or ""
    return PlanningProblem(
        groups=found,
        datasets=datasets,
        estimates=basis.estimates,
        prices=basis.prices,
        region=basis.region,
        instance_types=defaults.planned_instance_types or (stage_type,),
        default_volume_gb=defaults.compute.volume_size_gb or 1,
        max_concurrency=request.max_concurrency or defaults.max_concurrency,
        quotas=basis.quotas,
        deadline_seconds=seconds_left,
        objective=request.objective or "cost",
        starts_per_second=basis.starts_per_second,
    )


def _group(group: JobGroup, datasets: dict[str, Sequence[int]], defaults: PlanDefaults) -> ModelGroup:
    dataset = _add_dataset(group, datasets)
    shares_outputs = group.output_layout in ("joined", "fleet")
    shared = max(map(_output_ratio, group.models[:1]), default=0.0) if shares_outputs else 0.0
    jobs = group.chunks if group.fleet is None and group.models_per_job != 1 else None
    models = group.models if jobs is None else tuple(chain.from_iterable(jobs))
    return ModelGroup(
        name=group.name,
        dataset=dataset,
        measured_dataset=group.dataset,
        models=tuple(
            ModelWork(spec.model_id, spec.format, spec.artifact_bytes, 0.0 if shares_outputs else _output_ratio(spec))
            for spec in models
        ),
        fixed=_fixed(group.fixed, group.models_per_job, defaults),
        max_runtime_seconds=group.compute.max_runtime_seconds or 86_400,
        is_fleet=group.fleet is not None,
        shared_output_ratio=shared,
        needs_gpu=_needs_gpu(group, defaults),
        spot=bool(group.compute.spot),
        max_models_per_job=group.max_models_per_job,
        job_sizes=tuple(map(len, jobs or ())),
    )


def _add_dataset(group: JobGroup, datasets: dict[str, Sequence[int]]) -> str:
    """Add the sizes of a group's objects, and return their name.

    Of a resumed execution, the objects count by the share that is left of them.
    """
    name = group.dataset
    if group.left < 1:
        # Names of datasets have no space.
        name = f"{group.dataset} {group.left:.2f}"
    if name not in datasets:
        sizes = [item.size for item in sorted(group.snapshot.objects, key=lambda item: item.key)]
        datasets[name] = sizes if group.left >= 1 else [round(size * group.left) for size in sizes]
    return name


def volume_gb(group: JobGroup, models: Sequence[ModelSpec], job: JobCapacity) -> int:
    """Return the GB of the volume of a job with these models: the plan's, or more if that was for less.

    Of a resumed execution, the plan has the bytes that are left on average, which may be those of the
    largest object.
    """
    if group.left >= 1 or group.fixed.volume_size_gb is not None:
        return job.volume_gb
    sizes = [item.size for item in sorted(group.snapshot.objects, key=lambda item: item.key)]
    shard = max(Dataset(sizes).divide(min(job.instance_count, len(sizes)), always=job.spot).sizes, default=0)
    writers = models[:1] if group.output_layout in ("joined", "fleet") else models
    outputs = sum(map(_output_ratio, writers))
    needed = shard * (1 + outputs) + 2 * sum(spec.artifact_bytes for spec in models)
    return min(MAX_VOLUME_GB, max(job.volume_gb, math.ceil(needed / _GB)))


def _fixed(fixed: Compute, models_per_job: int | None, defaults: PlanDefaults) -> Fixed:
    instance_type = fixed.instance_type
    if instance_type is None and not defaults.planned_instance_types:
        instance_type = defaults.compute.instance_type
    return Fixed(instance_type, fixed.instance_count, fixed.volume_size_gb, models_per_job)


def _needs_gpu(group: JobGroup, defaults: PlanDefaults) -> bool:
    """Return whether the group's models ask for a GPU, and the planner may choose an instance with one."""
    has_gpu = any((size := size_of(name)) and size.gpus for name in defaults.planned_instance_types)
    return bool(has_gpu and any(spec.accelerator for spec in group.models))


def _output_ratio(spec: ModelSpec) -> float:
    return 1.0 if spec.columns == "all" else _KEYS_OUTPUT_RATIO
