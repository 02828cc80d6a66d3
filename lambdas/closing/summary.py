"""Form the summary of a closed execution from its records. Pure functions, no I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from contract import layout
from contract.json_text import JsonError, parse_json
from contract.status import ExecutionKind, JobStatus
from contract.table.job_parts import group_parts, whole_job
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.scoring_request import hide_task_token
from contract.workflow.summary import ExecutionSummary, JobSummary, PartSummary


def summarize(record: ExecutionRecord, records: Sequence[JobRecord], results_bucket: str) -> ExecutionSummary:
    """Return the summary of a closed execution, failed jobs first.

    `records` are of its jobs, and of the parts of split jobs.
    """
    parts = group_parts(records)
    jobs = [whole_job(found) for found in parts.values()]
    scored = [job for job in jobs if job.kind is ExecutionKind.SCORING]
    pinned, committed = sum(job.objects_pinned for job in scored), sum(job.commits for job in scored)
    ordered = sorted(jobs, key=lambda job: (job.status is JobStatus.SUCCEEDED, job.job_id))
    return ExecutionSummary(
        execution_id=record.execution_id,
        execution_arn=record.execution_arn,
        label=record.label,
        status=record.status,
        request=hide_task_token(_parse_request(record.request_json)),
        started_at=record.started_at,
        ended_at=record.ended_at,
        reason=record.reason,
        jobs_total=len(jobs),
        jobs_succeeded=sum(job.status is JobStatus.SUCCEEDED for job in jobs),
        jobs_failed=sum(job.status is JobStatus.FAILED for job in jobs),
        rows_in=sum(job.rows_in for job in jobs),
        rows_scored=sum(job.rows_scored for job in jobs),
        rows_quarantined=sum(job.rows_quarantined for job in jobs),
        rows_skipped=sum(job.rows_skipped for job in jobs),
        jobs=tuple(_summarize_job(job, parts[job.job_id], results_bucket) for job in ordered),
        objects_pinned=pinned,
        objects_committed=committed,
        objects_failed=pinned - committed,
        violations=record.violations,
        kind=record.kind,
        training_execution_id=record.training_execution_id,
        training_failure=record.training_failure,
        resumes=record.resumes,
        notes=record.notes,
        commits_kept=sum(job.commits_kept for job in jobs),
        deadline_at=record.deadline_at,
        estimate=record.estimate,
        actual=record.actual,
    )


def _parse_request(request_json: str) -> Any:
    """Return the parsed request, or its text when some JSON parsers would refuse it."""
    try:
        return parse_json(request_json, keep_surrogates=True)
    except JsonError:
        return request_json


def _summarize_job(job: JobRecord, parts: Sequence[JobRecord], results_bucket: str) -> JobSummary:
    scored = job.status is JobStatus.SUCCEEDED and job.kind is ExecutionKind.SCORING

    def uris(kind: layout.OutputKind) -> tuple[str, ...]:
        prefixes = [
            prefix
            for part in parts
            # The rows of one part may be in quarantine, and none of another: that one has no such folder.
            if kind == "predictions" or part.rows_quarantined
            for prefix in layout.output_prefixes(
                kind,
                part.dataset,
                part.execution_id,
                part.job_id,
                model_ids=part.model_ids,
                output_layout=part.output_layout,
            )
        ]
        return tuple(layout.s3_uri(results_bucket, prefix) for prefix in prefixes)

    return JobSummary(
        job_id=job.job_id,
        status=job.status,
        dataset=job.dataset,
        model_ids=job.model_ids,
        model_versions=job.model_versions,
        attempts=job.attempt,
        sagemaker_job_name=job.sagemaker_job_name,
        object_count=job.object_count,
        input_bytes=job.input_bytes,
        rows_in=job.rows_in,
        rows_scored=job.rows_scored,
        rows_quarantined=job.rows_quarantined,
        seconds=_seconds(job.started_at, job.ended_at),
        predictions_uris=uris("predictions") if scored else (),
        failure_kind=job.failure_kind,
        reason=job.reason,
        outcome=job.outcome,
        quarantine_uris=uris("quarantine") if scored and job.rows_quarantined else (),
        duplicate_keys=job.duplicate_keys,
        null_keys=job.null_keys,
        notes=job.notes,
        sharding=job.sharding,
        parts=tuple(_summarize_part(part.part.number, part) for part in parts if part.part),
        fleet=job.fleet,
        fleet_models=job.fleet_models,
        rows_skipped=job.rows_skipped,
        objects_committed=job.commits,
        spot_time=job.spot_time,
        estimated_seconds=job.estimated_seconds,
    )


def _summarize_part(number: int, part: JobRecord) -> PartSummary:
    return PartSummary(
        part=number,
        job_id=part.job_id,
        status=part.status,
        attempts=part.attempt,
        sagemaker_job_name=part.sagemaker_job_name,
        object_count=part.object_count,
        input_bytes=part.input_bytes,
        rows_in=part.rows_in,
        rows_scored=part.rows_scored,
        rows_quarantined=part.rows_quarantined,
        seconds=_seconds(part.started_at, part.ended_at),
        failure_kind=part.failure_kind,
        reason=part.reason,
        rows_skipped=part.rows_skipped,
        objects_committed=part.commits,
    )


def _seconds(started_at: str, ended_at: str) -> float:
    if not started_at or not ended_at:
        return 0.0
    return (datetime.fromisoformat(ended_at) - datetime.fromisoformat(started_at)).total_seconds()
