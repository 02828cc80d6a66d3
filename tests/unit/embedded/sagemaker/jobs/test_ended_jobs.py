"""Jobs that have ended, and have given back most of their memory."""

import threading
from typing import Any

import pytest

from embedded.sagemaker.jobs.job import Job, Status
from embedded.sagemaker.jobs.processing.job import ProcessingJob
from embedded.sagemaker.jobs.training.job import TrainingJob

_S3 = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}}
PROCESSING = {
    "ProcessingJobName": "first",
    "RoleArn": "arn:aws:iam::123456789012:role/job",
    "AppSpecification": {"ImageUri": "image:1"},
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 9}},
    "ProcessingInputs": [{"InputName": "in", "S3Input": {"S3Uri": "s3://data/in/", "LocalPath": "/opt/ml/in"}}],
    "Tags": [{"Key": "stage", "Value": "ü"}],
}
TRAINING = {
    "TrainingJobName": "second",
    "RoleArn": "arn:aws:iam::123456789012:role/job",
    "AlgorithmSpecification": {"TrainingImage": "image:1", "TrainingInputMode": "File"},
    "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 9},
    "InputDataConfig": [{"ChannelName": "data", "DataSource": _S3}],
    "OutputDataConfig": {"S3OutputPath": "s3://data/out/"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


@pytest.fixture(params=[ProcessingJob, TrainingJob])
def job(request: pytest.FixtureRequest) -> Job:
    made: Job = request.param(PROCESSING if request.param is ProcessingJob else TRAINING, "arn", {"stage": "ü"})
    made.start()
    made.end(Status.FAILED, failure_reason="it broke")
    return made


def shown(job: Job) -> tuple[Any, ...]:
    saved = {**job.saved(), "request": dict(job.request)}
    return job.describe(), job.summarize(), saved, job.name, job.role_arn, job.instance_count, job.container


def test_a_released_job_shows_the_same(job: Job) -> None:
    before = shown(job)
    job.release()
    assert shown(job) == before


def test_a_description_can_be_changed_without_effect_on_the_job(job: Job) -> None:
    for _ in range(2):
        described = job.describe()
        for value in described.values():
            if isinstance(value, dict):
                value.clear()
        assert job.describe() != described
        job.release()


def test_a_released_job_cannot_be_stopped(job: Job) -> None:
    job.release()
    assert not job.request_stop()
    assert not job.stop_requested.is_set()


def test_a_thread_that_waits_for_a_job_sees_its_end_also_when_it_is_released_at_once() -> None:
    job = ProcessingJob(PROCESSING, "arn", {})
    ended: list[bool] = []
    waiting = threading.Thread(target=lambda: ended.append(job.wait(30)))
    waiting.start()
    job.end(Status.COMPLETED)
    job.release()
    waiting.join()
    assert ended == [True]
