"""Form the request of a training job from its spec and recipe."""

from typing import Any

from contract import container_paths, layout, training_layout
from contract.table.records import AttemptRecord, JobRecord
from contract.training.recipes import ModelRecipe
from contract.training.training_spec import TrainingSpec
from contract.workflow.messages import TrainingAttemptPlan
from lambdas.record_attempt.container_variables import container_variables
from lambdas.record_attempt.instance_fields import instance_fields
from lambdas.stage.deployment import Deployment

_PARQUET = "application/x-parquet"


def training_attempt_plan(job: JobRecord, attempt: AttemptRecord, deployment: Deployment) -> TrainingAttemptPlan:
    """Return the parts of the training job's request that differ between jobs.

    All attempts share one checkpoint prefix, so that each continues where the last one ended.
    """
    execution_id, job_id = job.execution_id, job.job_id
    spec = deployment.store.training_spec(execution_id, job_id)
    recipe = deployment.store.recipe_copy(execution_id, job_id)
    bucket = deployment.settings.results_bucket
    runtime = job.compute.max_runtime_seconds or 0
    wait = recipe.compute.wait_seconds(runtime)
    stopping = {"MaxRuntimeInSeconds": runtime} | ({} if wait is None else {"MaxWaitTimeInSeconds": wait})
    return TrainingAttemptPlan(
        training_job_name=attempt.sagemaker_job_name,
        channels=tuple(_channels(spec, recipe, bucket)),
        hyperparameters=_script_hyperparameters(recipe),
        output_uri=layout.output_uri(bucket, training_layout.training_output_prefix(execution_id, job_id)),
        checkpoints_uri=layout.output_uri(bucket, training_layout.checkpoints_prefix(execution_id, job_id)),
        resources=instance_fields(job, attempt, deployment),
        spot=recipe.compute.spot,
        stopping_condition=stopping,
        longest_seconds=max(stopping.values()),
        environment=container_variables(attempt),
        unchanged=bool(job.unchanged_since),
        image_uri=job.image_uri,
    )


def _channels(spec: TrainingSpec, recipe: ModelRecipe, bucket: str) -> list[dict[str, Any]]:
    execution_id, job_id = spec.execution_id, spec.job_id

    def folder(name: str, key: str) -> dict[str, Any]:
        return _channel(name, "S3Prefix", layout.s3_uri(bucket, key.rpartition("/")[0] + "/"))

    def manifest(name: str) -> dict[str, Any]:
        uri = layout.s3_uri(bucket, training_layout.training_manifest_key(execution_id, job_id, name))
        return {**_channel(name, "ManifestFile", uri), "ContentType": _PARQUET}

    channels = [
        folder(container_paths.SPEC_CHANNEL, training_layout.training_job_spec_key(execution_id, job_id)),
        manifest(container_paths.TRAIN_CHANNEL),
    ]
    if spec.validation_objects:
        channels.append(manifest(container_paths.VALIDATION_CHANNEL))
    if recipe.code is not None:
        channels.append(folder(container_paths.CODE_CHANNEL, training_layout.job_code_key(execution_id, job_id)))
    return channels


def _channel(name: str, data_type: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": data_type, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _script_hyperparameters(recipe: ModelRecipe) -> dict[str, str]:
    """Return the hyperparameters by which SageMaker names the script and its archive."""
    if recipe.code is None:
        return {}
    archive = f"/opt/ml/input/data/{container_paths.CODE_CHANNEL}/{training_layout.SOURCE_NAME}"
    return {"sagemaker_program": recipe.code.program, "sagemaker_submit_directory": archive}
