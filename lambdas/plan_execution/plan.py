"""Plan an execution in five stages: choose models, pin objects, check both, form jobs, and write
the plan down."""

from dataclasses import replace

from contract.checks import raise_if_any
from contract.names import check_execution_name
from contract.problems import InvalidInputError
from contract.workflow.messages import ExecutionPlan, ExecutionPlanInput
from contract.workflow.scoring_request import parse_request
from lambdas.errors import TrainingFailedError
from lambdas.plan_execution.check_models import check_models
from lambdas.plan_execution.choose_models import choose_models
from lambdas.plan_execution.form_jobs import check_commit_counts, check_instance_types, form_jobs
from lambdas.plan_execution.pin_datasets import pin_datasets
from lambdas.plan_execution.training_outcome import training_failure
from lambdas.plan_execution.upload_manifest import read_uploads
from lambdas.plan_execution.write_plan import write_plan
from lambdas.planning.execution_record import close_refused, open_execution, refuse
from lambdas.stage.deployment import Deployment
from lambdas.stage.settings import PlanDefaults


def plan_execution(event: ExecutionPlanInput, deployment: Deployment, defaults: PlanDefaults) -> ExecutionPlan:
    """Plan an execution and return its plan. Idempotent: later calls return the plan of the first.

    A request that cannot be scored is refused with all its problems at once, before anything is
    written.

    Raises:
        InvalidRequestError: with every problem of the request; the execution's record has the same
            text.
        TrainingFailedError: when the request trains first and the training failed; the record has
            the same text.
        ExecutionNameUsedError: when another execution with this name has records.
        ExecutionClosedError: when the execution has ended.
        PlanChangedError: when models or objects have changed since an earlier call that did not
            finish; two plans must not be mixed.
    """
    record = open_execution(event, deployment)
    if record.plan is not None:
        return record.plan
    try:
        raise_if_any(check_execution_name("execution name", event.execution_id))
        request = parse_request(event.request)
        record = replace(record, training_failure=training_failure(event, request.train, deployment))
        uploads = read_uploads(request, deployment.store)

        choice = choose_models(request, uploads, deployment)
        snapshots = pin_datasets(choice, uploads, deployment)
        problems = [*choice.problems, *snapshots.problems]
        problems += check_models(choice.assignments, snapshots, defaults.image_uris, deployment)
        raise_if_any(problems, "request")
        jobs = form_jobs(request, choice.assignments, snapshots.objects, defaults.compute)
        problems = check_instance_types(jobs, defaults.instance_types)
        raise_if_any([*problems, *check_commit_counts(jobs)], "request")
    except InvalidInputError as error:
        raise refuse(record, error.problems, deployment) from error
    except TrainingFailedError as error:
        close_refused(record, str(error), deployment)
        raise
    skipped = uploads.skipped if uploads is not None else {}
    return write_plan(record, request, jobs, skipped=skipped, deployment=deployment, defaults=defaults)
