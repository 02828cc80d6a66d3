"""The one command that comes after an explanation. It never contradicts the remedy of the decision table."""

import re
import shlex
from typing import Any

from cli.stage.diagnosis.evidence import Evidence
from cli.stage.executions.execution_snapshot import Snapshot
from contract.json_text import dump_json
from contract.status import ExecutionKind, FailureKind, JobStatus
from contract.table.records import AttemptRecord, JobRecord
from contract.table.request_text import recorded_request
from contract.triggers.uploads import execution_name
from contract.workflow.scoring_request import TASK_TOKEN_FIELD

_MAX_REQUEST_CHARACTERS = 300
"""Longest request that a command repeats, in characters."""
_COMMAND_IN_REMEDY = re.compile(r"`(fleetscore [^`]+)`")
_NOT_ENDED_RULE = "job left running"
"""The decision table's rule for a SageMaker job that did not end when it was stopped."""


def next_command(evidence: Evidence) -> str:
    """Return the one command to type next."""
    snapshot, job = evidence.snapshot, evidence.job
    name = shlex.quote(snapshot.execution_id)
    if not snapshot.ended:
        return _command_while_running(evidence, name)
    if snapshot.status == "SUCCEEDED" or (job is not None and job.status is JobStatus.SUCCEEDED):
        return f"fleetscore status {name}"
    if job is None:
        return _command_without_job(evidence, name)
    attempt = evidence.failed_attempt
    if job is not None and attempt is not None and (command := _command_of_attempt(job, attempt)):
        return command
    if snapshot.kind is ExecutionKind.TRAINING:
        models = sorted(
            {model for each in snapshot.jobs if each.status is JobStatus.FAILED for model in each.model_ids}
        )
        return f"fleetscore train --models {','.join(models)}" if models else f"fleetscore status {name}"
    return _resume(snapshot)


def _command_of_attempt(job: JobRecord, attempt: AttemptRecord) -> str:
    """Return the command that the rule of a failed attempt asks for; empty for most rules."""
    if attempt.rule == _NOT_ENDED_RULE:
        verb = job.sagemaker_kind.value.lower()
        return f"aws sagemaker stop-{verb}-job --{verb}-job-name {attempt.sagemaker_job_name}"
    if found := _COMMAND_IN_REMEDY.search(attempt.remedy):
        return found[1]
    if attempt.rule and job.failure_kind is FailureKind.UNKNOWN:
        return f"fleetscore logs {shlex.quote(job.execution_id)} {shlex.quote(job.job_id)}"
    return ""


def _command_while_running(evidence: Evidence, name: str) -> str:
    job = evidence.job
    if evidence.asked_job and job is not None and job.status is JobStatus.RUNNING:
        return f"fleetscore logs {name} {shlex.quote(job.job_id)} --follow"
    return f"fleetscore watch {name}"


def _command_without_job(evidence: Evidence, name: str) -> str:
    """Return the command for an execution that failed although none of its jobs did.

    For one without jobs: the check of a refused request, or the start of one that was stopped
    before its plan.
    """
    snapshot, training = evidence.snapshot, evidence.training
    if training is not None and training.status != "SUCCEEDED":
        return f"fleetscore why {shlex.quote(training.execution_id)}"
    if snapshot.jobs:
        return f"fleetscore status {name}"
    return _start_again(snapshot)


def _resume(snapshot: Snapshot) -> str:
    """Return the command that continues an execution; one that was never planned cannot be resumed."""
    record = snapshot.record
    if record is None or record.plan is not None:
        return f"fleetscore resume {shlex.quote(snapshot.execution_id)}"
    return f"fleetscore resume {shlex.quote(record.resumes)}" if record.resumes else _start_again(snapshot)


def _start_again(snapshot: Snapshot) -> str:
    """Return the command for a new execution with the same request; its check if the plan failed."""
    verb = "train" if snapshot.kind is ExecutionKind.TRAINING else "run"
    if dataset := _uploaded_dataset(snapshot):
        return f"fleetscore resume --uploads {shlex.quote(dataset)}"
    check = "" if snapshot.status == "ABORTED" else " --check"
    return f"fleetscore {verb}{check} --input {_request(snapshot)}"


def _uploaded_dataset(snapshot: Snapshot) -> str:
    """Return the dataset if the execution scores uploads that its plan has refused; else an empty text."""
    request = _recorded_request(snapshot) or {}
    dataset = request.get("dataset")
    if snapshot.status != "FAILED" or not isinstance(dataset, str) or "objects_manifest" not in request:
        return ""
    return dataset if snapshot.execution_id.startswith(execution_name(dataset, "")) else ""


def _recorded_request(snapshot: Snapshot) -> dict[str, Any] | None:
    return None if snapshot.record is None else recorded_request(snapshot.record.request_json)


def _request(snapshot: Snapshot) -> str:
    """Return the request as a word of a shell; the name of a file in place of a long one."""
    request = _recorded_request(snapshot)
    if request is None:
        return "@request.json"
    text = dump_json({name: value for name, value in request.items() if name != TASK_TOKEN_FIELD})
    return shlex.quote(text) if len(text) <= _MAX_REQUEST_CHARACTERS else "@request.json"
