"""Supported and refused members of CreateTrainingJob."""

from __future__ import annotations

import posixpath
from typing import Any

from embedded.sagemaker.jobs.job import DEFAULT_MAX_RUNTIME_SECONDS
from embedded.sagemaker.jobs.training.metrics import metric_problems
from embedded.sagemaker.requests.coverage import Coverage, duplicate_problems, s3_uri_problems, tag_problems

_SUPPORTED = {
    "TrainingJobName": "",
    "HyperParameters{}": "",
    "AlgorithmSpecification.TrainingImage": "",
    "AlgorithmSpecification.TrainingInputMode": "File",
    "AlgorithmSpecification.MetricDefinitions[].Name": "",
    "AlgorithmSpecification.MetricDefinitions[].Regex": "",
    "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries": "False",
    "AlgorithmSpecification.ContainerEntrypoint[]": "",
    "AlgorithmSpecification.ContainerArguments[]": "",
    "RoleArn": "",
    "InputDataConfig[].ChannelName": "",
    "InputDataConfig[].DataSource.S3DataSource.S3DataType": "S3Prefix|ManifestFile",
    "InputDataConfig[].DataSource.S3DataSource.S3Uri": "",
    "InputDataConfig[].DataSource.S3DataSource.S3DataDistributionType": "",
    "InputDataConfig[].ContentType": "",
    "InputDataConfig[].CompressionType": "None",
    "InputDataConfig[].RecordWrapperType": "None",
    "InputDataConfig[].InputMode": "File",
    "OutputDataConfig.KmsKeyId": "",
    "OutputDataConfig.S3OutputPath": "",
    "OutputDataConfig.CompressionType": "GZIP",
    "ResourceConfig.InstanceType": "",
    "ResourceConfig.InstanceCount": "",
    "ResourceConfig.VolumeSizeInGB": "",
    "ResourceConfig.VolumeKmsKeyId": "",
    "VpcConfig.SecurityGroupIds[]": "",
    "VpcConfig.Subnets[]": "",
    "StoppingCondition.MaxRuntimeInSeconds": "",
    "StoppingCondition.MaxWaitTimeInSeconds": "",
    "Tags[].Key": "",
    "Tags[].Value": "",
    "EnableNetworkIsolation": "",
    "EnableInterContainerTrafficEncryption": "",
    "EnableManagedSpotTraining": "",
    "CheckpointConfig.S3Uri": "",
    "CheckpointConfig.LocalPath": "",
    "ProfilerConfig.DisableProfiler": "True",
    "Environment{}": "",
    "RemoteDebugConfig.EnableRemoteDebug": "False",
    "InfraCheckConfig.EnableInfraCheck": "False",
    "SessionChainingConfig.EnableSessionTagChaining": "False",
}
"""Members that are accepted and shown by Describe, but have no effect, as for processing jobs:
InstanceType, VolumeSizeInGB, VolumeKmsKeyId (the key must exist), VpcConfig,
EnableInterContainerTrafficEncryption.
"""

_REFUSED = {
    "AlgorithmSpecification.AlgorithmName": "algorithm resources do not exist here",
    "AlgorithmSpecification.TrainingImageConfig": "images come from the embedded AWS",
    "InputDataConfig[].DataSource.S3DataSource.AttributeNames": "augmented manifests do not exist here",
    "InputDataConfig[].DataSource.S3DataSource.InstanceGroupNames": "there are no instance groups",
    "InputDataConfig[].DataSource.S3DataSource.ModelAccessConfig": "the model hub does not exist here",
    "InputDataConfig[].DataSource.S3DataSource.HubAccessConfig": "the model hub does not exist here",
    "InputDataConfig[].DataSource.FileSystemDataSource": "EFS and FSx do not exist here",
    "InputDataConfig[].DataSource.DatasetSource": "the model hub does not exist here",
    "InputDataConfig[].ShuffleConfig": "objects are always in the order of their keys",
    "ResourceConfig.KeepAlivePeriodInSeconds": "there are no warm pools",
    "ResourceConfig.InstanceGroups": "there are no instance groups",
    "ResourceConfig.TrainingPlanArn": "training plans do not exist here",
    "ResourceConfig.InstancePlacementConfig": "there are no instances to place",
    "ResourceConfig.InstancePreferences": "there are no instance types to choose from",
    "ResourceConfig.SelectedInstanceType": "only the service sets it",
    "ResourceConfig.SelectedInstanceCount": "only the service sets it",
    "StoppingCondition.MaxPendingTimeInSeconds": "no job waits for an instance type",
    "DebugHookConfig": "the debugger does not exist here",
    "DebugRuleConfigurations": "the debugger does not exist here",
    "TensorBoardOutputConfig": "TensorBoard's output is not uploaded",
    "ExperimentConfig": "experiments do not exist here",
    "ProfilerConfig.S3OutputPath": "the profiler does not exist here",
    "ProfilerConfig.ProfilingIntervalInMilliseconds": "the profiler does not exist here",
    "ProfilerConfig.ProfilingParameters": "the profiler does not exist here",
    "ProfilerRuleConfigurations": "the profiler does not exist here",
    "RetryStrategy": "the service's own errors, which it retries, do not happen",
    "ServerlessJobConfig": "there are no serverless jobs",
    "MlflowConfig": "MLflow does not exist here",
    "ModelPackageConfig": "the Model Registry does not exist here",
}

COVERAGE = Coverage(_SUPPORTED, _REFUSED)

_MAX_RUNTIME_SECONDS = 28 * 86_400
_ML_ROOT = "/opt/ml"
_RESERVED = ("/opt/ml/input", "/opt/ml/model", "/opt/ml/output", "/opt/ml/code")


def key_ids(request: dict[str, Any]) -> list[str | None]:
    """Return the KMS keys of a request."""
    return [request["ResourceConfig"].get("VolumeKmsKeyId"), request["OutputDataConfig"].get("KmsKeyId")]


def consistency_problems(request: dict[str, Any]) -> list[str]:
    """Return problems that the service's model does not cover, such as duplicates."""
    channels = request.get("InputDataConfig") or []
    algorithm = request.get("AlgorithmSpecification") or {}
    problems = [] if algorithm.get("TrainingImage") else ["AlgorithmSpecification.TrainingImage is required"]
    problems += metric_problems("AlgorithmSpecification.MetricDefinitions", algorithm.get("MetricDefinitions") or [])
    problems += _resource_problems(request.get("ResourceConfig") or {})
    for index, channel in enumerate(channels):
        at = f"InputDataConfig[{index}].DataSource"
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            problems.append(f"{at}: one of S3DataSource or FileSystemDataSource must be given")
        else:
            problems += s3_uri_problems(f"{at}.S3DataSource.S3Uri", source["S3Uri"])
        if channel["ChannelName"] in {".", ".."}:
            problems.append(
                f"InputDataConfig[{index}].ChannelName {channel['ChannelName']!r} is not the name of a folder"
            )
    problems += duplicate_problems("InputDataConfig", "ChannelName", [channel["ChannelName"] for channel in channels])
    problems += s3_uri_problems("OutputDataConfig.S3OutputPath", request["OutputDataConfig"]["S3OutputPath"])
    problems += _checkpoint_problems(request.get("CheckpointConfig"))
    problems += _time_problems(request)
    return problems + tag_problems("Tags", request.get("Tags") or [])


def _resource_problems(resources: dict[str, Any]) -> list[str]:
    problems = []
    if resources.get("InstanceType") is None:
        problems.append("ResourceConfig.InstanceType is required")
    for name in ("InstanceCount", "VolumeSizeInGB"):
        value = resources.get(name)
        if value is None:
            problems.append(f"ResourceConfig.{name} is required")
        elif value < 1:
            problems.append(f"ResourceConfig.{name} {value} must be at least 1")
    return problems


def _checkpoint_problems(config: dict[str, Any] | None) -> list[str]:
    if config is None:
        return []
    problems = s3_uri_problems("CheckpointConfig.S3Uri", config["S3Uri"])
    path = config.get("LocalPath")
    if path:
        normal = posixpath.normpath(path)
        if not normal.startswith(f"{_ML_ROOT}/"):
            problems.append(
                f"CheckpointConfig.LocalPath {path!r} is not supported by the embedded AWS: use a folder below "
                f"{_ML_ROOT} or run on AWS"
            )
        elif any(f"{normal}/".startswith(f"{reserved}/") for reserved in _RESERVED):
            problems.append(f"CheckpointConfig.LocalPath {path!r} must not be in {', '.join(_RESERVED)}")
    return problems


def _time_problems(request: dict[str, Any]) -> list[str]:
    condition = request.get("StoppingCondition") or {}
    runtime = condition.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS)
    wait = condition.get("MaxWaitTimeInSeconds")
    problems = []
    if runtime > _MAX_RUNTIME_SECONDS:
        problems.append(
            f"StoppingCondition.MaxRuntimeInSeconds {runtime} must be at most {_MAX_RUNTIME_SECONDS} (28 days)"
        )
    if request.get("EnableManagedSpotTraining"):
        if wait is None or wait < runtime:
            problems.append(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds: "
                f"StoppingCondition.MaxWaitTimeInSeconds is {wait}, MaxRuntimeInSeconds {runtime}"
            )
    elif wait is not None:
        problems.append(
            f"Invalid MaxWaitTimeInSeconds. StoppingCondition.MaxWaitTimeInSeconds is {wait}, but it must not be given "
            "without EnableManagedSpotTraining"
        )
    return problems
