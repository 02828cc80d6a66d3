"""Verify a job's output: every model must have committed every pinned object, its outputs must be in
S3 as they were committed, and nothing else."""

from dataclasses import replace
from typing import Any

from contract.job.scoring_spec import JobSpec
from contract.status import JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import JobResult, VerifyInput
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.commits import Commits, read_commits
from lambdas.attempts.job_events import complete_job
from lambdas.attempts.keep_commits import keep_spot_commits
from lambdas.attempts.spot_time import spot_time_after
from lambdas.attempts.tolerance import counted
from lambdas.dataset.pinning import replaced_objects
from lambdas.errors import ObjectReplacedError, OutputIncompleteError, UnexpectedOutputError
from lambdas.stage.deployment import Deployment
from lambdas.stage.tables.job_table import JobState, Release
from lambdas.verify_output.measurements import measure


def verify_output(pointer: VerifyInput, deployment: Deployment, rules: ChecksumRules) -> JobResult:
    """Record the job as succeeded if its output is complete. Idempotent.

    Raises:
        KeptOutputsLeftError: when the function's time ends before all outputs of spot attempts are copied.
        UnexpectedOutputError: when there are files that no commit names.
        OutputIncompleteError: when commits or their outputs are missing, or outputs were changed.
        ObjectReplacedError: when pinned objects were replaced or removed since.
        JobClosedError: when the job has failed.
        StaleEventError: when the job is in another attempt.
    """

    def verify(state: JobState, release: Release | None) -> JobRecord:
        return _verify(state, release, pointer.description, deployment, rules)

    return complete_job(pointer, deployment, verify, pointer.description)


def _verify(
    state: JobState, release: Release | None, description: Any, deployment: Deployment, rules: ChecksumRules
) -> JobRecord:
    job = state.job
    spec = deployment.store.job_spec(job.execution_id, job.job_id)
    _check_dataset(spec, deployment)
    if job.scores_on_spot:
        keep_spot_commits(spec, deployment.store, rules)
    commits = _check_commits(spec, deployment, rules)
    ended_at = max(deployment.now(), job.started_at)
    succeeded = replace(
        job,
        status=JobStatus.SUCCEEDED,
        ended_at=ended_at,
        rows_in=commits.rows_in,
        rows_scored=commits.rows_scored,
        rows_quarantined=commits.rows_quarantined,
        rows_skipped=commits.rows_skipped,
        duplicate_keys=commits.duplicate_keys,
        null_keys=commits.null_keys,
        failure_kind=None,
        reason="",
        notes=commits.notes,
        commits=commits.valid,
        measured=measure(job, spec, commits, description),
        spot_time=spot_time_after(job, description),
    )
    return deployment.table.end_attempt(
        job,
        succeeded,
        ended_at=ended_at,
        opened=state.attempt,
        tally=counted(succeeded, state.execution),
        release=release,
    )


def _check_dataset(spec: JobSpec, deployment: Deployment) -> None:
    replaced = replaced_objects(deployment.store.objects_of(spec), deployment.store.dataset_objects(spec.dataset))
    if replaced:
        resume = f"score them as they are now with `fleetscore resume {spec.execution_id}`"
        raise ObjectReplacedError(spec.job_id, replaced, resume)


def _check_commits(spec: JobSpec, deployment: Deployment, rules: ChecksumRules) -> Commits:
    commits = read_commits(spec, deployment.store, rules)
    # First, because another attempt cannot remove such files.
    if commits.unexpected_count:
        raise UnexpectedOutputError(spec.job_id, commits.unexpected, commits.unexpected_count)
    if commits.missing_count:
        raise OutputIncompleteError(spec.job_id, commits.missing, commits.missing_count, commits.expected)
    return commits
