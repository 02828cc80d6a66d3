"""Which parts of a processing job's request the embedded AWS carries out, and which it refuses.

Every member of the service's model stands in one of the two tables, so that none is silently without effect; a test
holds the tables against botocore's model, and a new member there fails it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

SUPPORTED = {
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
"""Member to the only value that is carried out, or to nothing where every value is.

Accepted and described without any effect, because a laptop has one machine, one network and one disk: InstanceType,
VolumeSizeInGB, VolumeKmsKeyId (the key is looked up), VpcConfig, EnableInterContainerTrafficEncryption.
"""

REFUSED = {
    "ProcessingInputs[].DatasetDefinition": "Athena and Redshift are not there",
    "ProcessingOutputConfig.Outputs[].FeatureStoreOutput": "the Feature Store is not there",
    "ProcessingResources.ClusterConfig.InstancePreferences": "there are no instance types to choose among",
    "ProcessingResources.ClusterConfig.SelectedInstanceType": "only the service sets it",
    "ProcessingResources.ClusterConfig.SelectedInstanceCount": "only the service sets it",
    "ExperimentConfig": "experiments are not there",
}

_LOCAL_ROOT = "/opt/ml/processing/"


def model_members(shape: Any, path: str = "") -> Iterator[str]:
    """The paths of all leaves of a shape, in the notation of the tables; refused branches count as one leaf."""
    if path in REFUSED:
        yield path
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from model_members(member, f"{path}.{name}" if path else name)
    elif shape.type_name == "list":
        yield from model_members(shape.member, f"{path}[]")
    elif shape.type_name == "map":
        yield f"{path}{{}}"
    else:
        yield path


def unsupported_problems(request: dict[str, Any]) -> list[str]:
    """The members of a valid request that would change the result on AWS and cannot do so here."""
    return list(_unsupported(request, "", ""))


def _unsupported(value: Any, member: str, shown: str) -> Iterator[str]:
    if value is None:
        return
    if member in REFUSED:
        yield f"{shown} is not supported by the embedded AWS ({REFUSED[member]}): remove it or run on AWS"
    elif isinstance(value, dict) and f"{member}{{}}" not in SUPPORTED:
        for name, item in value.items():
            step = f".{name}" if member else name
            yield from _unsupported(item, member + step, shown + step)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unsupported(item, f"{member}[]", f"{shown}[{index}]")
    elif (only := SUPPORTED.get(member)) and str(value) != only:
        yield f"{shown} {value!r} is not supported by the embedded AWS: use {only!r} or run on AWS"


def consistency_problems(request: dict[str, Any]) -> list[str]:
    """What the shapes cannot say: members that need or exclude each other, places, uniqueness."""
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
        problems += _place_problems(f"{at}.S3Input", item["S3Input"], places)
    for index, item in enumerate(outputs):
        at = f"ProcessingOutputConfig.Outputs[{index}]"
        if item.get("S3Output") is None:
            problems.append(f"{at}: one of S3Output or FeatureStoreOutput must be given")
            continue
        problems += _place_problems(f"{at}.S3Output", item["S3Output"], places)
    problems += _repeated("ProcessingInputs", "InputName", [i["InputName"] for i in inputs])
    problems += _repeated("ProcessingOutputConfig.Outputs", "OutputName", [o["OutputName"] for o in outputs])
    tags = request.get("Tags") or []
    problems += tag_problems("Tags", tags)
    return problems


def _place_problems(at: str, item: dict[str, Any], places: dict[str, str]) -> Iterator[str]:
    uri = item["S3Uri"]
    if not re.fullmatch(r"s3://[^/]+(/.*)?", uri):
        yield f"{at}.S3Uri {uri!r} must be of the form s3://<bucket>/<prefix>"
    path = item.get("LocalPath")
    if path is None:
        yield f"{at}.LocalPath is required when AppManaged is false"
        return
    normal = posixpath.normpath(path)
    if not path.startswith(_LOCAL_ROOT) or not f"{normal}/".startswith(_LOCAL_ROOT) or normal + "/" == _LOCAL_ROOT:
        yield f"{at}.LocalPath {path!r} must be a folder below {_LOCAL_ROOT}"
    elif normal in places:
        yield f"{at}.LocalPath {path!r} is also that of {places[normal]}: give each its own"
    else:
        places[normal] = at


def _repeated(at: str, member: str, values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    return [f"{at}: {member} {value!r} is given more than once" for value in twice]


def tag_problems(at: str, tags: list[dict[str, str]]) -> list[str]:
    problems = _repeated(at, "Key", [tag["Key"] for tag in tags])
    reserved = [tag["Key"] for tag in tags if tag["Key"].lower().startswith("aws:")]
    return problems + [f"{at}: Key {key!r} begins with aws:, which only AWS itself may use" for key in reserved]
