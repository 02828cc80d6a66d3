"""Write the plan down: snapshots, specs, the list of jobs, and records."""

from collections.abc import Mapping, Sequence

from contract.table.records import ExecutionRecord
from contract.workflow.messages import ExecutionPlan
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.execution_record import record_plan
from lambdas.planning.scoring.form_jobs import PlannedJob
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger, publish_counts
from lambdas.stage.parallel import in_parallel
from lambdas.stage.settings import PlanDefaults


def write_plan(
    record: ExecutionRecord,
    request: ExecutionRequest,
    jobs: Sequence[PlannedJob],
    *,
    skipped: Mapping[str, str],
    deployment: Deployment,
    defaults: PlanDefaults,
) -> ExecutionPlan:
    """Write the plan and return it. `skipped` are objects that are not scored, by key, each with
    the reason.

    The order matters: snapshots, specs, the list of jobs, job records, and last the plan in the execution's
    record. After a call that did not finish, a later call with the same jobs writes the rest.
    """
    execution_id, store = record.execution_id, deployment.store
    if skipped:
        store.add_skipped(execution_id, skipped)
        logger.warning("objects of the upload manifest are skipped", count=len(skipped))
        publish_counts(deployment.settings.stage, {"ObjectsSkipped": len(skipped)})
    snapshots = {job.dataset: job.snapshot for job in jobs}
    # Each text is made where it is written, because all of them together would not fit into memory.
    written = in_parallel(lambda snapshot: store.add_snapshot(execution_id, snapshot), snapshots.values())
    refs = dict(zip(snapshots, written, strict=True))
    for _ in in_parallel(lambda job: store.add_job_spec(job.spec(execution_id, refs[job.dataset])), jobs):
        pass
    store.add_jobs(execution_id, [job.pointer(execution_id) for job in jobs])
    created_at = deployment.now()
    deployment.table.add_jobs(job.record(execution_id, created_at, defaults.image_uris[job.image]) for job in jobs)
    publish_counts(deployment.settings.stage, {"JobsPlanned": len(jobs)})
    return record_plan(record, request, len(jobs), deployment, defaults)
