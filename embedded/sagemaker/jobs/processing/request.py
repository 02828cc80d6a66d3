"""Supported and refused members of CreateProcessingJob."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from embedded.sagemaker.requests.coverage import Coverage, duplicate_problems, s3_uri_problems, tag_problems

_SUPPORTED = {
    "ProcessingJobName": "",
    "ProcessingInputs[].InputName": "",
    "ProcessingInputs[].S3Input.S3Uri": "",
    "ProcessingInputs[].S3Input.LocalPath": "",
    "ProcessingInputs[].S3Input.S3DataType": "",
    "ProcessingInputs[].S3Input.S3InputMode": "File",
    "ProcessingInputs[].S3Input.S3DataDistributionType": "",
    "ProcessingInputs[].S3Input.S3CompressionType": "None",
    "ProcessingInputs[].AppManaged": "False",
    "ProcessingOutputConfig.Outputs[].OutputName": "",
    "ProcessingOutputConfig.Outputs[].S3Output.S3Uri": "",
    "ProcessingOutputConfig.Outputs[].S3Output.LocalPath": "",
    "ProcessingOutputConfig.Outputs[].S3Output.S3UploadMode": "",
    "ProcessingOutputConfig.Outputs[].AppManaged": "False",
    "ProcessingOutputConfig.KmsKeyId": "",
    "ProcessingResources.ClusterConfig.InstanceCount": "",
    "ProcessingResources.ClusterConfig.InstanceType": "",
    "ProcessingResources.ClusterConfig.VolumeSizeInGB": "",
    "ProcessingResources.ClusterConfig.VolumeKmsKeyId": "",
    "StoppingCondition.MaxRuntimeInSeconds": "",
    "AppSpecification.ImageUri": "",
    "AppSpecification.ContainerEntrypoint[]": "",
    "AppSpecification.ContainerArguments[]": "",
    "Environment{}": "",
    "NetworkConfig.EnableInterContainerTrafficEncryption": "",
    "NetworkConfig.EnableNetworkIsolation": "",
    "NetworkConfig.VpcConfig.SecurityGroupIds[]": "",
    "NetworkConfig.VpcConfig.Subnets[]": "",
    "RoleArn": "",
    "Tags[].Key": "",
    "Tags[].Value": "",
}
"""Members that are accepted and shown by Describe, but have no effect on one machine with one
network and one disk: InstanceType, VolumeSizeInGB, VolumeKmsKeyId (the key must exist), VpcConfig,
EnableInterContainerTrafficEncryption.
"""

_REFUSED = {
    "ProcessingInputs[].DatasetDefinition": "Athena and Redshift do not exist here",
    "ProcessingOutputConfig.Outputs[].FeatureStoreOutput": "the Feature Store does not exist here",
    "ProcessingResources.ClusterConfig.InstancePreferences": "there are no instance types to choose from",
    "ProcessingResources.ClusterConfig.SelectedInstanceType": "only the service sets it",
    "ProcessingResources.ClusterConfig.SelectedInstanceCount": "only the service sets it",
    "ExperimentConfig": "experiments do not exist here",
}

COVERAGE = Coverage(_SUPPORTED, _REFUSED)

_LOCAL_ROOT = "/opt/ml/processing/"


def key_ids(request: dict[str, Any]) -> list[str | None]:
    """Return the KMS keys of a request."""
    output = request.get("ProcessingOutputConfig") or {}
    return [request["ProcessingResources"]["ClusterConfig"].get("VolumeKmsKeyId"), output.get("KmsKeyId")]


def consistency_problems(request: dict[str, Any]) -> list[str]:
    """Return problems that the service's model does not cover, such as duplicates."""
    inputs = request.get("ProcessingInputs") or []
    outputs = (request.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    cluster = request["ProcessingResources"]["ClusterConfig"]
    problems = [
        f"ProcessingResources.ClusterConfig.{name} is required without InstancePreferences"
        for name in ("InstanceType", "InstanceCount")
        if cluster.get(name) is None
    ]
    places: dict[str, str] = {}
    for index, item in enumerate(inputs):
        at = f"ProcessingInputs[{index}]"
        if item.get("S3Input") is None:
            problems.append(f"{at}: one of S3Input or DatasetDefinition must be given")
            continue
        problems += _local_path_problems(f"{at}.S3Input", item["S3Input"], places)
    for index, item in enumerate(outputs):
        at = f"ProcessingOutputConfig.Outputs[{index}]"
        if item.get("S3Output") is None:
            problems.append(f"{at}: one of S3Output or FeatureStoreOutput must be given")
            continue
        problems += _local_path_problems(f"{at}.S3Output", item["S3Output"], places)
    problems += duplicate_problems("ProcessingInputs", "InputName", [i["InputName"] for i in inputs])
    problems += duplicate_problems("ProcessingOutputConfig.Outputs", "OutputName", [o["OutputName"] for o in outputs])
    tags = request.get("Tags") or []
    problems += tag_problems("Tags", tags)
    return problems


def _local_path_problems(at: str, item: dict[str, Any], places: dict[str, str]) -> Iterator[str]:
    yield from s3_uri_problems(f"{at}.S3Uri", item["S3Uri"])
    path = item.get("LocalPath")
    if path is None:
        yield f"{at}.LocalPath is required when AppManaged is false"
        return
    normal = posixpath.normpath(path)
    if not path.startswith(_LOCAL_ROOT) or not f"{normal}/".startswith(_LOCAL_ROOT) or normal + "/" == _LOCAL_ROOT:
        yield f"{at}.LocalPath {path!r} must be a folder below {_LOCAL_ROOT}"
    elif normal in places:
        yield f"{at}.LocalPath {path!r} is already used by {places[normal]}: give each its own folder"
    else:
        places[normal] = at
