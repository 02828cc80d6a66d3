"""Plan an execution: draft its jobs, and write them down."""

from dataclasses import replace
from datetime import datetime

from contract.checks import raise_if_any
from contract.names import check_execution_name
from contract.problems import InvalidInputError
from contract.workflow.messages import ExecutionPlan, ExecutionPlanInput
from contract.workflow.scoring_request import parse_request
from lambdas.errors import TrainingFailedError
from lambdas.plan_execution.training_outcome import training_failure
from lambdas.plan_execution.write_plan import write_plan
from lambdas.planning.capacity.choose import KeptPlan
from lambdas.planning.capacity.deadline import PlanTimes
from lambdas.planning.execution_record import close_refused, open_execution, refuse
from lambdas.planning.scoring.draft import draft_scoring
from lambdas.stage.activity import Activity
from lambdas.stage.deployment import Deployment
from lambdas.stage.settings import PlanDefaults


def plan_execution(
    event: ExecutionPlanInput, deployment: Deployment, defaults: PlanDefaults, activity: Activity
) -> ExecutionPlan:
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
        ResumedJobRunningError: when a SageMaker job of the resumed execution has not ended. A later
            call may plan.
        PlanChangedError: when models or objects have changed since an earlier call that did not
            finish; two plans must not be mixed.
    """
    record = open_execution(event, deployment)
    if record.plan is not None:
        return record.plan
    # Which predictions are the latest depends on it, so no clock of a function decides.
    planned_at = event.entered_at or deployment.now()
    try:
        raise_if_any(check_execution_name("execution name", event.execution_id))
        request = parse_request(event.request)
        record = replace(
            record,
            training_failure=training_failure(event, request.train, deployment),
            resumes=request.resume or "",
            keeps_scored=request.keep_scored,
        )
        draft = draft_scoring(
            request,
            deployment,
            defaults,
            activity,
            times=PlanTimes(datetime.fromisoformat(event.started_at), datetime.fromisoformat(planned_at)),
            keep=KeptPlan(event.execution_id, deployment.store),
        )
    except InvalidInputError as error:
        raise refuse(record, error.problems, deployment) from error
    except TrainingFailedError as error:
        close_refused(record, str(error), deployment)
        raise
    record = replace(
        record,
        notes=draft.resume_notes,
        moved_datasets=draft.moved_datasets,
        label=draft.request.execution_label or record.label,
        deadline_at=draft.deadline_at,
        deadline_is_strict=draft.request.strict_deadline,
        estimate=draft.estimate,
    )
    return write_plan(
        record,
        draft.request,
        draft.jobs,
        planned_at=planned_at,
        skipped=draft.skipped,
        deployment=deployment,
        defaults=defaults,
    )
