"""The IAM condition keys of a request that creates a job.

They are those that the Service Authorization Reference lists for CreateProcessingJob and
CreateTrainingJob, besides tags and file systems.
"""

from collections.abc import Mapping
from typing import Any

CREATIONS = ("CreateProcessingJob", "CreateTrainingJob")


def condition_keys(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys with their values. A key whose field is absent is left out."""
    network = _part(request, "NetworkConfig") or request
    instances = _part(_part(request, "ProcessingResources"), "ClusterConfig") or _part(request, "ResourceConfig")
    groups = [group for group in instances.get("InstanceGroups") or [] if isinstance(group, Mapping)]
    output = _part(request, "ProcessingOutputConfig") or _part(request, "OutputDataConfig")
    vpc = _part(network, "VpcConfig")
    found = {
        "sagemaker:InstanceTypes": [
            str(item["InstanceType"]) for item in (instances, *groups) if item.get("InstanceType")
        ],
        "sagemaker:NetworkIsolation": _flag(network.get("EnableNetworkIsolation")),
        "sagemaker:InterContainerTrafficEncryption": _flag(network.get("EnableInterContainerTrafficEncryption")),
        "sagemaker:OutputKmsKey": output.get("KmsKeyId"),
        "sagemaker:VolumeKmsKey": instances.get("VolumeKmsKeyId"),
        "sagemaker:VpcSubnets": vpc.get("Subnets"),
        "sagemaker:VpcSecurityGroupIds": vpc.get("SecurityGroupIds"),
        "sagemaker:MaxRuntimeInSeconds": _part(request, "StoppingCondition").get("MaxRuntimeInSeconds"),
    }
    return {key: value for key, value in found.items() if value not in (None, "", [])}


def _part(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = request.get(name)
    return found if isinstance(found, Mapping) else {}


def _flag(value: Any) -> str:
    return "true" if value is True else "false"
