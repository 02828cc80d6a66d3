"""The SageMaker job of an attempt is ended before another attempt may start."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from contract.status import SageMakerKind
from lambdas.errors import JobStillRunningError
from lambdas.stage.sagemaker_jobs import SageMakerJobs
from tests.unit.lambdas.builders import REGION

NAME = "test-delays-ua-0-1"
FIELDS = {SageMakerKind.PROCESSING: "Processing", SageMakerKind.TRAINING: "Training"}


class StubbedJobs:
    """Answers of SageMaker, each checked against the service's model."""

    def __init__(self, kind: SageMakerKind) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        client = boto3.client("sagemaker", region_name=REGION, **keys)  # type: ignore[call-overload]
        self.kind, self.jobs, self.stub = kind, SageMakerJobs(client), Stubber(client)
        self.stub.activate()

    @property
    def word(self) -> str:
        return FIELDS[self.kind]

    def has(self, status: str) -> None:
        shape: dict[str, Any] = {f"{self.word}JobStatus": status, f"{self.word}JobArn": "arn:aws:sagemaker:x:y:z"}
        self.stub.add_response(f"describe_{self.word.lower()}_job", shape | self._required(), self._named())

    def is_asked_to_stop(self) -> None:
        self.stub.add_response(f"stop_{self.word.lower()}_job", {}, self._named())

    def refuses(self, operation: str, code: str, message: str) -> None:
        self.stub.add_client_error(f"{operation}_{self.word.lower()}_job", code, message)

    def end(self) -> None:
        self.jobs.end(self.kind, NAME)
        self.stub.assert_no_pending_responses()

    def _named(self) -> dict[str, str]:
        return {f"{self.word}JobName": NAME}

    def _required(self) -> dict[str, Any]:
        if self.kind is SageMakerKind.PROCESSING:
            specification = {"AppSpecification": {"ImageUri": "x"}, "ProcessingResources": {"ClusterConfig": {}}}
            cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
            specification["ProcessingResources"] = {"ClusterConfig": cluster}  # type: ignore[dict-item]
            return {**specification, "ProcessingJobName": NAME, "CreationTime": 0}
        return {
            "TrainingJobName": NAME,
            "ModelArtifacts": {"S3ModelArtifacts": "s3://b/k"},
            "SecondaryStatus": "Training",
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "ResourceConfig": {"VolumeSizeInGB": 1},
            "StoppingCondition": {},
            "CreationTime": 0,
        }


@pytest.fixture(params=list(FIELDS), ids=[kind.value for kind in FIELDS])
def sagemaker(request: pytest.FixtureRequest) -> Iterator[StubbedJobs]:
    return StubbedJobs(request.param)


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_an_ended_job_is_left_alone(sagemaker: StubbedJobs, status: str) -> None:
    sagemaker.has(status)
    sagemaker.end()


def test_a_running_job_is_stopped_and_must_be_waited_for(sagemaker: StubbedJobs) -> None:
    sagemaker.has("InProgress")
    sagemaker.is_asked_to_stop()
    sagemaker.has("Stopping")
    with pytest.raises(JobStillRunningError, match=rf"{NAME}.*Stopping.*only when it has ended"):
        sagemaker.end()
    sagemaker.stub.assert_no_pending_responses()


def test_a_stopping_job_is_not_stopped_again(sagemaker: StubbedJobs) -> None:
    sagemaker.has("Stopping")
    with pytest.raises(JobStillRunningError):
        sagemaker.end()
    sagemaker.stub.assert_no_pending_responses()


def test_a_job_that_ends_meanwhile_has_ended(sagemaker: StubbedJobs) -> None:
    sagemaker.has("InProgress")
    sagemaker.refuses("stop", "ValidationException", "The request was rejected because the job is in status Completed.")
    sagemaker.has("Completed")
    sagemaker.end()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ValidationException", "Requested resource not found."),
        ("ResourceNotFound", "Could not find requested job with name: x"),
    ],
)
def test_a_job_that_was_never_created_needs_no_stop(sagemaker: StubbedJobs, code: str, message: str) -> None:
    sagemaker.refuses("describe", code, message)
    sagemaker.end()


def test_a_throttled_call_is_made_again_later(sagemaker: StubbedJobs) -> None:
    sagemaker.refuses("describe", "ThrottlingException", "Rate exceeded")
    with pytest.raises(JobStillRunningError, match="Rate exceeded"):
        sagemaker.end()


def test_a_missing_permission_is_not_taken_for_a_missing_job(sagemaker: StubbedJobs) -> None:
    sagemaker.refuses("describe", "AccessDeniedException", "User is not authorized to perform: sagemaker:Describe")
    with pytest.raises(Exception, match="not authorized"):
        sagemaker.end()
