"""Requests for training jobs and what comes of them."""

import io
import tarfile
import uuid
from typing import Any

from embedded.sagemaker.jobs.job_types import TRAINING
from embedded.sagemaker.jobs.training.job import TrainingJob
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws

# Where a training container finds its folders; comes after the prelude of all images.
TRAINING_PRELUDE = """
MODEL, CHECKPOINTS, DATA = ML / "model", ML / "checkpoints", ML / "input/data"
def config(name):
    return json.loads((ML / "input/config" / f"{name}.json").read_text())
HOST = config("resourceconfig")["current_host"]
"""


def training_request(aws: Aws, image_uri: str, prefix: str, **changes: Any) -> dict[str, Any]:
    """A valid request for a job with one instance; `changes` are members to add or replace."""
    return {
        "TrainingJobName": f"train-{uuid.uuid4().hex[:12]}",
        "AlgorithmSpecification": {"TrainingImage": image_uri, "TrainingInputMode": "File"},
        "RoleArn": aws.role_arn,
        "OutputDataConfig": {"S3OutputPath": f"s3://{aws.bucket}/{prefix}models"},
        "ResourceConfig": resources(1),
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **changes,
    }


def resources(count: int, **changes: Any) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 1, **changes}


def channel(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **changes}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def spot(aws: Aws, prefix: str, *, runtime: int = 600, wait: int = 600, checkpoints: bool = True) -> dict[str, Any]:
    """The members that make a job one on spot instances."""
    return {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": runtime, "MaxWaitTimeInSeconds": wait},
        **({"CheckpointConfig": {"S3Uri": f"s3://{aws.bucket}/{prefix}checkpoints/"}} if checkpoints else {}),
    }


def start(service: SageMakerService, request: dict[str, Any]) -> TrainingJob:
    service.call("CreateTrainingJob", request)
    job = service.job(request["TrainingJobName"], TRAINING)
    assert isinstance(job, TrainingJob)
    return job


def run(service: SageMakerService, request: dict[str, Any]) -> dict[str, Any]:
    """Create a job, wait for its end and describe it."""
    job = start(service, request)
    assert job.wait(DEADLINE_SECONDS), f"{job.name} does not end"
    return job.describe()


def archive(aws: Aws, described: dict[str, Any], name: str = "model.tar.gz") -> dict[str, bytes]:
    """The files of an archive that the job has left."""
    uri = described["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", name)
    body = aws.get(uri.removeprefix(f"s3://{aws.bucket}/"))
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
        return {path: file.read() for path, file in files.items() if file is not None}


def has_archive(aws: Aws, described: dict[str, Any], name: str = "model.tar.gz") -> bool:
    uri = described["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", name)
    key = uri.removeprefix(f"s3://{aws.bucket}/")
    return aws.keys(key) == [key]


def statuses(described: dict[str, Any]) -> list[str]:
    return [transition["Status"] for transition in described["SecondaryStatusTransitions"]]
