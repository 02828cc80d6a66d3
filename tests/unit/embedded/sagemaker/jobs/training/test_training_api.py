"""The API of training jobs through boto3."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.sagemaker.jobs.job_types import TRAINING
from embedded.sagemaker.service import SageMakerService, resource_arn
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws, client_of, code
from tests.unit.embedded.sagemaker.conftest import ServiceMaker
from tests.unit.embedded.sagemaker.jobs.training.requests import training_request

Trainer = Callable[..., str]


@pytest.fixture
def sagemaker(service: SageMakerService, aws: Aws) -> Any:
    return client_of(service, aws)


def test_a_job_is_created_described_and_listed(
    sagemaker: Any, service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    request = training_request(aws, trainer('print("auc=0.75")'), prefix)
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "auc", "Regex": "auc=([0-9.]+)"}]
    arn = sagemaker.create_training_job(**request)["TrainingJobArn"]
    name = request["TrainingJobName"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}"
    assert service.job(name, TRAINING).wait(DEADLINE_SECONDS)
    described = sagemaker.describe_training_job(TrainingJobName=name)
    assert described["TrainingJobStatus"] == "Completed"
    assert described["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"{name}/output/model.tar.gz")
    assert isinstance(described["SecondaryStatusTransitions"][0]["StartTime"], dt.datetime)
    assert described["FinalMetricDataList"][0]["Value"] == 0.75
    assert isinstance(described["FinalMetricDataList"][0]["Timestamp"], dt.datetime)
    assert described["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}
    [summary] = sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    assert (summary["TrainingJobArn"], summary["TrainingJobStatus"]) == (arn, "Completed")
    assert summary["SecondaryStatus"] == "Completed"
    assert summary["TrainingEndTime"] == described["TrainingEndTime"]
    # The waiter of boto3 reads the same description.
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)


def test_a_job_name_cannot_be_reused(sagemaker: Any, service: SageMakerService, aws: Aws, prefix: str) -> None:
    request = training_request(aws, "none", prefix)
    sagemaker.create_training_job(**request)
    assert service.job(request["TrainingJobName"], TRAINING).wait(DEADLINE_SECONDS)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="Job name must be unique within an AWS account"):
        sagemaker.create_training_job(**request)


def test_an_unknown_job_is_not_found(sagemaker: Any) -> None:
    for operation in (sagemaker.describe_training_job, sagemaker.stop_training_job):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="Could not find requested job with name: nope"):
            operation(TrainingJobName="nope")


def test_an_ended_job_cannot_be_stopped(sagemaker: Any, service: SageMakerService, aws: Aws, prefix: str) -> None:
    request = training_request(aws, "none", prefix)
    sagemaker.create_training_job(**request)
    assert service.job(request["TrainingJobName"], TRAINING).wait(DEADLINE_SECONDS)
    with pytest.raises(ClientError, match="the training job is in status Failed") as error:
        sagemaker.stop_training_job(TrainingJobName=request["TrainingJobName"])
    assert code(error) == "ValidationException"


def test_one_validation_exception_reports_all_problems(sagemaker: Any, aws: Aws, prefix: str) -> None:
    request = training_request(aws, "none", prefix, TrainingJobName="a_b", Environment={"1": "x"})
    with pytest.raises(ClientError, match="2 validation errors detected") as error:
        sagemaker.create_training_job(**request)
    assert code(error) == "ValidationException"
    both = training_request(aws, "none", prefix, ExperimentConfig={"RunName": "a"}, ResourceConfig={"InstanceCount": 1})
    with pytest.raises(
        ClientError, match=r"ExperimentConfig is not supported.*ResourceConfig\.InstanceType is required"
    ):
        sagemaker.create_training_job(**both)


def test_an_unusable_role_or_key_is_refused(make_service: ServiceMaker, aws: Aws, prefix: str) -> None:
    with pytest.raises(ClientError, match="Could not assume role"):
        client_of(make_service(may_assume=lambda role_arn: False), aws).create_training_job(
            **training_request(aws, "none", prefix)
        )
    request = training_request(aws, "none", prefix)
    request["OutputDataConfig"]["KmsKeyId"] = "no-such-key"
    with pytest.raises(ClientError, match="KMS key 'no-such-key' cannot be used"):
        client_of(make_service(), aws).create_training_job(**request)


def test_lists_hold_one_kind_and_refuse_unsupported_filters(
    sagemaker: Any, service: SageMakerService, aws: Aws, prefix: str
) -> None:
    names = [f"list-{number:02}" for number in range(3)]
    for name in names:
        sagemaker.create_training_job(**training_request(aws, "none", prefix, TrainingJobName=name))
        assert service.job(name, TRAINING).wait(DEADLINE_SECONDS)

    def listed(**request: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_training_jobs").paginate(**request)
        return [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]

    assert listed(SortBy="Name", SortOrder="Descending", MaxResults=2) == names[::-1]
    assert listed(StatusEquals="Failed", NameContains="-1") == []
    assert sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []
    with pytest.raises(ClientError, match="WarmPoolStatusEquals is not supported by the embedded AWS"):
        sagemaker.list_training_jobs(WarmPoolStatusEquals="InUse")


def test_tags_are_added_listed_and_deleted(sagemaker: Any, aws: Aws, prefix: str) -> None:
    request = training_request(aws, "none", prefix, Tags=[{"Key": "a", "Value": "1"}])
    arn = sagemaker.create_training_job(**request)["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
    with pytest.raises(ClientError, match="Could not find requested resource"):
        sagemaker.list_tags(ResourceArn=arn.replace("training-job", "processing-job"))


@pytest.mark.parametrize("operation", ["CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"])
def test_policies_apply_to_the_arn_of_the_job(operation: str) -> None:
    expected = "arn:aws:sagemaker:us-east-1:1:training-job/a"
    assert resource_arn(operation, b'{"TrainingJobName": "a"}', "us-east-1", "1") == expected
