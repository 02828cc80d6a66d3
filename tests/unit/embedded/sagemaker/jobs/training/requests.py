"""Requests for training jobs, and their results."""

import io
import tarfile
import uuid
from typing import Any

from embedded.sagemaker.jobs.job_types import TRAINING
from embedded.sagemaker.jobs.training.job import TrainingJob
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws

TRAINING_PRELUDE = """
MODEL, CHECKPOINTS, DATA = ML / "model", ML / "checkpoints", ML / "input/data"
def config(name):
    return json.loads((ML / "input/config" / f"{name}.json").read_text())
HOST = config("resourceconfig")["current_host"]
"""
"""Names for the folders of a training container; follows the prelude of all images."""


def training_request(aws: Aws, image_uri: str, prefix: str, **changes: Any) -> dict[str, Any]:
    """Return a valid request for a job with one instance. `changes` add or replace members."""
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
    """Return the members that request spot instances."""
    return {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": runtime, "MaxWaitTimeInSeconds": wait},
        **({"CheckpointConfig": {"S3Uri": f"s3://{aws.bucket}/{prefix}checkpoints"}} if checkpoints else {}),
    }


def start(service: SageMakerService, request: dict[str, Any]) -> TrainingJob:
    service.call("CreateTrainingJob", request)
    job = service.job(request["TrainingJobName"], TRAINING)
    assert isinstance(job, TrainingJob)
    return job


def run(service: SageMakerService, request: dict[str, Any]) -> dict[str, Any]:
    """Create a job, wait for its end and return its description."""
    job = start(service, request)
    assert job.wait(DEADLINE_SECONDS), f"{job.name} has not ended"
    return job.describe()


def archive(aws: Aws, described: dict[str, Any], name: str = "model.tar.gz") -> dict[str, bytes]:
    """Return the files of an archive of the ended job."""
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
