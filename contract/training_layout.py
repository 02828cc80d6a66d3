"""S3 keys and names of training: scripts, specs, checkpoints and trained artifacts."""

import hashlib
import re

from contract.layout import ARTIFACT_NAME, MANIFEST_SUFFIX, job_prefix

CODE_PREFIX = "code/"
"""Prefix of training scripts in the models bucket."""
TRAINING_SPEC_NAME = "training.json"
SOURCE_NAME = "sourcedir.tar.gz"
"""File name of the training script's archive in the channel `code`, as SageMaker's own tools name
it."""


def code_prefix(model_id: str) -> str:
    """Return the prefix of the archives of a model's training scripts in the models bucket."""
    return f"{CODE_PREFIX}{model_id}/"


def code_key(model_id: str, sha256: str) -> str:
    """Return the key of a training script's archive in the models bucket."""
    return f"{code_prefix(model_id)}{sha256}/{SOURCE_NAME}"


def training_job_spec_key(execution_id: str, job_id: str) -> str:
    """Return the key of a `TrainingSpec`.

    No other object has its prefix, because the job's channel `spec` copies the whole prefix.
    """
    return f"{job_prefix(execution_id, job_id)}spec/{TRAINING_SPEC_NAME}"


def recipe_copy_key(execution_id: str, job_id: str) -> str:
    """Return the key of the plan's copy of the recipe, which the promotion decision uses."""
    return f"{job_prefix(execution_id, job_id)}recipe.json"


def training_manifest_key(execution_id: str, job_id: str, channel: str) -> str:
    return f"{job_prefix(execution_id, job_id)}{channel}{MANIFEST_SUFFIX}"


def job_code_key(execution_id: str, job_id: str) -> str:
    """Return the key of the plan's checked copy of the training script's archive.

    No other object has its prefix, because the job's channel `code` copies the whole prefix.
    """
    return f"{job_prefix(execution_id, job_id)}code/{SOURCE_NAME}"


def training_output_prefix(execution_id: str, job_id: str) -> str:
    """Return the prefix below which SageMaker writes `<training job name>/output/model.tar.gz`."""
    return f"{job_prefix(execution_id, job_id)}training/"


def trained_artifact_key(execution_id: str, job_id: str, training_job_name: str) -> str:
    return f"{training_output_prefix(execution_id, job_id)}{training_job_name}/output/{ARTIFACT_NAME}"


def checkpoints_prefix(execution_id: str, job_id: str) -> str:
    """Return the prefix of a job's checkpoints.

    The attempts share it, so that each resumes from the last checkpoint.
    """
    return f"{job_prefix(execution_id, job_id)}checkpoints/"


def trained_version(execution_arn: str, started_at: str, model_id: str) -> str:
    """Return the name of the version that an execution trains of a model.

    Idempotent; names sort by time.

    >>> trained_version("arn:aws:states:eu-west-1:1:execution:m:e", "2026-07-01T12:30:00.250Z", "delays-ua")
    '20260701T123000-6175475b2ab0'
    """
    digest = hashlib.sha256("\n".join((execution_arn, started_at, model_id)).encode()).hexdigest()[:12]
    return f"{re.sub('[^0-9TZ]', '', started_at.partition('.')[0])}-{digest}"


def training_execution_name(execution_arn: str, started_at: str) -> str:
    """Return the name of the training execution that a scoring execution starts first.

    Idempotent.
    """
    digest = hashlib.sha256("\n".join((execution_arn, started_at)).encode()).hexdigest()[:12]
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in execution_arn.rpartition(":")[2])
    return f"{name[:56].rstrip('-')}-training-{digest}"
