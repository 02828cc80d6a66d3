"""The outcome of the training that a request asks for first."""

from collections.abc import Mapping, Sequence
from typing import Any

from contract import training_layout
from contract.status import ExecutionStatus
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.messages import ExecutionPlanInput
from contract.workflow.scoring_request import TrainFirst
from lambdas.attempts.failure_cause import read_cause
from lambdas.errors import TrainingFailedError
from lambdas.shown_text import list_first, shorten
from lambdas.stage.deployment import Deployment

_MAX_REASON_CHARACTERS = 4_000
_LISTED_MODELS = 5


def training_failure(event: ExecutionPlanInput, train: TrainFirst | None, deployment: Deployment) -> str:
    """Return why the training failed; empty when it succeeded or none was requested.

    Raises:
        TrainingFailedError: when it failed and the request does not set `continue_on_failure`.
    """
    if train is None:
        return ""
    name = training_layout.training_execution_name(event.execution_arn, event.started_at)
    record = deployment.table.find_execution(name)
    jobs = deployment.table.jobs(name) if record is not None else []
    current = deployment.table.models([model_id for job in jobs for model_id in job.model_ids])
    reason = shorten(describe_training(event.training, record, jobs, set(current)), _MAX_REASON_CHARACTERS)
    if reason and not train.continue_on_failure:
        raise TrainingFailedError(name, reason)
    return reason


def describe_training(
    training: Any, record: ExecutionRecord | None, jobs: Sequence[JobRecord], with_current: set[str]
) -> str:
    """Return why a training failed; empty when it succeeded.

    A training succeeded only if Step Functions and its own record agree. Even then a version may
    have been rejected, and a model without any current version cannot be scored. `with_current` are
    the models with a current version.
    """
    caught = training.get("failure") if isinstance(training, Mapping) else None
    if isinstance(caught, Mapping):
        error, cause = str(caught.get("Error", "")), str(caught.get("Cause", ""))
        recorded = record.reason if record is not None else ""
        return recorded or f"{error}: {read_cause(cause).message}"
    if record is None:
        return "the training wrote no record"
    if record.status is not ExecutionStatus.SUCCEEDED:
        return record.reason or f"its recorded status is {record.status.value}"
    never = [job for job in jobs if not with_current.issuperset(job.model_ids)]
    if not never:
        return ""
    lines = [f"{job.job_id}: {job.outcome or 'no version was promoted'}" for job in never]
    listed = list_first(lines, _LISTED_MODELS, separator="; ")
    return f"{len(never):,} of its models have no current version: {listed}"
