"""The account's quotas of instances, which faults set."""

from collections.abc import Iterable

from embedded.faults import Faults, InstanceQuota
from embedded.sagemaker.errors import ApiError
from embedded.sagemaker.jobs.job import Job


def check_quotas(faults: Faults, job: Job, jobs: Iterable[Job]) -> None:
    """Check that quotas leave room for the instances of a new job.

    Args:
        jobs: All jobs so far, of all executions.

    Raises:
        ApiError: They do not.
    """
    usage = job.kind.name.lower()
    if not faults.scheduled(InstanceQuota):
        return
    running = sum(
        each.instance_count
        for each in jobs
        if not each.status.is_final and each.kind == job.kind and each.instance_type == job.instance_type
    )
    quota = faults.strike(
        InstanceQuota,
        f"{job.kind.noun} {job.name}",
        lambda each: (
            each.limits(job.instance_type, usage) and running + each.others + job.instance_count > each.instances
        ),
    )
    if quota is not None:
        raise ApiError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{job.instance_type} for {usage} job usage' is {quota.instances} "
            f"Instances, with current utilization of {running + quota.others} Instances and a request delta of "
            f"{job.instance_count} Instances. Please use AWS Service Quotas to request an increase for this quota. If "
            "AWS Service Quotas is not available, contact AWS support to request an increase for this quota.",
        )
