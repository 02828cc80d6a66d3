"""Open an attempt on the objects that are not committed yet.

First tries and retries take the same path.
"""

from dataclasses import replace

from contract import layout, spot_layout
from contract.status import FINAL_JOB_STATUSES, AttemptStatus, ExecutionKind
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.messages import AttemptInput, AttemptPlan, JobPointer, TrainingAttemptPlan
from lambdas.admission.names import attempt_name
from lambdas.attempts.adaptation import AttemptSettings, settings_of
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.commits import read_commits
from lambdas.attempts.keep_commits import keep_commits, keep_spot_commits
from lambdas.attempts.progress import progress_mark
from lambdas.attempts.tolerance import check_tolerance
from lambdas.errors import ExecutionNotFoundError, JobClosedError, StaleEventError
from lambdas.record_attempt.admission import Admission
from lambdas.record_attempt.container_variables import container_variables
from lambdas.record_attempt.instance_fields import instance_fields
from lambdas.record_attempt.training_attempt import training_attempt_plan
from lambdas.stage.deployment import Deployment


def record_attempt(
    event: AttemptInput, deployment: Deployment, rules: ChecksumRules
) -> AttemptPlan | TrainingAttemptPlan:
    """Open the attempt that the event names, and return what its SageMaker job needs. Idempotent.

    The manifests are written before the attempt is opened, so an open attempt always has its input.
    The first one has the snapshot's manifest of objects, which the plan has written, unless it keeps
    commits of an earlier execution. Without instances for it, no attempt is opened, and the plan only
    says how long to wait.

    Raises:
        ToleranceExceededError: when more of the execution has failed than it tolerates.
        KeptOutputsLeftError: when the function's time ends before all kept outputs are copied.
        QuotaTooSmallError: when the quota is below the instances of this job alone.
        CapacityWaitEndedError: when the job has waited for instances for too long.
        JobClosedError: when the job has ended.
        StaleEventError: when the job is in another attempt.
    """
    table, pools = deployment.table, deployment.pools
    state = table.job_state(event.execution_id, event.job_id, event.attempt, *pools.expected_keys())
    job, attempt, execution = state.job, state.attempt, state.execution
    if execution is None:
        raise ExecutionNotFoundError(event.execution_id)
    admission = Admission(event, execution, deployment, pools.expected_pool(state.others))
    if attempt is None:
        check_tolerance(execution, deployment)
        table.check_may_open(job, event.attempt)
        # It has counted its objects before it began to wait.
        if job.waiting_instances:
            instance_type = _settings(job, event, deployment).instance_type
            if wait := admission.of(job, instance_type, job.waiting_instances):
                return _waiting(job, wait)
        if job.kind is ExecutionKind.TRAINING:
            attempt = _new_training_attempt(event, job, execution, deployment)
        else:
            job, attempt = _new_scoring_attempt(event, job, execution, deployment, rules)
        wait, attempt = admission.open(job, attempt)
        if wait:
            return _waiting(job, wait)
    elif attempt.status is not AttemptStatus.RUNNING:
        # Otherwise the plan would start a SageMaker job for which the workflow no longer waits.
        if job.status in FINAL_JOB_STATUSES:
            raise JobClosedError(job.execution_id, job.job_id, job.status)
        raise StaleEventError(job.job_id, event.attempt, job.status, job.attempt)
    elif attempt.sagemaker_job_name and job.waiting_for:
        # Otherwise this is a repeated call. The instances may be released already, and nobody would release them again.
        if wait := admission.of(job, attempt.instance_type, attempt.instance_count):
            return _waiting(job, wait)
        # SageMaker has refused it before, and may do so again.
        table.record_wait(job, since=job.waiting_since, waiting_for="", instances=0)
    start_wait = admission.start_slot(job) if attempt.sagemaker_job_name else 0
    if job.kind is ExecutionKind.TRAINING:
        return replace(training_attempt_plan(job, attempt, deployment), start_wait_seconds=start_wait)
    return replace(_attempt_plan(event, job, attempt, deployment), start_wait_seconds=start_wait)


def _new_training_attempt(
    pointer: JobPointer, job: JobRecord, execution: ExecutionRecord, deployment: Deployment
) -> AttemptRecord:
    """Return the record of a new training attempt.

    The plan has written its input, which all attempts share. The attempt has no SageMaker job if
    nothing has changed since the last trained version.
    """
    return AttemptRecord(
        execution_id=pointer.execution_id,
        job_id=pointer.job_id,
        attempt=pointer.attempt,
        status=AttemptStatus.RUNNING,
        sagemaker_job_name="" if job.unchanged_since else attempt_name(pointer, execution, deployment),
        object_count=0 if job.unchanged_since else job.object_count,
        instance_count=1,
        started_at=deployment.now(),
        progress_mark=progress_mark(job, deployment.store) if pointer.attempt > 1 else "",
        **vars(_settings(job, pointer, deployment)),
    )


def _new_scoring_attempt(
    pointer: JobPointer, job: JobRecord, execution: ExecutionRecord, deployment: Deployment, rules: ChecksumRules
) -> tuple[JobRecord, AttemptRecord]:
    """Write the manifests, and return the job with its counted commits, and the record of a scoring attempt."""
    # The plan leaves the models' manifests to the attempts, because it writes for thousands of jobs.
    deployment.store.write_models_manifest(job)
    # The ledger belongs to the execution, so at its first attempt it has only what is kept of earlier ones.
    left, mark = job.object_count, ""
    if pointer.attempt > 1 or execution.resumes or execution.keeps_scored:
        job, left = _write_open_objects(pointer, job, deployment, rules)
        mark = progress_mark(job, deployment.store)
    return job, AttemptRecord(
        execution_id=pointer.execution_id,
        job_id=pointer.job_id,
        attempt=pointer.attempt,
        status=AttemptStatus.RUNNING,
        sagemaker_job_name=attempt_name(pointer, execution, deployment) if left else "",
        object_count=left,
        # Objects are not split between instances, so more instances than objects would only add
        # cost.
        instance_count=max(1, min(job.compute.instance_count or 1, left)),
        started_at=deployment.now(),
        progress_mark=mark,
        spot=job.scores_on_spot,
        **vars(_settings(job, pointer, deployment)),
    )


def _settings(job: JobRecord, pointer: JobPointer, deployment: Deployment) -> AttemptSettings:
    """Return the attempt's settings; a later one gets more of what earlier ones ran out of."""
    found = (
        deployment.table.find_attempt(pointer.execution_id, pointer.job_id, number)
        for number in range(1, pointer.attempt)
    )
    return settings_of(job, pointer.attempt, [attempt for attempt in found if attempt is not None])


def _write_open_objects(
    pointer: JobPointer, job: JobRecord, deployment: Deployment, rules: ChecksumRules
) -> tuple[JobRecord, int]:
    """Write the manifest of the objects that are not committed, and return their number.

    The job is returned with its counts of commits.
    """
    spec = deployment.store.job_spec(pointer.execution_id, pointer.job_id)
    # As long as no SageMaker job was started, all commits are kept ones.
    is_first = bool(spec.sources) and not job.sagemaker_job_name
    if is_first:
        keep_commits(spec, deployment.store, rules)
    if job.scores_on_spot and pointer.attempt > 1:
        keep_spot_commits(spec, deployment.store, rules)
    commits = read_commits(spec, deployment.store, rules)
    valid = commits.expected - commits.missing_count
    left = commits.open_objects
    if left and (pointer.attempt > 1 or len(left) < job.object_count):
        deployment.store.write_data_manifest(spec, pointer.attempt, left)
    return replace(job, commits=valid, commits_kept=valid if is_first else job.commits_kept), len(left)


def _waiting(job: JobRecord, wait: int) -> AttemptPlan | TrainingAttemptPlan:
    """Return a plan without an attempt: every field that the workflow reads, and the time to wait."""
    if job.kind is ExecutionKind.TRAINING:
        return TrainingAttemptPlan(
            training_job_name="",
            channels=(),
            hyperparameters={},
            output_uri="",
            checkpoints_uri="",
            resources={},
            spot=False,
            stopping_condition={},
            longest_seconds=0,
            environment={},
            unchanged=False,
            wait_seconds=wait,
        )
    return AttemptPlan(
        nothing_left=False,
        sagemaker_job_name="",
        spec_uri="",
        snapshot_uri="",
        data_manifest_uri="",
        models_manifest_uri="",
        predictions_uri="",
        quarantine_uri="",
        ledger_uri="",
        cluster={},
        max_runtime_seconds=0,
        environment={},
        wait_seconds=wait,
    )


def _attempt_plan(pointer: JobPointer, job: JobRecord, attempt: AttemptRecord, deployment: Deployment) -> AttemptPlan:
    bucket = deployment.settings.results_bucket
    execution_id, job_id = pointer.execution_id, pointer.job_id

    part = job.part.name if job.part else ""
    data_manifest_key = (
        layout.snapshot_manifest_key(execution_id, job.dataset, part)
        if attempt.attempt == 1 and attempt.object_count == job.object_count
        else layout.data_manifest_key(execution_id, job_id, attempt.attempt)
    )

    def outputs_prefix(kind: layout.OutputKind) -> str:
        return layout.job_outputs_prefix(kind, job.dataset, execution_id, job_id, job.output_layout)

    runtime = job.compute.max_runtime_seconds or 0
    wait = job.compute.wait_seconds
    checkpoints = spot_layout.spot_checkpoints_prefix(execution_id, job_id, attempt.attempt)
    model_output = spot_layout.spot_output_prefix(execution_id, job_id, attempt.attempt)
    return AttemptPlan(
        nothing_left=attempt.object_count == 0,
        sagemaker_job_name=attempt.sagemaker_job_name,
        spec_uri=layout.s3_uri(bucket, layout.job_spec_key(execution_id, job_id)),
        snapshot_uri=layout.s3_uri(bucket, layout.snapshot_key(execution_id, job.dataset, part)),
        data_manifest_uri=layout.s3_uri(bucket, data_manifest_key),
        models_manifest_uri=layout.s3_uri(bucket, layout.models_manifest_key(execution_id, job_id)),
        # A job can only write below its own prefixes, whatever its models' code does.
        predictions_uri=layout.output_uri(bucket, outputs_prefix("predictions")),
        quarantine_uri=layout.output_uri(bucket, outputs_prefix("quarantine")),
        ledger_uri=layout.output_uri(bucket, layout.ledger_prefix(execution_id, job_id)),
        cluster=instance_fields(job, attempt, deployment),
        max_runtime_seconds=runtime,
        environment=container_variables(attempt),
        image_uri=job.image_uri,
        spot=job.scores_on_spot,
        checkpoints_uri=layout.output_uri(bucket, checkpoints),
        model_output_uri=layout.output_uri(bucket, model_output),
        max_wait_seconds=wait,
        longest_seconds=wait if job.scores_on_spot else runtime,
    )
