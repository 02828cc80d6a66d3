"""The API through boto3. The client's requests go to the service without a socket."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.sagemaker.service import SageMakerService, resource_arn
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws, client_of, code, job_request
from tests.unit.embedded.sagemaker.conftest import ServiceMaker

BuildImage = Callable[..., str]


@pytest.fixture
def sagemaker(service: SageMakerService, aws: Aws) -> Any:
    return client_of(service, aws)


def test_a_job_is_created_described_and_listed(
    sagemaker: Any, service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    request = job_request(aws, build_image('(ML / "output/message").write_text("done")'))
    arn = sagemaker.create_processing_job(**request)["ProcessingJobArn"]
    name = request["ProcessingJobName"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{name}"
    assert service.job(name).wait(DEADLINE_SECONDS)
    described = sagemaker.describe_processing_job(ProcessingJobName=name)
    assert described["ProcessingJobStatus"] == "Completed"
    assert described["ExitMessage"] == "done"
    assert described["StoppingCondition"] == {"MaxRuntimeInSeconds": 86_400}
    assert isinstance(described["CreationTime"], dt.datetime)
    assert described["CreationTime"] <= described["ProcessingStartTime"] <= described["ProcessingEndTime"]
    [summary] = sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    assert (summary["ProcessingJobArn"], summary["ExitMessage"]) == (arn, "done")
    assert "ProcessingStartTime" not in summary


def test_a_job_name_cannot_be_reused(sagemaker: Any, service: SageMakerService, aws: Aws) -> None:
    request = job_request(aws, "none")
    sagemaker.create_processing_job(**request)
    assert service.job(request["ProcessingJobName"]).wait(DEADLINE_SECONDS)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="Job name must be unique within an AWS account"):
        sagemaker.create_processing_job(**request)


def test_an_unknown_job_is_not_found(sagemaker: Any) -> None:
    for operation in (sagemaker.describe_processing_job, sagemaker.stop_processing_job):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="Could not find requested job with name: nope"):
            operation(ProcessingJobName="nope")


def test_one_validation_exception_reports_all_problems(sagemaker: Any, aws: Aws) -> None:
    with pytest.raises(ClientError, match="2 validation errors detected") as error:
        sagemaker.create_processing_job(**job_request(aws, "none", ProcessingJobName="a_b", Environment={"1": "x"}))
    assert code(error) == "ValidationException"


def test_unsupported_members_and_operations_are_refused(sagemaker: Any, aws: Aws) -> None:
    with pytest.raises(ClientError, match="ExperimentConfig is not supported by the embedded AWS"):
        sagemaker.create_processing_job(**job_request(aws, "none", ExperimentConfig={"RunName": "a"}))
    with pytest.raises(ClientError, match="'ListModels' is not supported by the embedded AWS") as error:
        sagemaker.list_models()
    assert code(error) == "UnknownOperationException"


def test_a_role_must_trust_the_service(make_service: ServiceMaker, aws: Aws) -> None:
    sagemaker = client_of(make_service(may_assume=lambda role_arn: False), aws)
    with pytest.raises(ClientError, match="Could not assume role") as error:
        sagemaker.create_processing_job(**job_request(aws, "none"))
    assert code(error) == "ValidationException"


def test_a_missing_key_is_refused(sagemaker: Any, aws: Aws) -> None:
    request = job_request(aws, "none")
    request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] = "no-such-key"
    with pytest.raises(ClientError, match="KMS key 'no-such-key' cannot be used"):
        sagemaker.create_processing_job(**request)


def test_an_ended_job_cannot_be_stopped(sagemaker: Any, service: SageMakerService, aws: Aws) -> None:
    request = job_request(aws, "none")
    sagemaker.create_processing_job(**request)
    assert service.job(request["ProcessingJobName"]).wait(DEADLINE_SECONDS)
    with pytest.raises(ClientError, match="the processing job is in status Failed") as error:
        sagemaker.stop_processing_job(ProcessingJobName=request["ProcessingJobName"])
    assert code(error) == "ValidationException"


def test_jobs_are_listed_with_filters_order_and_pages(sagemaker: Any, service: SageMakerService, aws: Aws) -> None:
    names = [f"list-{number:02}" for number in range(12)]
    for name in names:
        # Times in requests have milliseconds: keep the jobs apart.
        time.sleep(0.005)
        sagemaker.create_processing_job(**job_request(aws, "none", ProcessingJobName=name))
        assert service.job(name).wait(DEADLINE_SECONDS)

    def listed(**request: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_processing_jobs").paginate(**request)
        return [job["ProcessingJobName"] for page in pages for job in page["ProcessingJobSummaries"]]

    first = sagemaker.list_processing_jobs()
    assert [job["ProcessingJobName"] for job in first["ProcessingJobSummaries"]] == names[:10]
    assert listed() == names
    assert listed(SortBy="Name", SortOrder="Descending", MaxResults=5) == names[::-1]
    assert listed(StatusEquals="Failed", NameContains="-1") == ["list-10", "list-11"]
    assert listed(StatusEquals="Completed") == []
    created = service.job(names[6]).created_at
    assert listed(CreationTimeAfter=created + dt.timedelta(milliseconds=-1))[0] == names[6]
    with pytest.raises(ClientError, match="NextToken is not valid"):
        sagemaker.list_processing_jobs(NextToken="nonsense")


def test_tags_are_added_listed_and_deleted(sagemaker: Any, aws: Aws) -> None:
    request = job_request(aws, "none", Tags=[{"Key": "a", "Value": "1"}])
    arn = sagemaker.create_processing_job(**request)["ProcessingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b", "none"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    with pytest.raises(sagemaker.exceptions.ClientError, match="at most 50 tags") as error:
        sagemaker.add_tags(ResourceArn=arn, Tags=many)
    assert code(error) == "ResourceLimitExceeded"
    with pytest.raises(ClientError, match="Could not find requested resource"):
        sagemaker.list_tags(ResourceArn=f"{arn}x")


def test_a_body_must_be_json(service: SageMakerService) -> None:
    target = {"X-Amz-Target": "SageMaker.ListProcessingJobs"}
    status, _, body = asyncio.run(service.handle("POST", "/", target, b"{", {}))
    assert status == 400
    assert b"SerializationException" in body


@pytest.mark.parametrize(
    ("operation", "body", "expected"),
    [
        ("CreateProcessingJob", b'{"ProcessingJobName": "a"}', "arn:aws:sagemaker:us-east-1:1:processing-job/a"),
        ("ListProcessingJobs", b"{}", "*"),
        ("AddTags", b'{"ResourceArn": "arn:x"}', "arn:x"),
        ("DescribeProcessingJob", b"[", "*"),
    ],
)
def test_policies_apply_to_the_arn_of_the_job(operation: str, body: bytes, expected: str) -> None:
    assert resource_arn(operation, body, "us-east-1", "1") == expected


def test_a_key_for_the_volume_is_refused_for_types_with_local_storage(sagemaker: Any, aws: Aws) -> None:
    request = job_request(aws, "none")
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    cluster = request["ProcessingResources"]["ClusterConfig"]
    cluster |= {"InstanceType": "ml.g5.xlarge", "VolumeKmsKeyId": key}
    with pytest.raises(ClientError, match=r"not supported for instance type ml\.g5\.xlarge"):
        sagemaker.create_processing_job(**request)
