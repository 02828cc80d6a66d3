"""Compare the instances of planned jobs with quotas. Pure, no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass

from contract.pool.pool_records import JobKind
from contract.pool.quotas import Quotas
from contract.problems import Problem


@dataclass(frozen=True)
class InstanceNeed:
    """The instances that a planned job needs at once."""

    job_id: str
    kind: JobKind
    instance_type: str
    instances: int


def check_quotas(needs: Iterable[InstanceNeed], quotas: Quotas) -> list[Problem]:
    """Return one problem per quota that is below the instances of one job, which could never start."""
    largest: dict[tuple[JobKind, str], InstanceNeed] = {}
    for need in needs:
        found = largest.get((need.kind, need.instance_type))
        if found is None or need.instances > found.instances:
            largest[need.kind, need.instance_type] = need
    return [problem for need in largest.values() for problem in _problems(need, quotas)]


def _problems(need: InstanceNeed, quotas: Quotas) -> list[Problem]:
    quota = quotas.of(need.kind, need.instance_type)
    if quota is None or need.instances <= quota:
        return []
    source = quotas.source(need.kind, need.instance_type)
    expected = f"at most {quota:,}, the quota of {need.instance_type} for {need.kind.words}s ({source})"
    field_name = f"job {need.job_id!r}: instance_count"
    return [Problem(field_name, need.instances, expected, _remedy(need.kind, quota))]


def _remedy(kind: JobKind, quota: int) -> str:
    """Return what to do about a quota that is below the instances of one job."""
    if quota == 0 or kind is not JobKind.PROCESSING:
        return "Raise the quota, or choose another instance_type."
    return "Lower instance_count, raise the quota, or choose another instance_type."
