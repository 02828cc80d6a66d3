"""Training jobs of state machines in a running embedded AWS, also with faults."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from embedded.faults import InterruptSpot
from embedded.server.embedded_aws import EmbeddedAws
from tests.unit.embedded.sagemaker.account import PRELUDE, Aws, allow
from tests.unit.embedded.sagemaker.jobs.training.requests import (
    TRAINING_PRELUDE,
    archive,
    spot,
    statuses,
    training_request,
)
from tests.unit.embedded.step_functions.machines import Workflows, one_state

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainer:1"
RESOURCE = "arn:aws:states:::sagemaker:createTrainingJob.sync"
# Saves half of the model as a checkpoint and waits; the next attempt completes the model. With
# `hang`, it never ends.
CODE = """
half = CHECKPOINTS / "half"
if config("hyperparameters").get("hang"):
    half.unlink(missing_ok=True)
if half.exists():
    (MODEL / "model.txt").write_text(half.read_text() + " and the rest")
    sys.exit(0)
half.write_text("half")
signal.pause()
"""


@pytest.fixture
def workflows(embedded_aws: EmbeddedAws) -> Workflows:
    return Workflows(embedded_aws, "", "", "")


@pytest.fixture
def account(embedded_aws: EmbeddedAws, tmp_path: Path) -> Aws:
    aws = Aws(embedded_aws.endpoint, f"data-{uuid.uuid4().hex[:8]}", "")
    aws.client("s3").create_bucket(Bucket=aws.bucket)
    objects, bucket = f"arn:aws:s3:::{aws.bucket}/*", f"arn:aws:s3:::{aws.bucket}"
    aws.role_arn = aws.make_role(
        allow("s3:PutObject", "s3:GetObject", resource=objects),
        allow("s3:ListBucket", resource=bucket),
        allow("logs:*", resource="arn:aws:logs:*:*:log-group:/aws/sagemaker/TrainingJobs*"),
    )
    (tmp_path / "main.py").write_text(PRELUDE + TRAINING_PRELUDE + CODE)
    (tmp_path / "Dockerfile").write_text('FROM python\nCOPY main.py /app/\nENTRYPOINT ["python", "/app/main.py"]')
    embedded_aws.images.register(IMAGE, tmp_path)
    return aws


def training(request: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return one_state({"Type": "Task", "End": True, "Resource": RESOURCE, "Parameters": request, **fields})


def machine_role(workflows: Workflows, job_role: str) -> str:
    jobs = "arn:aws:sagemaker:*:*:training-job/train-*"
    passing = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    actions = ["CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "AddTags"]
    rule = "arn:aws:events:*:*:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
    return workflows.role(
        allow(*(f"sagemaker:{action}" for action in actions), resource=jobs),
        {**allow("iam:PassRole", resource=job_role), "Condition": passing},
        allow("events:PutTargets", "events:PutRule", "events:DescribeRule", resource=rule),
    )


def test_a_state_machine_survives_an_interruption(
    embedded_aws: EmbeddedAws, workflows: Workflows, account: Aws
) -> None:
    request = training_request(account, IMAGE, "", **spot(account, ""))
    embedded_aws.faults.add(InterruptSpot(job=request["TrainingJobName"], uploads=1))
    result = workflows.run(training(request), role_arn=machine_role(workflows, account.role_arn))
    assert result["status"] == "SUCCEEDED", result
    described = json.loads(result["output"])
    assert statuses(described).count("Interrupted") == 1
    assert embedded_aws.faults.pending() == []
    assert archive(account, described) == {"model.txt": b"half and the rest"}
    tags = account.client("sagemaker").list_tags(ResourceArn=described["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}]
    # Recorded on AWS for `.sync` tasks: the answer of the API call comes before the result.
    [submitted] = [event for event in workflows.history(result["executionArn"]) if event["type"] == "TaskSubmitted"]
    answer = json.loads(submitted["taskSubmittedEventDetails"]["output"])
    assert answer == {"TrainingJobArn": described["TrainingJobArn"]}


def test_the_timeout_of_a_task_leaves_its_job_running(workflows: Workflows, account: Aws) -> None:
    """AWS documents a stop for tasks whose execution is stopped only."""
    request = training_request(account, IMAGE, "", HyperParameters={"hang": "1"}, **spot(account, ""))
    role = machine_role(workflows, account.role_arn)
    result = workflows.run(training(request, TimeoutSeconds=1), role_arn=role)
    assert (result["status"], result["error"]) == ("FAILED", "States.Timeout")
    sagemaker, name = account.client("sagemaker"), request["TrainingJobName"]
    assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress"
    sagemaker.stop_training_job(TrainingJobName=name)
    assert stopped(workflows, account, request)["TrainingJobStatus"] == "Stopped"


def test_stopping_an_execution_stops_the_job_of_a_nested_one(workflows: Workflows, account: Aws) -> None:
    request = training_request(account, IMAGE, "", HyperParameters={"hang": "1"}, **spot(account, ""))
    inner = workflows.create(training(request), machine_role(workflows, account.role_arn))
    nested = "arn:aws:states:::states:startExecution.sync:2"
    state = {"Type": "Task", "End": True, "Resource": nested, "Parameters": {"StateMachineArn": inner}}
    outer = workflows.start(one_state(state))
    account.client("s3").get_waiter("object_exists").wait(
        Bucket=account.bucket, Key="checkpoints/half", WaiterConfig={"Delay": 0.05, "MaxAttempts": 600}
    )
    workflows.client.stop_execution(executionArn=outer)
    assert stopped(workflows, account, request)["TrainingJobStatus"] == "Stopped"
    [execution] = workflows.client.list_executions(stateMachineArn=inner)["executions"]
    assert workflows.ended(execution["executionArn"])["status"] == "ABORTED"


def stopped(workflows: Workflows, account: Aws, request: dict[str, Any]) -> dict[str, Any]:
    name = request["TrainingJobName"]
    described: dict[str, Any] = workflows.wait(
        lambda: account.client("sagemaker").describe_training_job(TrainingJobName=name),
        lambda shown: shown["TrainingJobStatus"] not in {"InProgress", "Stopping"},
    )
    return described
