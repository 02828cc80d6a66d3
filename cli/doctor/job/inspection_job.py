"""The inspection job: the deployed image, role, key and network, on one instance and on inputs of a few bytes.

It is created as the workflow creates jobs, so that the conditions on which the workflow may create jobs hold for it
too. Its inputs and outputs lie below `executions/doctor-<time>/` in the results bucket, where the role of scoring
jobs may read manifests and write a ledger. They are deleted at the end.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.doctor.stage import DeployedStage
from contract import layout
from contract.catalog.image_variants import CORE
from contract.catalog.instance_types import has_local_storage
from contract.json_text import parse_json

NESTED_KEY = "part=1/nested.manifest"
EMPTY_KEY = "empty.manifest"
"""Keys of the objects that the job's manifest names, relative to its prefix: one in a folder, one of 0 bytes."""
CHANNEL = "data"
WITH_SLASH, WITHOUT_SLASH = "ledger", "plain"
"""The outputs: their S3 addresses end with a slash, and without."""
REPORT = "report.json"
MESSAGE = "inspected"
"""The exit message of the inspection."""

_JOB = "inspection"
_ARGUMENT = "inspect"
_MAX_RUNTIME_SECONDS = 600
_LONGEST_WAIT_SECONDS = 1_800.0
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between two looks at the job; the last one repeats."""


@dataclass(frozen=True)
class Inspected:
    """A job that has ended."""

    name: str
    description: Mapping[str, Any]
    """The answer of DescribeProcessingJob."""
    prefix: str
    """Prefix of the manifest's objects, as a key."""
    outputs_prefix: str
    output_keys: tuple[str, ...]
    """Keys below that prefix."""
    report: Mapping[str, Any] | None
    """What the container saw; None when the job wrote nothing."""


def run_inspection(
    stage: DeployedStage, instance_type: str | None = None, *, notice: Callable[[str], None] = lambda _: None
) -> Inspected:
    """Run the job, read what it wrote, and delete everything that it read and wrote.

    Raises:
        ClientError: when the job or its inputs cannot be created.
    """
    execution_id = f"doctor-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    s3, bucket = stage.client("s3"), stage.deployment.results_bucket
    try:
        for key, body in _inputs(stage, execution_id).items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        request = job_request(stage, execution_id, instance_type or str(stage.compute.instance_type))
        name = request["ProcessingJobName"]
        stage.client("sagemaker").create_processing_job(**request)
        notice(f"The job {name} runs on one {_cluster(request)['InstanceType']}. It takes a few minutes.")
        description = _wait(stage, name)
        outputs_prefix = layout.ledger_prefix(execution_id, _JOB)
        keys = tuple(_keys(s3, bucket, outputs_prefix))
        written = next((key for key in keys if key.endswith(REPORT)), None)
        report = parse_json(s3.get_object(Bucket=bucket, Key=written)["Body"].read()) if written else None
        return Inspected(
            name=name,
            description=description,
            prefix=_data_prefix(execution_id),
            outputs_prefix=outputs_prefix,
            output_keys=keys,
            report=report,
        )
    finally:
        for key in _keys(s3, bucket, layout.execution_prefix(execution_id)):
            s3.delete_object(Bucket=bucket, Key=key)


def job_request(stage: DeployedStage, execution_id: str, instance_type: str) -> dict[str, Any]:
    """Return the request of CreateProcessingJob, with what the workflow's permission to create jobs demands."""
    bucket = stage.deployment.results_bucket
    outputs = layout.s3_uri(bucket, layout.ledger_prefix(execution_id, _JOB))
    cluster: dict[str, Any] = {
        "InstanceType": instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": int(stage.compute.volume_size_gb or 0),
    }
    if not has_local_storage(instance_type):
        cluster["VolumeKmsKeyId"] = stage.key_arn
    network: dict[str, Any] = {"EnableNetworkIsolation": True}
    if stage.network is not None:
        network["VpcConfig"] = {
            "Subnets": list(stage.network.subnet_ids),
            "SecurityGroupIds": list(stage.network.security_group_ids),
        }
    return {
        "ProcessingJobName": f"{stage.name}-{execution_id}",
        "RoleArn": stage.job_role_arn,
        "AppSpecification": {"ImageUri": stage.images[CORE], "ContainerArguments": [_ARGUMENT]},
        "ProcessingInputs": [
            _input("spec", layout.s3_uri(bucket, layout.job_spec_key(execution_id, _JOB)), "S3Prefix"),
            _input(
                CHANNEL,
                layout.s3_uri(bucket, layout.data_manifest_key(execution_id, _JOB, 1)),
                "ManifestFile",
                "ShardedByS3Key",
            ),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                _output(WITH_SLASH, f"{outputs}{WITH_SLASH}/"),
                _output(WITHOUT_SLASH, f"{outputs}{WITHOUT_SLASH}"),
            ],
            "KmsKeyId": stage.key_arn,
        },
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": _MAX_RUNTIME_SECONDS},
        "NetworkConfig": network,
        "Tags": [{"Key": "fleetscore:stage", "Value": stage.name}],
    }


def _cluster(request: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request["ProcessingResources"]["ClusterConfig"]
    return found


def _inputs(stage: DeployedStage, execution_id: str) -> dict[str, bytes]:
    """Return the objects that the job reads, by key."""
    prefix = _data_prefix(execution_id)
    manifest = [{"prefix": layout.s3_uri(stage.deployment.results_bucket, prefix)}, NESTED_KEY, EMPTY_KEY]
    return {
        layout.job_spec_key(execution_id, _JOB): b"{}",
        layout.data_manifest_key(execution_id, _JOB, 1): json.dumps(manifest).encode(),
        f"{prefix}{NESTED_KEY}": b"[]",
        f"{prefix}{EMPTY_KEY}": b"",
    }


def _data_prefix(execution_id: str) -> str:
    return f"{layout.job_prefix(execution_id, _JOB)}{CHANNEL}/"


def _input(name: str, uri: str, data_type: str, distribution: str = "FullyReplicated") -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": layout.container_path("input", name),
            "S3DataType": data_type,
            "S3InputMode": "File",
            "S3DataDistributionType": distribution,
            "S3CompressionType": "None",
        },
    }


def _output(name: str, uri: str) -> dict[str, Any]:
    return {
        "OutputName": name,
        "S3Output": {
            "S3Uri": uri,
            "LocalPath": layout.container_path("output", name),
            "S3UploadMode": "Continuous",
        },
    }


def _wait(stage: DeployedStage, name: str) -> Mapping[str, Any]:
    """Return the description of the job when it has ended; stop a job that takes too long."""
    client = stage.client("sagemaker")
    began, looks = time.monotonic(), 0
    while True:
        found: Mapping[str, Any] = client.describe_processing_job(ProcessingJobName=name)
        if found["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped"):
            return found
        if time.monotonic() - began > _LONGEST_WAIT_SECONDS:
            client.stop_processing_job(ProcessingJobName=name)
            return found
        time.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
        looks += 1


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", ()))
