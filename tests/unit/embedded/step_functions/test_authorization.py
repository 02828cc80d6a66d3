"""The state machine's role is checked before each call that Step Functions makes with it."""

import json
import uuid
from typing import Any

import pytest

from tests.unit.embedded.step_functions.machines import Workflows, distributed, one_state

ECHO = one_state({"Type": "Pass", "End": True})


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **condition}


def event_rules(kind: str) -> dict[str, Any]:
    """Allow the managed rule with which Step Functions follows jobs of a kind."""
    rule = f"arn:aws:events:*:*:rule/StepFunctionsGetEventsForSageMaker{kind}JobsRule"
    return allow(["events:PutTargets", "events:PutRule", "events:DescribeRule"], rule)


def job(kind: str, role_arn: str) -> dict[str, Any]:
    """Define a machine that runs one job."""
    resource = f"arn:aws:states:::sagemaker:create{kind}Job.sync"
    parameters = {f"{kind}JobName": f"job-{uuid.uuid4().hex[:8]}", "RoleArn": role_arn}
    return one_state({"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True})


def test_a_function_needs_invoke_function(workflows: Workflows) -> None:
    result = workflows.run(one_state(workflows.invoke()), role_arn=workflows.role(allow("s3:*")))

    assert (result["status"], result["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert f"not authorized to perform: lambda:InvokeFunction on resource: {workflows.function_arn}" in result["cause"]


def test_an_allowed_function_is_called(workflows: Workflows) -> None:
    role = workflows.role(allow("lambda:InvokeFunction", workflows.function_arn))
    assert workflows.run(one_state(workflows.invoke()), role_arn=role)["status"] == "SUCCEEDED"


def test_a_denied_call_can_be_caught(workflows: Workflows) -> None:
    task = workflows.invoke(Catch=[{"ErrorEquals": ["Lambda.AWSLambdaException"], "Next": "Caught"}])
    states = {"Only": task, "Caught": {"Type": "Succeed"}}
    role = workflows.role(allow("s3:*"))
    assert workflows.run({"StartAt": "Only", "States": states}, role_arn=role)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("kind", ["Processing", "Training"])
@pytest.mark.parametrize("missing", ["Create{}Job", "AddTags", "Describe{}Job", "Stop{}Job", "PassRole"])
def test_a_job_needs_each_permission(workflows: Workflows, kind: str, missing: str) -> None:
    job_role = workflows.role(service="sagemaker.amazonaws.com")
    jobs = f"arn:aws:sagemaker:*:*:{kind.lower()}-job/job-*"
    to_sagemaker = {"Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}}
    statements = {
        "Create{}Job": allow(f"sagemaker:Create{kind}Job", jobs),
        "AddTags": allow("sagemaker:AddTags", jobs),
        "Describe{}Job": allow(f"sagemaker:Describe{kind}Job", jobs),
        "Stop{}Job": allow(f"sagemaker:Stop{kind}Job", jobs),
        "PassRole": allow("iam:PassRole", job_role, **to_sagemaker),
    }
    del statements[missing]
    machine = job(kind, job_role)
    result = workflows.run(machine, role_arn=workflows.role(event_rules(kind), *statements.values()))
    assert result["error"] == "SageMaker.AmazonSageMakerException"
    assert f"not authorized to perform: {'iam' if missing == 'PassRole' else 'sagemaker'}:" in result["cause"]
    assert missing.format(kind) in result["cause"]
    assert "Error Code: AccessDeniedException" in result["cause"]
    sagemaker = workflows.aws.endpoint.client("sagemaker")
    name = machine["States"]["Only"]["Parameters"][f"{kind}JobName"]
    listing = {"Processing": sagemaker.list_processing_jobs, "Training": sagemaker.list_training_jobs}[kind]
    assert listing(NameContains=name)[f"{kind}JobSummaries"] == []


def test_pass_role_must_allow_sagemaker(workflows: Workflows) -> None:
    job_role = workflows.role(service="sagemaker.amazonaws.com")
    other = {"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}
    role = workflows.role(event_rules("Processing"), allow("sagemaker:*"), allow("iam:PassRole", job_role, **other))
    assert "iam:PassRole" in workflows.run(job("Processing", job_role), role_arn=role)["cause"]


@pytest.mark.parametrize("kind", ["Processing", "Training"])
def test_creating_a_state_machine_needs_the_managed_rule(workflows: Workflows, kind: str) -> None:
    role = workflows.role(allow("sagemaker:*"))
    with pytest.raises(workflows.client.exceptions.ClientError, match="not authorized to create managed-rule"):
        workflows.create(job(kind, role), role)


def test_the_role_must_trust_step_functions(workflows: Workflows) -> None:
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
