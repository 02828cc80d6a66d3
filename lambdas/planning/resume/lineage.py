"""Read the execution that a request resumes, and those that it continues itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contract.checks import raise_if_any
from contract.codec import decode_fields
from contract.json_text import JsonError, parse_json
from contract.problems import Problem
from contract.status import FINAL_JOB_STATUSES, ExecutionKind, ExecutionStatus, FailureKind
from contract.table.job_parts import group_parts
from contract.table.records import ExecutionRecord, JobRecord
from contract.triggers.uploads import execution_name
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.errors import ResumedJobRunningError
from lambdas.stage.activity import Activity
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel

MAX_LINEAGE = 20
"""Largest number of executions in which a resumed one looks for commits."""
_INHERITED = (
    "max_concurrency",
    "tolerated_failure_percentage",
    "tolerated_failed_objects_percentage",
    "tolerated_quarantined_rows_percentage",
    "priority",
    "execution_label",
    "instance_type",
    "instance_count",
    "spot",
    "models_per_job",
    "objective",
    "tolerated_quarantine_fraction",
)
"""Fields of the resumed execution's request that the new request may override."""


@dataclass(frozen=True)
class OldExecution:
    """An execution that a new one continues."""

    record: ExecutionRecord
    jobs: tuple[JobRecord, ...]
    """Records of its jobs, and of the parts of split jobs."""

    @property
    def execution_id(self) -> str:
        return self.record.execution_id


def read_lineage(execution_id: str, deployment: Deployment, activity: Activity) -> list[OldExecution]:
    """Return the resumed execution and those that it continues, newest first.

    Raises:
        InvalidInputError: when the execution cannot be resumed.
        ResumedJobRunningError: when one of its SageMaker jobs has not ended.
    """
    record = deployment.table.find_execution(execution_id)
    raise_if_any(_check(execution_id, record, activity), "request")
    found: list[OldExecution] = []
    while record is not None and len(found) < MAX_LINEAGE:
        old = OldExecution(record, tuple(deployment.table.jobs(record.execution_id)))
        if not found:
            raise_if_any(_check_records(old), "request")
        check_jobs(old, activity)
        found.append(old)
        # The records of an older one may have expired.
        record = deployment.table.find_execution(record.resumes) if record.resumes else None
    return found


def _check(execution_id: str, record: ExecutionRecord | None, activity: Activity) -> list[Problem]:
    def refuse(value: object, expected: str, remedy: str) -> list[Problem]:
        return [Problem("resume", value, expected, remedy)]

    if record is None:
        remedy = "Check the id with `fleetscore list`, or start a new execution."
        return refuse(execution_id, "an execution of this stage whose records have not expired", remedy)
    if record.kind is not ExecutionKind.SCORING:
        return refuse(f"{execution_id}, a training execution", "a scoring execution", "Train again.")
    if record.status is ExecutionStatus.RUNNING and activity.execution_runs(record.execution_arn):
        remedy = f"Wait for its end, or stop it with `fleetscore stop {execution_id}`."
        return refuse(f"{execution_id}, which is RUNNING", "an execution that has ended", remedy)
    if record.plan is None:
        remedy = f"Resume {record.resumes!r} instead." if record.resumes else "Start a new execution."
        dataset = _request_of(record).get("dataset")
        if isinstance(dataset, str) and execution_id.startswith(execution_name(dataset, "")):
            remedy = f"Score its uploads with `fleetscore resume --uploads {dataset}`."
        return refuse(f"{execution_id}, which was never planned", "an execution with a plan", remedy)
    return []


def _check_records(old: OldExecution) -> list[Problem]:
    """Refuse an execution whose records do not tell any more what it planned: its rest would look complete."""
    planned = old.record.plan.job_count if old.record.plan else 0
    jobs = group_parts(old.jobs)
    parts = sum(job.part is not None for job in old.jobs)
    expected = sum(group[0].part.count for group in jobs.values() if group[0].part)
    if (len(jobs), parts) == (planned, expected):
        return []
    lost = f"{len(jobs):,} of {planned:,} jobs, and {parts:,} of {expected:,} parts of split jobs"
    value = f"{old.execution_id}, which has records of {lost}"
    return [Problem("resume", value, "an execution whose records have not expired", "Start a new execution.")]


def check_jobs(old: OldExecution, activity: Activity) -> None:
    """Refuse to continue while a SageMaker job may still commit objects.

    Raises:
        ResumedJobRunningError: when one may.
    """
    jobs = [job for job in old.jobs if job.sagemaker_job_name and _may_run(job)]
    found = in_parallel(lambda job: activity.running_job_status(job.sagemaker_kind, job.sagemaker_job_name), jobs)
    if running := [(job.sagemaker_job_name, status) for job, status in zip(jobs, found, strict=True) if status]:
        raise ResumedJobRunningError(old.execution_id, running)


def _may_run(job: JobRecord) -> bool:
    """Return whether the end of the job's record does not follow from the end of its SageMaker job."""
    return job.status not in FINAL_JOB_STATUSES or job.failure_kind in (FailureKind.STOPPED, FailureKind.UNKNOWN)


def inherited_request(request: ExecutionRequest, lineage: Sequence[OldExecution]) -> tuple[ExecutionRequest, list[str]]:
    """Return the request with the values of the resumed one where it has none, and notes about lost ones.

    What is scored follows from the records, so the result names no models, fleets or dataset.
    """
    notes: list[str] = []
    found: dict[str, Any] = {name: value for name in _INHERITED if (value := getattr(request, name)) is not None}
    for old in lineage:
        data = _request_of(old.record)
        if "left_out" in data:
            notes.append(f"the request of {old.execution_id} is too long for its record: its options are not inherited")
        for name in _INHERITED:
            if name not in found and data.get(name) is not None:
                # Of an earlier release, a value may not be valid any more.
                decoded, _ = decode_fields(ExecutionRequest, {name: data[name]})
                if decoded is not None:
                    found[name] = getattr(decoded, name)
    return replace(request, resume=None, models=None, fleets=None, **found), notes


def _request_of(record: ExecutionRecord) -> Mapping[str, Any]:
    try:
        data = parse_json(record.request_json, keep_surrogates=True)
    except JsonError:
        return {}
    return data if isinstance(data, Mapping) else {}
