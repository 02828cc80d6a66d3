"""Check a trained artifact, then write its version, its promotion and the job's end in one
transaction.
"""

from dataclasses import replace

from contract.catalog.models import REASON_CHARACTERS, CurrentChange, Model, ModelVersion, TrainedBy, VersionDecision
from contract.problems import InvalidInputError, list_problems
from contract.status import JobStatus, VersionState
from contract.table.catalog_items import version_item
from contract.table.records import JobRecord
from contract.training.recipes import ModelRecipe
from contract.training.training_inputs import inputs_sha256
from contract.training.training_spec import TrainingReport, TrainingSpec
from contract.workflow.messages import JobPointer, JobResult
from lambdas.attempts.job_events import complete_job
from lambdas.dataset.pinning import replaced_objects
from lambdas.errors import ModelContendedError, ObjectReplacedError, TrainedArtifactError
from lambdas.register_model_version.decisions import (
    Verdict,
    check_artifact,
    decide,
    notes_on,
    outcome,
    unchanged_outcome,
)
from lambdas.stage.buckets.training_objects import TrainedArtifact
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import publish_counts

_TRIES = 5


def register_model_version(pointer: JobPointer, deployment: Deployment) -> JobResult:
    """Register the version and record the job as succeeded. Idempotent.

    Raises:
        ArtifactMissingError: when the training job left no artifact.
        ObjectReplacedError: when pinned objects were replaced or removed since.
        TrainedArtifactError: when the artifact does not match its spec.
        ModelContendedError: when every try conflicted with a concurrent change of the model.
        JobClosedError: when the job has failed.
        StaleEventError: when the job is in another attempt.
    """
    return complete_job(pointer, deployment, lambda state, _: _register(state.job, deployment))


def _register(job: JobRecord, deployment: Deployment) -> JobRecord:
    if job.unchanged_since:
        return _keep_last_version(job, deployment)
    spec = deployment.store.training_spec(job.execution_id, job.job_id)
    recipe = deployment.store.recipe_copy(job.execution_id, job.job_id)
    _check_datasets(spec, recipe, deployment)
    artifact = deployment.store.trained_artifact(job.execution_id, job.job_id, job.sagemaker_job_name)
    problems = check_artifact(spec, artifact.report, artifact.files)
    arn = deployment.table.execution(job.execution_id).execution_arn
    problems = problems or _check_record(job, artifact, recipe, arn)
    if problems:
        raise TrainedArtifactError(job.job_id, problems)
    # Checked before the copy, which would overwrite the artifact of another version of this name.
    if (changed := _changed_job(job, spec, deployment)) is not None:
        return changed
    deployment.store.copy_artifact(artifact, spec.model_id, spec.version)
    digest = inputs_sha256(spec, recipe, job.image_uri)
    for _ in range(_TRIES):
        succeeded = _write(job, artifact, recipe, arn, deployment, digest=digest)
        if succeeded is not None:
            return succeeded
        if (changed := _changed_job(job, spec, deployment)) is not None:
            return changed
    raise ModelContendedError(spec.model_id)


def _keep_last_version(job: JobRecord, deployment: Deployment) -> JobRecord:
    """Record the success of a job without a training, and return its record."""
    [model_id] = job.model_ids
    version = deployment.table.version(model_id, job.unchanged_since)
    state = version.decision if version is not None else None
    model = deployment.table.models([model_id]).get(model_id)
    text = unchanged_outcome(job.unchanged_since, state, model.current_version if model is not None else "")
    now = deployment.now()
    succeeded = replace(job, status=JobStatus.SUCCEEDED, ended_at=now, failure_kind=None, reason="", outcome=text)
    return deployment.table.end_attempt(job, succeeded, ended_at=now)


def _changed_job(job: JobRecord, spec: TrainingSpec, deployment: Deployment) -> JobRecord | None:
    """Return the job's record if another call has changed it.

    Raises:
        TrainedArtifactError: when another registration has written the version, or it was deleted.
    """
    taken = deployment.table.version_name_used(spec.model_id, spec.version)
    now = deployment.table.job(job.execution_id, job.job_id)
    if (now.status, now.attempt) != (job.status, job.attempt):
        return now
    if taken:
        raise TrainedArtifactError(
            job.job_id, [f"model {spec.model_id!r} already has, or had, a version {spec.version!r}"]
        )
    return None


def _check_record(job: JobRecord, artifact: TrainedArtifact, recipe: ModelRecipe, arn: str) -> list[str]:
    """Return why the table cannot store the version's record, with the longest reason of a decision."""
    longest = VersionDecision(VersionState.PENDING_APPROVAL, "x" * REASON_CHARACTERS, job.started_at, arn)
    try:
        version_item(_version(job, artifact, recipe, longest, "0" * 64))
    except InvalidInputError as error:
        return list_problems(error.problems)
    return []


def _check_datasets(spec: TrainingSpec, recipe: ModelRecipe, deployment: Deployment) -> None:
    pinned = ((recipe.training_dataset, spec.objects), (recipe.validation_dataset, spec.validation_objects))
    for dataset, objects in pinned:
        replaced = replaced_objects(objects, deployment.store.dataset_objects(dataset)) if dataset else ()
        if replaced:
            raise ObjectReplacedError(spec.job_id, replaced)


def _write(
    job: JobRecord, artifact: TrainedArtifact, recipe: ModelRecipe, arn: str, deployment: Deployment, *, digest: str
) -> JobRecord | None:
    """Compare the version with the current one and write the result.

    Return None when the job or the current version has changed in the meantime.
    """
    table, report, now = deployment.table, artifact.report, deployment.now()
    before = table.models([recipe.model_id]).get(recipe.model_id)
    current = table.version(recipe.model_id, before.current_version) if before is not None else None
    verdict = decide(recipe.promotion, report, before, current)
    decision = VersionDecision(verdict.state, verdict.reason, now, arn)
    version = _version(job, artifact, recipe, decision, digest)
    after = _promoted(recipe, before, report.version, decision)
    succeeded = replace(
        job,
        status=JobStatus.SUCCEEDED,
        ended_at=now,
        rows_in=report.rows_total or 0,
        failure_kind=None,
        reason="",
        outcome=outcome(recipe.model_id, report.version, verdict),
        notes=tuple(f"model {recipe.model_id}: {note}" for note in notes_on(report)),
    )
    if not table.register_trained(job, succeeded, version, before, after):
        return None
    _publish(verdict, deployment)
    return succeeded


def _version(
    job: JobRecord, artifact: TrainedArtifact, recipe: ModelRecipe, decision: VersionDecision, digest: str
) -> ModelVersion:
    report = artifact.report
    return replace(
        recipe.trained_version(report, artifact.sha256, artifact.bytes),
        registered_at=decision.decided_at,
        registered_by=decision.decided_by,
        source=decision.decided_by,
        trained_by=replace(_trained_by(job, recipe, report), inputs_sha256=digest),
        decision=decision,
    )


def _trained_by(job: JobRecord, recipe: ModelRecipe, report: TrainingReport) -> TrainedBy:
    return TrainedBy(
        execution_id=job.execution_id,
        training_job_name=job.sagemaker_job_name,
        dataset=recipe.training_dataset,
        metric=report.metric,
        rows_trained=report.rows_trained,
        rows_held_out=report.rows_held_out,
        rarest_class_held_out=report.rarest_class_held_out,
        seconds=report.seconds,
    )


def _promoted(recipe: ModelRecipe, before: Model | None, version: str, decision: VersionDecision) -> Model | None:
    """Return the model with this version as current; None when it is not promoted."""
    if decision.state is not VersionState.PROMOTED:
        return None
    now = decision.decided_at
    change = CurrentChange(version, now, decision.decided_by, decision.reason)
    if before is not None:
        return before.with_current(change)
    return Model(recipe.model_id, version, tags=recipe.tags, updated_at=now, history=(change,))


def _publish(verdict: Verdict, deployment: Deployment) -> None:
    names = {
        VersionState.PROMOTED: "VersionsPromoted",
        VersionState.REJECTED: "VersionsRejected",
        VersionState.PENDING_APPROVAL: "VersionsPendingApproval",
    }
    publish_counts(deployment.settings.stage, {names[verdict.state]: 1})
