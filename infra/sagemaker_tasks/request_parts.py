"""The parts that requests for processing and training jobs share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.sagemaker_tasks.checks import Checks, is_literal, is_path

S3_URI = re.compile(r"(https|s3)://([^/]+)/?(.*)")
KMS_KEY = re.compile(r"[a-zA-Z0-9:/_-]*")

_JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_JOB_NAME_PREFIX = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,60}[a-zA-Z0-9])?")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_VARIABLE_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_VPC_ID = re.compile(r"[-0-9a-zA-Z]{1,32}")
_TAG_CHARACTERS = re.compile(r"[\w\s.:/=+\-@]*")


class Distribution(StrEnum):
    """Distribution of objects: all objects to each instance, or each object to one instance."""

    FULLY_REPLICATED = "FullyReplicated"
    SHARDED_BY_S3_KEY = "ShardedByS3Key"


class DataType(StrEnum):
    """Target of an input's URI: a key prefix, or a manifest that lists the objects."""

    S3_PREFIX = "S3Prefix"
    MANIFEST_FILE = "ManifestFile"


@dataclass(frozen=True, kw_only=True)
class JobNetwork:
    """The network of a job. Subnets and security groups must be given together.

    With `isolation` the container reaches no network at all, not even S3.
    """

    isolation: bool = False
    encrypt_traffic_between_instances: bool = False
    subnet_ids: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()


def check_job_name(checks: Checks, job_name: str, job_name_prefix: str) -> None:
    checks.text("job_name", job_name, _JOB_NAME, 63)
    checks.text("job_name_prefix", job_name_prefix, _JOB_NAME_PREFIX, 62)
    if is_literal(job_name) and not job_name.startswith(f"{job_name_prefix}-"):
        checks.add("job_name", job_name, f"a name that begins with job_name_prefix and a hyphen, {job_name_prefix}-")


def command(checks: Checks, entrypoint: Sequence[str], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the fields that replace the image's ENTRYPOINT and CMD."""
    found: dict[str, Any] = {}
    words = (("entrypoint", "ContainerEntrypoint", entrypoint), ("arguments", "ContainerArguments", arguments))
    for name, field, values in words:
        checks.count(name, values, 100)
        for index, value in enumerate(values):
            checks.text(f"{name}[{index}]", value, None, 256)
            if is_path(value):
                checks.add(
                    f"{name}[{index}]", value, "a literal: an item of a list cannot be JSONPath, use environment"
                )
        if values:
            found[field] = list(values)
    return found


def instances(
    checks: Checks,
    instance_type: str | None,
    instance_count: int | str | None,
    volume_size_gb: int | str | None,
    *,
    key: str | None,
    path: str | None,
) -> dict[str, Any] | str:
    """Return the fields that describe the instances, or the JSONPath of all of them."""
    given = [instance_type, instance_count, volume_size_gb]
    if path is not None:
        if not is_path(path):
            checks.add("instances_path", path, "the JSONPath of an object with InstanceType and VolumeSizeInGB")
        if any(value is not None for value in (*given, key)):
            checks.add("instances_path", path, "None, or none of the fields that the path holds")
        return path
    if instance_type is None or instance_count is None or volume_size_gb is None:
        checks.add("instance_type, instance_count, volume_size_gb", given, "values, or instances_path")
        return {}
    checks.text("instance_type", instance_type, _INSTANCE_TYPE, 64)
    checks.number("instance_count", instance_count, 1, 100)
    checks.number("volume_size_gb", volume_size_gb, 1, 16_384)
    found: dict[str, Any] = {
        "InstanceType": instance_type,
        "InstanceCount": instance_count,
        "VolumeSizeInGB": volume_size_gb,
    }
    if key is not None:
        checks.text("volume_kms_key_id", key, KMS_KEY, 2_048)
        found["VolumeKmsKeyId"] = key
    return found


def variables(checks: Checks, environment: Mapping[str, str], maximum: int) -> dict[str, str]:
    checks.count("environment", list(environment), 100)
    for name, value in environment.items():
        checks.text("environment", name, _VARIABLE_NAME, maximum)
        checks.text(f"environment[{name}]", value, None, maximum)
    return dict(environment)


def network_fields(checks: Checks, network: JobNetwork) -> dict[str, Any]:
    """Return isolation, encryption and VpcConfig.

    A processing job has them in NetworkConfig, a training job at the top level of its request.
    """
    subnets, groups = list(network.subnet_ids), list(network.security_group_ids)
    if bool(subnets) != bool(groups):
        checks.add("network", {"subnet_ids": subnets, "security_group_ids": groups}, "both lists filled, or both empty")
    checks.count("network.subnet_ids", subnets, 16)
    checks.count("network.security_group_ids", groups, 5)
    for name, values in (("subnet_ids", subnets), ("security_group_ids", groups)):
        for index, value in enumerate(values):
            checks.text(f"network.{name}[{index}]", value, _VPC_ID, 32)
    found: dict[str, Any] = {
        "EnableNetworkIsolation": network.isolation,
        "EnableInterContainerTrafficEncryption": network.encrypt_traffic_between_instances,
    }
    if subnets and groups:
        found["VpcConfig"] = {"SecurityGroupIds": groups, "Subnets": subnets}
    return found


def tag_list(checks: Checks, tags: Mapping[str, str]) -> list[dict[str, str]]:
    # Step Functions adds one tag to a job that it waits for, which leaves 49 of SageMaker's 50.
    checks.count("tags", list(tags), 49)
    for name, value in tags.items():
        checks.text("tags", name, _TAG_CHARACTERS, 128, minimum=1)
        checks.text(f"tags[{name}]", value, _TAG_CHARACTERS, 256)
    return [{"Key": name, "Value": value} for name, value in tags.items()]
