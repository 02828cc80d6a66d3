"""Write the plan down: snapshots, specs, the list of jobs, and records."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from contract.job.limits import MAX_CONCURRENCY_LIMIT
from contract.table.records import ExecutionRecord
from contract.workflow.messages import ExecutionPlan
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.execution_record import record_plan
from lambdas.planning.scoring.form_jobs import PlannedJob, in_order
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger, publish_counts
from lambdas.stage.parallel import in_parallel
from lambdas.stage.settings import PlanDefaults


def write_plan(
    record: ExecutionRecord,
    request: ExecutionRequest,
    jobs: Sequence[PlannedJob],
    *,
    planned_at: str,
    skipped: Mapping[str, str],
    deployment: Deployment,
    defaults: PlanDefaults,
) -> ExecutionPlan:
    """Write the plan and return it. `planned_at` is when planning began. `skipped` are objects that are
    not scored, by key, each with the reason.

    The order matters: snapshots, specs, the list of jobs, job records, and last the plan in the execution's
    record. After a call that did not finish, a later call with the same jobs writes the rest.
    """
    execution_id, store = record.execution_id, deployment.store
    if skipped:
        store.add_skipped(execution_id, skipped)
        logger.warning("objects of the upload manifest are skipped", count=len(skipped))
        publish_counts(deployment.settings.stage, {"ObjectsSkipped": len(skipped)})
    items = in_order(item for job in jobs for item in job.items)
    snapshots = {(item.dataset, item.snapshot.part): item.snapshot for item in items}
    # Each text is made where it is written, because all of them together would not fit into memory.
    written = in_parallel(lambda snapshot: store.add_snapshot(execution_id, snapshot), snapshots.values())
    refs = dict(zip(snapshots, written, strict=True))

    def add_spec(item: PlannedJob) -> None:
        store.add_job_spec(item.spec(execution_id, refs[item.dataset, item.snapshot.part]))

    for _ in in_parallel(add_spec, [item for item in items if item.fleet is None]):
        pass
    for item in items:
        # The spec of a fleet may have 100 MB, and several times as much as objects: one at a time.
        if item.fleet is not None:
            add_spec(item)
    store.add_jobs(execution_id, [item.pointer(execution_id) for item in items])
    deployment.table.add_jobs(item.record(execution_id, planned_at, defaults.image_uris[item.image]) for item in items)
    publish_counts(deployment.settings.stage, {"JobsPlanned": len(jobs)})
    concurrency = items_at_once(jobs, request.max_concurrency or defaults.max_concurrency)
    pinned = sum(len(item.objects) * item.commits_per_object for item in items)
    return record_plan(
        record, request, len(jobs), deployment, defaults, max_concurrency=concurrency, object_count=pinned
    )


def items_at_once(jobs: Sequence[PlannedJob], max_concurrency: int) -> int:
    """Return how many items the Map may run at once.

    It is more than `max_concurrency` if jobs are split, because each of their parts is an item with
    one instance. Items have at most as many instances at once as `max_concurrency` jobs could have.
    Where the planner has chosen the parts, it has counted each of them as a job.
    """
    if any(job.is_chosen for job in jobs):
        return max_concurrency
    allowed = sum(_most_instances(jobs)[:max_concurrency])
    used = accumulate(_most_instances([item for job in jobs for item in job.items]))
    return min(MAX_CONCURRENCY_LIMIT, max(max_concurrency, sum(total <= allowed for total in used)))


def _most_instances(jobs: Sequence[PlannedJob]) -> list[int]:
    return sorted((job.compute.instance_count or 1 for job in jobs), reverse=True)
