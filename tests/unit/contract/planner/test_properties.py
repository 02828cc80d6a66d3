"""Properties of every plan."""

from dataclasses import replace
from itertools import islice

from hypothesis import given

from contract.catalog.instance_types import MAX_VOLUME_GB
from contract.job.limits import MAX_COMMITS
from contract.planner.choose import choose_plan
from contract.planner.estimates import Estimates
from contract.planner.plan import CapacityPlan, JobCapacity
from contract.planner.problem import ModelGroup, PlanningProblem
from tests.unit.contract.planner.problems import problems
from tests.unit.fuzzing import examples


def jobs_of(plan: CapacityPlan, group: ModelGroup) -> list[JobCapacity]:
    return [job for job in plan.jobs if job.group == group.name]


@examples(quick=60, fuzz=5_000)
@given(problems())
def test_a_plan_keeps_every_limit(problem: PlanningProblem) -> None:
    plan = choose_plan(problem)
    assert all(needed <= problem.quotas.get(name, needed) for name, needed in plan.quota_needed.items())
    assert all(len(job.shard_bytes) <= problem.quotas.get(job.instance_type, 100) or job.is_split for job in plan.jobs)
    for group in problem.groups:
        jobs = jobs_of(plan, group)
        planned = sorted(name for job in jobs for name in job.models)
        if planned or not any(found.field.startswith(group.name) for found in plan.problems):
            assert planned == [model.model_id for model in group.models], "each model has exactly one job"
        is_small = any(found.field == f"{group.name}: volume_size_gb" for found in plan.problems)
        for job in jobs:
            check_job(problem, group, job)
            assert is_held(problem, group, job) or (is_small and group.is_given)
        if jobs and group.job_sizes:
            ids = iter([model.model_id for model in group.models])
            assert sorted(job.models for job in jobs) == [tuple(islice(ids, size)) for size in group.job_sizes]
            if job.seconds.high > group.max_runtime_seconds:
                assert any("max_runtime_seconds" in note and group.name in note for note in plan.notes)


def check_job(problem: PlanningProblem, group: ModelGroup, job: JobCapacity) -> None:
    sizes = problem.datasets[group.dataset]
    models = job.models
    assert sum(job.shard_bytes) == sum(sizes)
    assert job.instance_count == len(job.shard_bytes) <= len(sizes)
    assert job.volume_gb <= MAX_VOLUME_GB
    if not group.is_fleet:
        assert len(models) * len(sizes) <= MAX_COMMITS
        assert len(models) <= min(group.max_models_per_job, group.fixed.models_per_job or 1_000)
    assert group.fixed.instance_type in (None, job.instance_type)
    assert group.fixed.instance_count is None or job.instance_count == min(group.fixed.instance_count, len(sizes))
    if not job.instance_type.startswith("ml.g5."):
        assert group.fixed.volume_size_gb in (None, job.volume_gb)
    assert 0 <= job.seconds.low <= job.seconds.value <= job.seconds.high


def is_held(problem: PlanningProblem, group: ModelGroup, job: JobCapacity) -> bool:
    """Return whether the volume holds a shard, its outputs and the models."""
    models = [model for model in group.models if model.model_id in job.models]
    share = len(group.models) if group.is_fleet else 1
    outputs = group.shared_output_ratio + sum(model.output_ratio for model in models) / share
    held = max(job.shard_bytes) * (1 + outputs) + sum(model.artifact_bytes for model in models)
    return held <= job.volume_gb * 1e9


@examples(quick=20, fuzz=1_000)
@given(problems())
def test_the_same_problem_gives_the_same_plan(problem: PlanningProblem) -> None:
    again = replace(problem, estimates=Estimates(), quotas=dict(reversed(problem.quotas.items())))
    assert choose_plan(again) == choose_plan(problem)


@examples(quick=20, fuzz=1_000)
@given(problems())
def test_the_objective_time_never_ends_later(problem: PlanningProblem) -> None:
    fastest = choose_plan(replace(problem, objective="time"))
    cheapest = choose_plan(replace(problem, objective="cost", deadline_seconds=None))
    assert fastest.makespan.value <= cheapest.makespan.value * 1.05 + 1
