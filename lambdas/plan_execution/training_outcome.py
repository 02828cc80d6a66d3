"""What became of the training that a request asks for first."""

from collections.abc import Mapping, Sequence
from typing import Any

from contract import layout
from contract.status import ExecutionStatus
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.messages import ExecutionPlanInput
from contract.workflow.scoring_request import TrainFirst
from lambdas.attempts.failure_cause import read_cause
from lambdas.errors import TrainingFailedError, shorten
from lambdas.stage.deployment import Deployment

_REASON_CHARACTERS = 4_000
_SHOWN = 5


def training_failure(event: ExecutionPlanInput, train: TrainFirst | None, deployment: Deployment) -> str:
    """Why the training did not succeed, where the request scores all the same; empty when it did, or none was asked.

    Raises:
        TrainingFailedError: when it did not, and the request does not want to score then.
    """
    if train is None:
        return ""
    name = layout.training_execution_name(event.execution_arn, event.started_at)
    record = deployment.table.find_execution(name)
    jobs = deployment.table.jobs(name) if record is not None else []
    current = deployment.table.models([model_id for job in jobs for model_id in job.model_ids])
    why = shorten(describe_training(event.training, record, jobs, set(current)), _REASON_CHARACTERS)
    if why and not train.continue_on_failure:
        raise TrainingFailedError(name, why)
    return why


def describe_training(
    training: Any, record: ExecutionRecord | None, jobs: Sequence[JobRecord], with_current: set[str]
) -> str:
    """Why a training was no success; empty when it was. `with_current` are the models that can be scored.

    A success is only what both Step Functions and the training's own record call one. A training may succeed and yet
    promote nothing; then a model that was never current has nothing to be scored with.
    """
    caught = training.get("failure") if isinstance(training, Mapping) else None
    if isinstance(caught, Mapping):
        error, cause = str(caught.get("Error", "")), str(caught.get("Cause", ""))
        known = record.reason if record is not None else ""
        return known or f"{error}: {read_cause(cause).message}"
    if record is None:
        return "it left no record"
    if record.status is not ExecutionStatus.SUCCEEDED:
        return record.reason or f"its record says {record.status.value}"
    never = [job for job in jobs if not with_current.issuperset(job.model_ids)]
    if not never:
        return ""
    lines = [f"{job.job_id}: {job.outcome or 'no version was promoted'}" for job in never[:_SHOWN]]
    more = f"; and {len(never) - _SHOWN:,} more" if len(never) > _SHOWN else ""
    return f"{len(never):,} of its models have no current version: {'; '.join(lines)}{more}"
