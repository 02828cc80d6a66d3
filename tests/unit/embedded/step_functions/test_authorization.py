"""The state machine's role is asked before each call that Step Functions makes for it."""

import json
import uuid
from typing import Any

import pytest

from tests.unit.embedded.step_functions.machines import Workflows, distributed, one_state

JOB = "arn:aws:states:::sagemaker:createProcessingJob.sync"
RULES = {
    "Effect": "Allow", "Action": ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
    "Resource": "arn:aws:events:*:*:rule/StepFunctionsGetEventsForSageMakerProcessingJobsRule",
}  # fmt: skip
ECHO = one_state({"Type": "Pass", "End": True})


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **condition}


def processing_job(role_arn: str) -> dict[str, Any]:
    parameters = {"ProcessingJobName": f"job-{uuid.uuid4().hex[:8]}", "RoleArn": role_arn}
    return one_state({"Type": "Task", "Resource": JOB, "Parameters": parameters, "End": True})


def test_a_function_needs_invoke_function(workflows: Workflows) -> None:
    result = workflows.run(one_state(workflows.invoke()), role_arn=workflows.role(allow("s3:*")))

    assert (result["status"], result["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert f"not authorized to perform: lambda:InvokeFunction on resource: {workflows.function_arn}" in result["cause"]


def test_a_function_is_called_when_the_role_allows_it(workflows: Workflows) -> None:
    role = workflows.role(allow("lambda:InvokeFunction", workflows.function_arn))
    assert workflows.run(one_state(workflows.invoke()), role_arn=role)["status"] == "SUCCEEDED"


def test_a_denied_call_can_be_caught(workflows: Workflows) -> None:
    task = workflows.invoke(Catch=[{"ErrorEquals": ["Lambda.AWSLambdaException"], "Next": "Caught"}])
    states = {"Only": task, "Caught": {"Type": "Succeed"}}
    role = workflows.role(allow("s3:*"))
    assert workflows.run({"StartAt": "Only", "States": states}, role_arn=role)["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("missing", "action"),
    [
        (0, "sagemaker:CreateProcessingJob"),
        (1, "sagemaker:AddTags"),
        (2, "sagemaker:DescribeProcessingJob"),
        (3, "iam:PassRole"),
    ],
)
def test_a_job_needs_each_permission(workflows: Workflows, missing: int, action: str) -> None:
    job_role = workflows.role(service="sagemaker.amazonaws.com")
    passing = {"Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}}
    statements = [
        allow("sagemaker:CreateProcessingJob", "arn:aws:sagemaker:*:*:processing-job/job-*"),
        allow("sagemaker:AddTags"),
        allow("sagemaker:DescribeProcessingJob"),
        allow("iam:PassRole", job_role, **passing),
    ]
    del statements[missing]
    result = workflows.run(processing_job(job_role), role_arn=workflows.role(RULES, *statements))

    assert result["error"] == "SageMaker.AmazonSageMakerException"
    assert f"not authorized to perform: {action}" in result["cause"]
    assert "Error Code: AccessDeniedException" in result["cause"]


def test_pass_role_for_another_service_is_not_enough(workflows: Workflows) -> None:
    job_role = workflows.role(service="sagemaker.amazonaws.com")
    other = {"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}
    role = workflows.role(RULES, allow("sagemaker:*"), allow("iam:PassRole", job_role, **other))
    assert "iam:PassRole" in workflows.run(processing_job(job_role), role_arn=role)["cause"]


def test_the_managed_rule_is_needed_when_the_state_machine_is_created(workflows: Workflows) -> None:
    role = workflows.role(allow("sagemaker:*"))
    with pytest.raises(workflows.client.exceptions.ClientError, match="not authorized to create managed-rule"):
        workflows.create(processing_job(role), role)


def test_a_role_that_does_not_trust_step_functions_is_refused(workflows: Workflows) -> None:
    role = workflows.role(allow("*"), service="lambda.amazonaws.com")
    with pytest.raises(workflows.client.exceptions.ClientError, match=r"states\.amazonaws\.com"):
        workflows.create(ECHO, role)


def test_a_distributed_map_needs_start_execution(workflows: Workflows) -> None:
    result = workflows.run(distributed(ECHO), [1], workflows.role(allow("s3:*")))
    assert result["error"] == "States.Permissions"
    assert "states:StartExecution" in result["cause"]


def test_an_item_reader_needs_get_object(workflows: Workflows) -> None:
    workflows.aws.endpoint.client("s3").put_object(Bucket=workflows.bucket, Key="one.json", Body=b"[1]")
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "Parameters": {"Bucket": workflows.bucket, "Key": "one.json"},
    }
    machine = distributed(ECHO, ItemReader=reader)
    start = allow("states:StartExecution")
    result = workflows.run(machine, role_arn=workflows.role(start))
    assert result["error"] == "States.ItemReaderFailed"
    assert "s3:GetObject" in result["cause"]
    role = workflows.role(start, allow("s3:GetObject", f"arn:aws:s3:::{workflows.bucket}/*"))
    assert workflows.run(machine, role_arn=role)["output"] == "[1]"


def test_an_encrypted_item_source_needs_decrypt(workflows: Workflows) -> None:
    endpoint = workflows.aws.endpoint
    key_arn = endpoint.client("kms").create_key()["KeyMetadata"]["Arn"]
    endpoint.client("s3").put_object(
        Bucket=workflows.bucket, Key="secret.json", Body=b"[2]", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_arn
    )
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "Parameters": {"Bucket": workflows.bucket, "Key": "secret.json"},
    }
    machine = distributed(ECHO, ItemReader=reader)
    may_read = [allow("states:StartExecution"), allow("s3:GetObject")]
    result = workflows.run(machine, role_arn=workflows.role(*may_read))
    assert "kms:Decrypt" in result["cause"]
    role = workflows.role(*may_read, allow("kms:Decrypt", key_arn))
    assert json.loads(workflows.run(machine, role_arn=role)["output"]) == [2]
