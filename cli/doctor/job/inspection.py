"""The common part of both inspection jobs: inputs, instance, waiting, and cleanup.

The inputs and outputs lie below `executions/doctor-<time>-<id>/` in the results bucket, where the
roles of jobs may read manifests and write outputs. They are deleted at the end.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from cli.doctor.stage import DeployedStage
from contract import layout
from contract.catalog.instance_types import has_local_storage

NESTED_KEY = "part=1/nested.manifest"
EMPTY_KEY = "empty.manifest"
"""Keys in the job's manifest, relative to its prefix: one in a folder, one of 0 bytes."""
CHANNEL = "data"
ONE_OBJECT_CHANNELS = {"spec": "job.json", "snapshot": layout.SNAPSHOT_NAME}
"""Channels of scoring jobs that name one object, with the name of its file."""
DATASET = "doctor"
REPORT = "report.json"
JOB_ID = "inspection"
ARGUMENT = "inspect"
MAX_RUNTIME_SECONDS = 600
_LONGEST_WAIT_SECONDS = 1_800.0
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between two status checks; the last value repeats."""

ReadReport = Callable[[Any, str, Sequence[str]], Mapping[str, Any] | None]
"""Reads the report, given S3 client, bucket and output keys; None without a report."""


@dataclass(frozen=True)
class Inspected:
    """A job that has ended."""

    name: str
    description: Mapping[str, Any]
    """The answer of DescribeProcessingJob or DescribeTrainingJob."""
    prefix: str
    """Prefix of the manifest's objects, as a key."""
    outputs_prefix: str
    output_keys: tuple[str, ...]
    """Keys below that prefix."""
    checksum: str
    """Kind of the first output's checksum, such as "CRC64NVME, FULL_OBJECT"; else empty."""
    report: Mapping[str, Any] | None
    """The container's report; None when the job wrote nothing."""


def run_job(
    stage: DeployedStage,
    execution_id: str,
    kind: Literal["Processing", "Training"],
    request: Mapping[str, Any],
    *,
    instance_type: str,
    outputs_prefix: str,
    read_report: ReadReport,
    notice: Callable[[str], None],
) -> Inspected:
    """Run a job, read what it wrote, and delete everything that it read and wrote.

    Raises:
        ClientError: when the job or its inputs cannot be created.
    """
    name = request[f"{kind}JobName"]
    s3, bucket, sagemaker = stage.client("s3"), stage.deployment.results_bucket, stage.client("sagemaker")
    verbs = ("create", "describe", "stop")
    create, describe, stop = (getattr(sagemaker, f"{verb}_{kind.lower()}_job") for verb in verbs)
    named = {f"{kind}JobName": name}
    try:
        for key, body in input_objects(stage, execution_id).items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        create(**request)
        notice(f"The job {name} runs on one {instance_type}. It takes a few minutes.")
        description = _wait_for_end(partial(describe, **named), partial(stop, **named), f"{kind}JobStatus")
        keys = tuple(_keys_below(s3, bucket, outputs_prefix))
        return Inspected(
            name=name,
            description=description,
            prefix=data_prefix(execution_id),
            outputs_prefix=outputs_prefix,
            output_keys=keys,
            checksum=_checksum_kind(s3, bucket, keys),
            report=read_report(s3, bucket, keys),
        )
    finally:
        for key in _keys_below(s3, bucket, layout.execution_prefix(execution_id)):
            s3.delete_object(Bucket=bucket, Key=key)


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
    """Return a unique id under which an inspection keeps its objects."""
    return f"doctor-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def input_objects(stage: DeployedStage, execution_id: str) -> dict[str, bytes]:
    """Return the objects that the job reads, by key."""
    prefix = data_prefix(execution_id)
    manifest = [{"prefix": layout.s3_uri(stage.deployment.results_bucket, prefix)}, NESTED_KEY, EMPTY_KEY]
    return {
        layout.job_spec_key(execution_id, JOB_ID): b"{}",
        layout.snapshot_key(execution_id, DATASET): b"",
        layout.data_manifest_key(execution_id, JOB_ID, 1): json.dumps(manifest).encode(),
        f"{prefix}{NESTED_KEY}": b"[]",
        f"{prefix}{EMPTY_KEY}": b"",
    }


def data_prefix(execution_id: str) -> str:
    return f"{layout.job_prefix(execution_id, JOB_ID)}{CHANNEL}/"


def _wait_for_end(describe: Callable[[], Mapping[str, Any]], stop: Callable[[], Any], status: str) -> Mapping[str, Any]:
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


def _checksum_kind(s3: Any, bucket: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    head = s3.head_object(Bucket=bucket, Key=keys[0], ChecksumMode="ENABLED")
    found = [name.removeprefix("Checksum") for name in sorted(head) if name.startswith("Checksum")]
    return ", ".join([*[name for name in found if name != "Type"], *filter(None, [head.get("ChecksumType")])])


def _keys_below(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", ()))
