"""Why a group cannot run at all: what is fixed contradicts a limit."""

from collections.abc import Iterable, Sequence

from contract.catalog.instance_types import MAX_INSTANCES
from contract.job.limits import MAX_COMMITS
from contract.planner.algorithm.options import largest_job
from contract.planner.algorithm.preparation import Preparation
from contract.planner.algorithm.work import GroupWork, share_of
from contract.planner.problem import PlanningProblem
from contract.problems import Problem


def obstacles(problem: PlanningProblem, prepared: Preparation) -> Iterable[Problem]:
    """Return a problem per group that can run on none of its types."""
    for by_type in prepared.works:
        if not any(prepared.options(problem, work) for work in by_type.values()):
            yield _obstacle(problem, list(by_type.values()))


def _obstacle(problem: PlanningProblem, works: Sequence[GroupWork]) -> Problem:
    work = max(works, key=lambda work: problem.quotas.get(work.machine.pool, 1))
    name, subject = work.machine.pool, work.group.name
    quota = problem.quotas.get(name)
    if quota is not None and quota < (work.group.fixed.instance_count or 1):
        wanted = work.group.fixed.instance_count or 1
        expected = f"at least {wanted:,} for this job"
        remedy = "Ask for a higher quota in Service Quotas, or choose another instance type or fewer instances."
        return Problem(f"{subject}: quota of {name}", quota, expected, remedy)
    if not largest_job(work):
        value = f"{work.dataset.objects:,} objects"
        remedy = "Merge small objects, or split the dataset."
        return Problem(f"{subject}: dataset {work.group.dataset!r}", value, f"at most {MAX_COMMITS:,} objects", remedy)
    fewest = share_of(work.total, 1 / len(work.loads)) if not work.group.is_fleet else work.total
    instances = work.group.fixed.instance_count or max(
        1, min(MAX_INSTANCES, work.dataset.objects, quota or MAX_INSTANCES)
    )
    needed = work.disk_gb(fewest, work.dataset.longest(min(instances, max(1, work.dataset.objects))))
    models = "the models of a job" if work.group.job_sizes else "one model"
    expected = f"at least {needed:,} GB, for a shard with its outputs and {models}"
    remedy = "Raise volume_size_gb or instance_count, or split the dataset."
    return Problem(f"{subject}: volume_size_gb", work.disk_limit_gb, expected, remedy)
