"""Plan a training: draft its jobs, and write them down."""

from collections.abc import Sequence

from contract import layout, training_layout
from contract.checks import raise_if_any
from contract.names import check_execution_name
from contract.problems import InvalidInputError
from contract.table.records import ExecutionRecord
from contract.workflow.messages import ExecutionPlan, PlanInput
from contract.workflow.training_request import TrainingRequest, parse_training_request
from lambdas.errors import PlanChangedError
from lambdas.planning.execution_record import open_execution, record_plan, refuse
from lambdas.planning.training.decisions import PlannedTraining, check_code
from lambdas.planning.training.draft import draft_training, read_code
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import publish_counts
from lambdas.stage.parallel import in_parallel
from lambdas.stage.settings import PlanDefaults


def plan_training(event: PlanInput, deployment: Deployment, defaults: PlanDefaults) -> ExecutionPlan:
    """Plan a training execution and return its plan. Idempotent: later calls return the plan of the
    first.

    Raises:
        InvalidRequestError: with every problem of the request; the execution's record has the same
            text.
        ExecutionNameUsedError: when another execution with this name has records.
        ExecutionClosedError: when the execution has ended.
        PlanChangedError: when recipes or objects have changed since an earlier call that did not
            finish.
    """
    record = open_execution(event, deployment)
    if record.plan is not None:
        return record.plan
    try:
        raise_if_any(check_execution_name("execution name", event.execution_id))
        request = parse_training_request(event.request)
        jobs = draft_training(event, request, deployment, defaults)
    except InvalidInputError as error:
        raise refuse(record, error.problems, deployment) from error
    return _write_plan(record, request, jobs, deployment, defaults)


def _write_plan(
    record: ExecutionRecord,
    request: TrainingRequest,
    jobs: Sequence[PlannedTraining],
    deployment: Deployment,
    defaults: PlanDefaults,
) -> ExecutionPlan:
    """Write specs and scripts, the list of jobs, job records, and last the plan in the execution's
    record."""
    execution_id, store = record.execution_id, deployment.store

    def write(job: PlannedTraining) -> None:
        # Read again here, because all scripts together would not fit into memory.
        archive = read_code(job.recipe, deployment)
        if check_code(job.recipe, archive):
            raise PlanChangedError(layout.s3_uri(deployment.settings.models_bucket, training_layout.CODE_PREFIX))
        if archive is not None:
            store.add_training_code(execution_id, job.spec.job_id, archive)
        store.add_training(job.spec, job.recipe)

    for _ in in_parallel(write, jobs):
        pass
    store.add_jobs(execution_id, [job.pointer() for job in jobs])
    created_at = deployment.now()
    deployment.table.add_jobs(job.record(created_at, defaults.image_uris[job.image]) for job in jobs)
    publish_counts(deployment.settings.stage, {"TrainingJobsPlanned": len(jobs)})
    return record_plan(record, request, len(jobs), deployment, defaults)
