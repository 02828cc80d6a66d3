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
from functools import partial
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

JOB_ID = "inspection"
ARGUMENT = "inspect"
MAX_RUNTIME_SECONDS = 600
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
    execution_id = new_execution_id()
    s3, bucket = stage.client("s3"), stage.deployment.results_bucket
    try:
        for key, body in input_objects(stage, execution_id).items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        request = job_request(stage, execution_id, instance_type or str(stage.compute.instance_type))
        name = request["ProcessingJobName"]
        client = stage.client("sagemaker")
        client.create_processing_job(**request)
        notice(f"The job {name} runs on one {_cluster(request)['InstanceType']}. It takes a few minutes.")
        description = wait_for_end(
            partial(client.describe_processing_job, ProcessingJobName=name),
            partial(client.stop_processing_job, ProcessingJobName=name),
            "ProcessingJobStatus",
        )
        outputs_prefix = layout.ledger_prefix(execution_id, JOB_ID)
        keys = tuple(keys_below(s3, bucket, outputs_prefix))
        written = next((key for key in keys if key.endswith(REPORT)), None)
        report = parse_json(s3.get_object(Bucket=bucket, Key=written)["Body"].read()) if written else None
        return Inspected(
            name=name,
            description=description,
            prefix=data_prefix(execution_id),
            outputs_prefix=outputs_prefix,
            output_keys=keys,
            report=report,
        )
    finally:
        for key in keys_below(s3, bucket, layout.execution_prefix(execution_id)):
            s3.delete_object(Bucket=bucket, Key=key)


def job_request(stage: DeployedStage, execution_id: str, instance_type: str) -> dict[str, Any]:
    """Return the request of CreateProcessingJob, with what the workflow's permission to create jobs demands."""
    bucket = stage.deployment.results_bucket
    outputs = layout.s3_uri(bucket, layout.ledger_prefix(execution_id, JOB_ID))
    return {
        "ProcessingJobName": f"{stage.name}-{execution_id}",
        "RoleArn": stage.job_role_arn,
        "AppSpecification": {"ImageUri": stage.images[CORE], "ContainerArguments": [ARGUMENT]},
        "ProcessingInputs": [
            _input("spec", layout.s3_uri(bucket, layout.job_spec_key(execution_id, JOB_ID)), "S3Prefix"),
            _input(
                CHANNEL,
                layout.s3_uri(bucket, layout.data_manifest_key(execution_id, JOB_ID, 1)),
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
        "ProcessingResources": {"ClusterConfig": instance_fields(stage, instance_type)},
        "StoppingCondition": {"MaxRuntimeInSeconds": MAX_RUNTIME_SECONDS},
        "NetworkConfig": {"EnableNetworkIsolation": True, **vpc_fields(stage)},
        "Tags": [{"Key": "fleetscore:stage", "Value": stage.name}],
    }


def instance_fields(stage: DeployedStage, instance_type: str) -> dict[str, Any]:
    """Return one instance with the stage's volume, and its key where SageMaker accepts one."""
    fields = {
        "InstanceType": instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": int(stage.compute.volume_size_gb or 0),
    }
    return fields if has_local_storage(instance_type) else {**fields, "VolumeKmsKeyId": stage.key_arn}


def vpc_fields(stage: DeployedStage) -> dict[str, Any]:
    network = stage.network
    if network is None:
        return {}
    return {"VpcConfig": {"Subnets": list(network.subnet_ids), "SecurityGroupIds": list(network.security_group_ids)}}


def new_execution_id() -> str:
    """Return the id under which an inspection keeps its objects."""
    return f"doctor-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _cluster(request: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request["ProcessingResources"]["ClusterConfig"]
    return found


def input_objects(stage: DeployedStage, execution_id: str) -> dict[str, bytes]:
    """Return the objects that the job reads, by key."""
    prefix = data_prefix(execution_id)
    manifest = [{"prefix": layout.s3_uri(stage.deployment.results_bucket, prefix)}, NESTED_KEY, EMPTY_KEY]
    return {
        layout.job_spec_key(execution_id, JOB_ID): b"{}",
        layout.data_manifest_key(execution_id, JOB_ID, 1): json.dumps(manifest).encode(),
        f"{prefix}{NESTED_KEY}": b"[]",
        f"{prefix}{EMPTY_KEY}": b"",
    }


def data_prefix(execution_id: str) -> str:
    return f"{layout.job_prefix(execution_id, JOB_ID)}{CHANNEL}/"


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


def wait_for_end(describe: Callable[[], Mapping[str, Any]], stop: Callable[[], Any], status: str) -> Mapping[str, Any]:
    """Return the description of a job when it has ended; stop a job that takes too long.

    Args:
        status: name of the field with the job's status.
    """
    began, looks = time.monotonic(), 0
    while True:
        found = describe()
        if found[status] in ("Completed", "Failed", "Stopped"):
            return found
        if time.monotonic() - began > _LONGEST_WAIT_SECONDS:
            stop()
            return found
        time.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
        looks += 1


def keys_below(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", ()))
