"""Requests for training jobs that the service refuses."""

from typing import Any

import pytest

from embedded.sagemaker.jobs.training.request import COVERAGE, consistency_problems
from embedded.sagemaker.requests import validation

SPOT = {"EnableManagedSpotTraining": True}


def a_request(**changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "a-job",
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/job",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        **changes,
    }


def a_channel(name: str = "train", **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/", **changes}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def algorithm(**changes: Any) -> dict[str, Any]:
    return {"AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File", **changes}}


def resources(**changes: Any) -> dict[str, Any]:
    return {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, **changes}}


def problems(request: Any) -> list[str]:
    return validation.request_problems("CreateTrainingJob", request)


def test_a_complete_request_has_no_problems() -> None:
    request = a_request(
        HyperParameters={"eta": "0.1"},
        InputDataConfig=[
            {**a_channel(), "ContentType": "a/b", "CompressionType": "None", "InputMode": "File"},
            a_channel("spec", S3DataType="ManifestFile", S3DataDistributionType="ShardedByS3Key"),
        ],
        OutputDataConfig={"S3OutputPath": "s3://bucket", "KmsKeyId": "alias/key", "CompressionType": "GZIP"},
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
        CheckpointConfig={"S3Uri": "s3://bucket/checkpoints", "LocalPath": "/opt/ml/checkpoints"},
        ProfilerConfig={"DisableProfiler": True},
        Environment={"A_1": "any\nthing"},
        Tags=[{"Key": "größe: 1/2", "Value": ""}],
        EnableNetworkIsolation=True,
        EnableInterContainerTrafficEncryption=True,
        VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        **SPOT,
    )
    assert problems(request) == []
    assert COVERAGE.problems(request) == []
    assert consistency_problems(request) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"TrainingJobName": "a_b"},
            "'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy reg",
        ),
        ({"OutputDataConfig": None}, "Value 'null' at 'outputDataConfig' failed to satisfy constraint"),
        (
            {"HyperParameters": {"a": 1}},
            "at 'hyperParameters.a.value' failed to satisfy constraint: Member must be a str",
        ),
        ({"HyperParameters": {"a": "x" * 2501}}, "Member must have length less than or equal to 2500"),
        ({"InputDataConfig": []}, "at 'inputDataConfig' failed to satisfy constraint: Member must have length greater"),
        ({"InputDataConfig": [a_channel("a b")]}, "at 'inputDataConfig.1.member.channelName' failed to satisfy constr"),
        (resources(InstanceType="ml.huge"), "at 'resourceConfig.instanceType' failed to satisfy constraint: Member mu"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "value greater than or equal to 1"),
        (algorithm(TrainingInputMode="Files"), "Member must satisfy enum value set: [Pipe, File, FastFile]"),
        ({"Surprise": 1}, "at 'surprise' failed to satisfy constraint: Member is not known"),
    ],
)
def test_a_violated_constraint_is_reported_with_path_and_value(change: dict[str, Any], expected: str) -> None:
    found = problems(a_request(**change))
    assert len(found) == 1, found
    assert expected in found[0]


def test_every_member_of_the_model_is_either_supported_or_refused() -> None:
    shape = validation.service_model().operation_model("CreateTrainingJob").input_shape
    assert set(COVERAGE.supported) | set(COVERAGE.refused) == set(COVERAGE.members(shape))
    assert not set(COVERAGE.supported) & set(COVERAGE.refused)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (algorithm(TrainingInputMode="Pipe"), "AlgorithmSpecification.TrainingInputMode 'Pipe' is not supported"),
        (
            {"InputDataConfig": [a_channel(S3DataType="Converse")]},
            "'Converse' is not supported by the embedded AWS: use",
        ),
        (
            {"InputDataConfig": [{**a_channel(), "CompressionType": "Gzip"}]},
            "InputDataConfig[0].CompressionType 'Gzip'",
        ),
        ({"InputDataConfig": [{**a_channel(), "InputMode": "FastFile"}]}, "InputDataConfig[0].InputMode 'FastFile'"),
        ({"InputDataConfig": [{**a_channel(), "ShuffleConfig": {"Seed": 1}}]}, "InputDataConfig[0].ShuffleConfig"),
        ({"OutputDataConfig": {"S3OutputPath": "s3://b", "CompressionType": "NONE"}}, "CompressionType 'NONE'"),
        (resources(KeepAlivePeriodInSeconds=60), "ResourceConfig.KeepAlivePeriodInSeconds is not supported"),
        ({"RetryStrategy": {"MaximumRetryAttempts": 3}}, "RetryStrategy is not supported by the embedded AWS"),
        ({"ProfilerConfig": {"S3OutputPath": "s3://b"}}, "ProfilerConfig.S3OutputPath is not supported"),
        ({"DebugHookConfig": {"S3OutputPath": "s3://b"}}, "DebugHookConfig is not supported"),
        ({"ModelPackageConfig": {"ModelPackageGroupArn": "x"}}, "ModelPackageConfig is not supported"),
    ],
)
def test_unsupported_members_are_refused_by_name(change: dict[str, Any], named: str) -> None:
    found = COVERAGE.problems(a_request(**change))
    assert len(found) == 1, found
    assert named in found[0]
    assert "run on AWS" in found[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "AlgorithmSpecification.TrainingImage is required"),
        (
            algorithm(MetricDefinitions=[{"Name": "a", "Regex": "("}]),
            "MetricDefinitions[0].Regex '(' is not a regular expr",
        ),
        (algorithm(MetricDefinitions=[{"Name": "a", "Regex": "a=1"}]), "Regex 'a=1' must have a group"),
        (resources(InstanceCount=0), "ResourceConfig.InstanceCount 0 must be at least 1"),
        (resources(InstanceType=None), "ResourceConfig.InstanceType is required"),
        (
            {"InputDataConfig": [a_channel(), a_channel()]},
            "InputDataConfig: ChannelName 'train' is given more than once",
        ),
        ({"InputDataConfig": [a_channel("..")]}, "InputDataConfig[0].ChannelName '..' is not the name of a folder"),
        ({"InputDataConfig": [a_channel(S3Uri="https://b/x")]}, "must be of the form s3://<bucket>/<prefix>"),
        ({"InputDataConfig": [{"ChannelName": "a", "DataSource": {}}]}, "one of S3DataSource or FileSystemDataSource"),
        ({"OutputDataConfig": {"S3OutputPath": "https://b"}}, "OutputDataConfig.S3OutputPath 'https://b' must be of"),
        ({"CheckpointConfig": {"S3Uri": "https://b"}}, "CheckpointConfig.S3Uri 'https://b' must be of the form"),
        ({"CheckpointConfig": {"S3Uri": "s3://b", "LocalPath": "/tmp/x"}}, "LocalPath '/tmp/x' is not supported"),
        ({"CheckpointConfig": {"S3Uri": "s3://b", "LocalPath": "/opt/ml/model/x"}}, "must not be in /opt/ml/input, "),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 2_419_201}}, "must be at most 2419200 (28 days)"),
        (
            {"StoppingCondition": {"MaxWaitTimeInSeconds": 90_000}},
            "must not be given without EnableManagedSpotTraining",
        ),
        (SPOT, "must be present and be greater than or equal to MaxRuntimeInSeconds: StoppingCondition.MaxWaitTimeIn"),
        (
            {**SPOT, "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}},
            "MaxWaitTimeInSeconds is 59, MaxRuntimeInSeconds 60",
        ),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "'aws:x' begins with aws:"),
    ],
)
def test_inconsistent_members_are_reported(change: dict[str, Any], named: str) -> None:
    found = consistency_problems(a_request(**change))
    assert len(found) == 1, found
    assert named in found[0]
