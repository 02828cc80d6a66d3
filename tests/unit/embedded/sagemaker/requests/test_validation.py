"""Requests for processing jobs that the service refuses."""

from typing import Any

import pytest

from embedded.sagemaker.jobs.processing.request import COVERAGE, consistency_problems
from embedded.sagemaker.requests import validation

ROLE = "arn:aws:iam::123456789012:role/job"


def a_request(**changes: Any) -> dict[str, Any]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    return {
        "ProcessingJobName": "a-job",
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {"ImageUri": "image"},
        "RoleArn": ROLE,
        **changes,
    }


def an_input(name: str = "data", **changes: Any) -> dict[str, Any]:
    place = {"S3Uri": "s3://bucket/data/", "LocalPath": f"/opt/ml/processing/input/{name}", "S3DataType": "S3Prefix"}
    return {"InputName": name, "S3Input": {**place, **changes}}


def an_output(name: str = "result", **changes: Any) -> dict[str, Any]:
    place = {"S3Uri": "s3://bucket/", "LocalPath": f"/opt/ml/processing/output/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "S3Output": {**place, **changes}}


def problems(request: Any, operation: str = "CreateProcessingJob") -> list[str]:
    return validation.request_problems(operation, request)


def test_a_complete_request_has_no_problems() -> None:
    request = a_request(
        ProcessingInputs=[an_input()],
        ProcessingOutputConfig={"Outputs": [an_output()], "KmsKeyId": "alias/key"},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Environment={"A_1": "any\nthing"},
        Tags=[{"Key": "größe: 1/2", "Value": ""}],
        NetworkConfig={
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": False,
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        },
    )
    assert problems(request) == []
    assert COVERAGE.problems(request) == []
    assert consistency_problems(request) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"ProcessingJobName": "a_b"},
            "'a_b' at 'processingJobName' failed to satisfy constraint: Member must satisfy reg",
        ),
        (
            {"ProcessingJobName": "a-"},
            "at 'processingJobName' failed to satisfy constraint: Member must satisfy regular",
        ),
        ({"AppSpecification": {"ImageUri": "x" * 256}}, "Member must have length less than or equal to 255"),
        (
            {"ProcessingJobName": 7},
            "Value '7' at 'processingJobName' failed to satisfy constraint: Member must be a string",
        ),
        ({"RoleArn": None}, "Value 'null' at 'roleArn' failed to satisfy constraint: Member must not be null"),
        ({"RoleArn": "arn:aws:iam::1:role/short-account"}, "at 'roleArn'"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 777_601}}, "value less than or equal to 777600"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "value greater than or equal to 1"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "Member must be an integer"),
        ({"Environment": {"1A": "x"}}, "at 'environment.1A.key'"),
        (
            {"Environment": {"A": "x" * 257}},
            "at 'environment.A.value' failed to satisfy constraint: Member must have len",
        ),
        (
            {"Environment": {f"A{n}": "" for n in range(101)}},
            "at 'environment' failed to satisfy constraint: Member must",
        ),
        ({"Tags": [{"Key": "a\tb", "Value": ""}]}, "at 'tags.1.member.key'"),
        ({"NetworkConfig": {"EnableNetworkIsolation": "yes"}}, "Member must be a boolean"),
        ({"AppSpecification": {"ImageUri": "i", "ContainerEntrypoint": []}}, "length greater than or equal to 1"),
        ({"Surprise": 1}, "at 'surprise' failed to satisfy constraint: Member is not known"),
        (
            {"ProcessingInputs": [an_input(), an_input(S3DataType="Prefix")]},
            "3DataType' failed to satisfy constraint: Member must satisfy enum value set: [ManifestFile, S3Prefix]",
        ),
        ({"ProcessingInputs": [an_input(f"i{n}") for n in range(11)]}, "length less than or equal to 10"),
        ({"ProcessingInputs": {}}, "at 'processingInputs' failed to satisfy constraint: Member must be a JSON array"),
        ({"AppSpecification": []}, "at 'appSpecification' failed to satisfy constraint: Member must be a JSON object"),
    ],
)
def test_a_violated_constraint_is_reported_with_path_and_value(change: dict[str, Any], expected: str) -> None:
    found = problems(a_request(**change))
    assert len(found) == 1, found
    assert expected in found[0]


def test_all_problems_are_reported_at_once() -> None:
    found = problems({"ProcessingJobName": "-", "Environment": {"1": "x" * 300}})
    assert len(found) == 6
    assert sum("must not be null" in problem for problem in found) == 3


def test_a_timestamp_must_be_a_number() -> None:
    [found] = problems({"CreationTimeAfter": "yesterday"}, "ListProcessingJobs")
    assert found.startswith(
        "Value 'yesterday' at 'creationTimeAfter' failed to satisfy constraint: Member must be a ti"
    )


def test_every_member_of_the_model_is_either_supported_or_refused() -> None:
    shape = validation.service_model().operation_model("CreateProcessingJob").input_shape
    members = set(COVERAGE.members(shape))
    assert set(COVERAGE.supported) | set(COVERAGE.refused) == members
    assert not set(COVERAGE.supported) & set(COVERAGE.refused)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ExperimentConfig": {"RunName": "a"}}, "ExperimentConfig is not supported"),
        ({"ProcessingInputs": [an_input(S3InputMode="Pipe")]}, "ProcessingInputs[0].S3Input.S3InputMode 'Pipe'"),
        ({"ProcessingInputs": [an_input(S3CompressionType="Gzip")]}, "S3CompressionType 'Gzip' is not supported"),
        ({"ProcessingInputs": [{**an_input(), "AppManaged": True}]}, "ProcessingInputs[0].AppManaged True"),
        ({"ProcessingInputs": [{**an_input(), "DatasetDefinition": {}}]}, "ProcessingInputs[0].DatasetDefinition"),
        (
            {"ProcessingOutputConfig": {"Outputs": [{**an_output(), "FeatureStoreOutput": {"FeatureGroupName": "g"}}]}},
            "ProcessingOutputConfig.Outputs[0].FeatureStoreOutput is not supported by the embedded AWS",
        ),
    ],
)
def test_unsupported_members_are_refused_by_name(change: dict[str, Any], named: str) -> None:
    request = a_request(**change)
    assert problems(request) == []
    found = COVERAGE.problems(request)
    assert len(found) == 1, found
    assert named in found[0]
    assert "run on AWS" in found[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ProcessingInputs": [{"InputName": "data"}]}, "ProcessingInputs[0]: one of S3Input or DatasetDefinition"),
        ({"ProcessingInputs": [an_input(LocalPath="/data")]}, "LocalPath '/data' must be a folder below /opt/ml/proc"),
        ({"ProcessingInputs": [an_input(LocalPath="/opt/ml/processing/../x")]}, "must be a folder below"),
        ({"ProcessingInputs": [an_input(LocalPath="/opt/ml/processing/")]}, "must be a folder below"),
        ({"ProcessingInputs": [an_input(LocalPath=None)]}, "LocalPath is required"),
        ({"ProcessingInputs": [an_input(S3Uri="https://bucket/x")]}, "must be of the form s3://<bucket>/<prefix>"),
        (
            {
                "ProcessingInputs": [
                    an_input("a", LocalPath="/opt/ml/processing/x"),
                    an_input("b", LocalPath="/opt/ml/processing/x/"),
                ]
            },
            "is already used by ProcessingInputs[0].S3Input",
        ),
        ({"ProcessingOutputConfig": {"Outputs": [{"OutputName": "o"}]}}, "one of S3Output or FeatureStoreOutput"),
        ({"Tags": [{"Key": "a", "Value": ""}, {"Key": "a", "Value": ""}]}, "Tags: Key 'a' is given more than once"),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "'aws:x' begins with aws:"),
        (
            {"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1, "InstanceCount": 1}}},
            "InstanceType is required",
        ),
    ],
)
def test_inconsistent_members_are_reported(change: dict[str, Any], named: str) -> None:
    found = consistency_problems(a_request(**change))
    assert len(found) == 1, found
    assert named in found[0]


def test_names_of_inputs_and_outputs_must_be_unique() -> None:
    request = a_request(
        ProcessingInputs=[an_input(), an_input(LocalPath="/opt/ml/processing/else")],
        ProcessingOutputConfig={"Outputs": [an_output(), an_output(LocalPath="/opt/ml/processing/other")]},
    )
    assert consistency_problems(request) == [
        "ProcessingInputs: InputName 'data' is given more than once",
        "ProcessingOutputConfig.Outputs: OutputName 'result' is given more than once",
    ]
