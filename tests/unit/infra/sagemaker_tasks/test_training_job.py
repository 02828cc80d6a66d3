"""SageMakerTrainingJob: the request, the permissions, and the literals that it refuses."""

from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn

from infra.sagemaker_tasks import (
    DataType,
    Distribution,
    InvalidJobError,
    JobNetwork,
    SageMakerTrainingJob,
    TrainingChannel,
    TrainingInputMode,
)
from tests.unit.infra.sagemaker_tasks.service_model import limits, problems_of, service_model
from tests.unit.infra.sagemaker_tasks.test_processing_job import (
    JOB_ROLE,
    any_stack,
    check_sync_permissions,
    definition_of,
    template_of,
)


def any_channel(**changes: Any) -> TrainingChannel:
    return TrainingChannel(**{"name": "train", "s3_uri": "s3://bucket/data/", **changes})


def any_job(stack: Stack, **changes: Any) -> SageMakerTrainingJob:
    properties: dict[str, Any] = {
        "job_name": "$.job_name",
        "job_name_prefix": "nightly",
        "image_uri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/training:1",
        "role": iam.Role.from_role_arn(stack, "Job", JOB_ROLE),
        "channels": [any_channel()],
        "output_uri": "s3://bucket/models/",
        "instance_type": "ml.m5.xlarge",
        "instance_count": 1,
        "volume_size_gb": 30,
        "max_runtime_seconds": 3_600,
        **changes,
    }
    return SageMakerTrainingJob(stack, "Train", **properties)


def request_of(stack: Stack, job: SageMakerTrainingJob) -> dict[str, Any]:
    found: dict[str, Any] = definition_of(stack, job)["States"]["Train"]["Parameters"]
    return found


def test_the_service_model_accepts_the_full_request() -> None:
    stack = any_stack()
    job = any_job(
        stack,
        job_name="nightly-1",
        channels=[
            any_channel(data_type=DataType.MANIFEST_FILE, distribution=Distribution.SHARDED_BY_S3_KEY),
            any_channel(name="code", content_type="application/gzip"),
        ],
        spot=True,
        max_wait_seconds=7_200,
        hyperparameters={"max_depth": "4"},
        input_mode=TrainingInputMode.FAST_FILE,
        checkpoints_uri="s3://bucket/checkpoints/",
        entrypoint=["python", "train.py"],
        arguments=["--fast"],
        environment={"LEVEL": "INFO"},
        network=JobNetwork(isolation=True, subnet_ids=["subnet-1"], security_group_ids=["sg-1"]),
        output_kms_key_id="arn:aws:kms:eu-central-1:123456789012:key/1",
        volume_kms_key_id="alias/volumes",
        tags={"team": "risk"},
    )
    request = request_of(stack, job)
    assert problems_of("CreateTrainingJob", request) == ""
    assert set(request) == {
        "TrainingJobName", "RoleArn", "AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig",
        "StoppingCondition", "EnableManagedSpotTraining", "HyperParameters", "CheckpointConfig", "Environment",
        "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "VpcConfig", "Tags",
    }  # fmt: skip
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3_600, "MaxWaitTimeInSeconds": 7_200}


def test_whole_parts_of_the_request_may_be_paths() -> None:
    stack = any_stack()
    job = any_job(
        stack,
        channels="$.plan.channels",
        hyperparameters="$.plan.hyperparameters",
        max_runtime_seconds=None,
        stopping_condition_path="$.plan.stopping_condition",
        spot="$.plan.spot",
        output_uri="$.plan.output",
    )
    request = request_of(stack, job)
    assert request["InputDataConfig.$"] == "$.plan.channels"
    assert request["HyperParameters.$"] == "$.plan.hyperparameters"
    assert request["StoppingCondition.$"] == "$.plan.stopping_condition"
    assert request["EnableManagedSpotTraining.$"] == "$.plan.spot"
    assert request["OutputDataConfig"] == {"S3OutputPath.$": "$.plan.output"}


def test_retry_timeout_and_result_options_are_rendered() -> None:
    stack = any_stack()
    job = any_job(stack, comment="why", timeout=Duration.hours(2), result_path=sfn.JsonPath.DISCARD)
    job.add_retry(errors=SageMakerTrainingJob.RETRYABLE_ERRORS)
    state = definition_of(stack, job.next(sfn.Succeed(stack, "Done")))["States"]["Train"]
    assert state["Resource"] == "arn:aws:states:::sagemaker:createTrainingJob.sync"
    assert (state["Comment"], state["TimeoutSeconds"], state["Next"]) == ("why", 7_200, "Done")
    assert state["ResultPath"] is None
    assert "SageMaker.ResourceLimitExceededException" in state["Retry"][0]["ErrorEquals"]


def test_the_state_machines_role_gets_only_what_sync_needs() -> None:
    stack = any_stack()
    check_sync_permissions(template_of(stack, any_job(stack)), "Training")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name with an underscore": ({"job_name": "nightly-a_b"}, "job_name"),
    "a name without the prefix": ({"job_name": "daily-1"}, "job_name"),
    "no channel": ({"channels": []}, "channels"),
    "21 channels": ({"channels": [any_channel(name=f"c{index}") for index in range(21)]}, "channels"),
    "two channels of one name": ({"channels": [any_channel(), any_channel()]}, "channels"),
    "a channel with a slash": ({"channels": [any_channel(name="a/b")]}, "channels"),
    "channels as text that is not a path": ({"channels": "s3://bucket/data/"}, "channels"),
    "a channel outside of S3": ({"channels": [any_channel(s3_uri="file:///data")]}, "channels[train].s3_uri"),
    "an output outside of S3": ({"output_uri": "models/"}, "output_uri"),
    "checkpoints outside of S3": ({"checkpoints_uri": "models/"}, "checkpoints_uri"),
    "no run time": ({"max_runtime_seconds": None}, "max_runtime_seconds"),
    "29 days": ({"max_runtime_seconds": 29 * 86_400}, "max_runtime_seconds"),
    "a wait without spot": ({"max_wait_seconds": 7_200}, "max_wait_seconds"),
    "spot without a wait": ({"spot": True}, "max_wait_seconds"),
    "a wait that is shorter than the run": ({"spot": True, "max_wait_seconds": 60}, "max_wait_seconds"),
    "two stopping conditions": ({"stopping_condition_path": "$.stop"}, "stopping_condition_path"),
    "101 hyperparameters": ({"hyperparameters": {f"h{index}": "" for index in range(101)}}, "hyperparameters"),
    "a hyperparameter of 2,501 characters": ({"hyperparameters": {"a": "b" * 2_501}}, "hyperparameters[a]"),
    "hyperparameters as text that is not a path": ({"hyperparameters": "max_depth=4"}, "hyperparameters"),
    "a variable of 513 characters": ({"environment": {"A": "a" * 513}}, "environment[A]"),
    "subnets without security groups": ({"network": JobNetwork(subnet_ids=["subnet-1"])}, "network"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_literal_outside_of_the_limits_is_refused_by_name(case: str) -> None:
    changes, field = REFUSED[case]
    with pytest.raises(InvalidJobError) as raised:
        any_job(Stack(App(), "stack"), **changes)
    assert {problem.split(": got ")[0] for problem in raised.value.problems} == {field}


def test_the_limits_match_the_service_model() -> None:
    shapes = service_model()
    assert limits("InputDataConfig") == (1, 20)
    assert limits("HyperParameters")[1] == 100
    assert (limits("HyperParameterKey")[1], limits("HyperParameterValue")[1]) == (256, 2_500)
    assert limits("TrainingEnvironmentMap")[1] == 100
    assert limits("TrainingEnvironmentValue")[1] == 512
    assert {mode.value for mode in TrainingInputMode} == set(shapes.shape_for("TrainingInputMode").enum)


def test_a_path_can_hold_all_fields_of_the_instances() -> None:
    stack = any_stack()
    none = {"instance_type": None, "instance_count": None, "volume_size_gb": None}
    assert request_of(stack, any_job(stack, **none, instances_path="$.r"))["ResourceConfig.$"] == "$.r"
