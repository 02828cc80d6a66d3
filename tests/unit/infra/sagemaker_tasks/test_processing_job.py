"""SageMakerProcessingJob: the request, the permissions, and the literals that it refuses."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, assertions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn

from infra import sagemaker_tasks
from infra.sagemaker_tasks import (
    Compression,
    DataType,
    Distribution,
    InputMode,
    InvalidJobError,
    JobNetwork,
    ProcessingInput,
    ProcessingOutput,
    SageMakerProcessingJob,
    UploadMode,
)
from tests.unit.infra.assembly import flat
from tests.unit.infra.sagemaker_tasks.service_model import limits, problems_of, service_model

JOB_ROLE = "arn:aws:iam::123456789012:role/job"


def any_stack() -> Stack:
    return Stack(App(), "stack")


def any_input(**changes: Any) -> ProcessingInput:
    return ProcessingInput(
        **{"name": "data", "s3_uri": "s3://bucket/data/", "local_path": "/opt/ml/processing/input/data", **changes}
    )


def any_output(**changes: Any) -> ProcessingOutput:
    return ProcessingOutput(
        **{"name": "out", "s3_uri": "s3://bucket/out/", "local_path": "/opt/ml/processing/output/out", **changes}
    )


def any_job(stack: Stack, **changes: Any) -> SageMakerProcessingJob:
    properties: dict[str, Any] = {
        "job_name": "$.job_name",
        "job_name_prefix": "nightly",
        "image_uri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/scoring:1",
        "role": iam.Role.from_role_arn(stack, "Job", JOB_ROLE),
        "instance_type": "ml.m5.xlarge",
        "instance_count": 2,
        "volume_size_gb": 30,
        **changes,
    }
    return SageMakerProcessingJob(stack, "Score", **properties)


def template_of(stack: Stack, start: sfn.IChainable) -> dict[str, Any]:
    sfn.StateMachine(stack, "Machine", definition_body=sfn.DefinitionBody.from_chainable(start))
    found: dict[str, Any] = dict(assertions.Template.from_stack(stack).to_json())
    return found["Resources"]  # type: ignore[no-any-return]


def definition_of(stack: Stack, start: sfn.IChainable) -> dict[str, Any]:
    (machine,) = [
        item for item in template_of(stack, start).values() if item["Type"] == "AWS::StepFunctions::StateMachine"
    ]
    parsed: dict[str, Any] = json.loads(flat(machine["Properties"]["DefinitionString"]))
    return parsed


def test_the_service_model_accepts_the_full_request() -> None:
    stack = any_stack()
    job = any_job(
        stack,
        job_name="nightly-1",
        max_runtime_seconds=3_600,
        inputs=[any_input(data_type=DataType.MANIFEST_FILE, distribution=Distribution.SHARDED_BY_S3_KEY)],
        outputs=[any_output(upload_mode=UploadMode.CONTINUOUS)],
        entrypoint=["python", "-m", "scoring"],
        arguments=["--fast"],
        environment={"LEVEL": "INFO"},
        network=JobNetwork(isolation=True, subnet_ids=["subnet-1"], security_group_ids=["sg-1"]),
        output_kms_key_id="arn:aws:kms:eu-central-1:123456789012:key/1",
        volume_kms_key_id="alias/volumes",
        tags={"team": "risk"},
    )
    request = definition_of(stack, job)["States"]["Score"]["Parameters"]
    assert problems_of("CreateProcessingJob", request) == ""
    assert set(request) == {
        "ProcessingJobName", "RoleArn", "AppSpecification", "ProcessingResources", "StoppingCondition", "Environment",
        "ProcessingInputs", "ProcessingOutputConfig", "NetworkConfig", "Tags",
    }  # fmt: skip


def test_paths_become_path_fields_and_tokens_do_not() -> None:
    stack = any_stack()
    job = any_job(
        stack,
        role=iam.Role(stack, "Own", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com")),
        instance_count="$.count",
        inputs=[any_input(s3_uri="$.uri")],
        environment={"EXECUTION": "$$.Execution.Name"},
        tags={"job": "$.job"},
    )
    request = definition_of(stack, job)["States"]["Score"]["Parameters"]
    assert request["ProcessingJobName.$"] == "$.job_name"
    assert request["RoleArn"] == "<Own.Arn>"
    assert request["ProcessingResources"]["ClusterConfig"]["InstanceCount.$"] == "$.count"
    assert request["ProcessingInputs"][0]["S3Input"]["S3Uri.$"] == "$.uri"
    assert request["Environment"] == {"EXECUTION.$": "$$.Execution.Name"}
    assert request["Tags"] == [{"Key": "job", "Value.$": "$.job"}]


def test_retry_catch_timeout_and_result_options_are_rendered() -> None:
    stack = any_stack()
    job = any_job(
        stack, comment="why", timeout=Duration.hours(1), result_path="$.job", result_selector={"Arn.$": "$.Arn"}
    )
    job.add_retry(errors=SageMakerProcessingJob.RETRYABLE_ERRORS, jitter_strategy=sfn.JitterType.FULL)
    job.add_catch(sfn.Fail(stack, "Broken"), result_path="$.failure")
    state = definition_of(stack, job.next(sfn.Succeed(stack, "Done")))["States"]["Score"]
    assert state["Resource"] == "arn:aws:states:::sagemaker:createProcessingJob.sync"
    assert state["Comment"] == "why"
    assert state["TimeoutSeconds"] == 3_600
    assert state["ResultPath"] == "$.job"
    assert state["ResultSelector"] == {"Arn.$": "$.Arn"}
    assert state["Next"] == "Done"
    assert state["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Broken"}]
    assert state["Retry"][0]["JitterStrategy"] == "FULL"
    assert "SageMaker.AmazonSageMakerException" in state["Retry"][0]["ErrorEquals"]


def test_a_discarded_result_is_rendered_as_null() -> None:
    stack = any_stack()
    state = definition_of(stack, any_job(stack, result_path=sfn.JsonPath.DISCARD))["States"]["Score"]
    assert state["ResultPath"] is None
    assert state["End"] is True


def check_sync_permissions(template: dict[str, Any], kind: str) -> None:
    """Check that the state machine's role may run and follow the jobs of the prefix, and nothing else."""
    (policy,) = [item for item in template.values() if item["Type"] == "AWS::IAM::Policy"]
    jobs, passing, events = policy["Properties"]["PolicyDocument"]["Statement"]
    assert sorted(jobs["Action"]) == [
        "sagemaker:AddTags",
        f"sagemaker:Create{kind}Job",
        f"sagemaker:Describe{kind}Job",
        "sagemaker:ListTags",
        f"sagemaker:Stop{kind}Job",
    ]
    assert flat(jobs["Resource"]).endswith(f":{kind.lower()}-job/nightly-*")
    assert passing["Action"] == "iam:PassRole"
    assert passing["Resource"] == JOB_ROLE
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert sorted(events["Action"]) == ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
    assert flat(events["Resource"]).endswith(f":rule/StepFunctionsGetEventsForSageMaker{kind}JobsRule")


def test_the_state_machines_role_gets_only_what_sync_needs() -> None:
    stack = any_stack()
    check_sync_permissions(template_of(stack, any_job(stack)), "Processing")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name with an underscore": ({"job_name": "nightly-a_b"}, "job_name"),
    "a name of 64 characters": ({"job_name": "nightly-" + "a" * 56}, "job_name"),
    "a name without the prefix": ({"job_name": "daily-1"}, "job_name"),
    "a prefix that ends in a hyphen": ({"job_name_prefix": "nightly-"}, "job_name_prefix"),
    "zero instances": ({"instance_count": 0}, "instance_count"),
    "101 instances": ({"instance_count": 101}, "instance_count"),
    "an invalid instance type": ({"instance_type": "m5.xlarge"}, "instance_type"),
    "a volume of 16,385 GB": ({"volume_size_gb": 16_385}, "volume_size_gb"),
    "a run time of 0 seconds": ({"max_runtime_seconds": 0}, "max_runtime_seconds"),
    "more than nine days": ({"max_runtime_seconds": 777_601}, "max_runtime_seconds"),
    "an image URI of 256 characters": ({"image_uri": "a" * 256}, "image_uri"),
    "eleven inputs": ({"inputs": [any_input(name=f"i{index}") for index in range(11)]}, "inputs"),
    "two inputs of one name": ({"inputs": [any_input(), any_input()]}, "inputs"),
    "an input outside of S3": ({"inputs": [any_input(s3_uri="file:///data")]}, "inputs[data].s3_uri"),
    "an input URI of 1,025 characters": (
        {"inputs": [any_input(s3_uri="s3://b/" + "a" * 1_018)]},
        "inputs[data].s3_uri",
    ),
    "a local path of 257 characters": ({"inputs": [any_input(local_path="/" * 257)]}, "inputs[data].local_path"),
    "gzip in File mode": ({"inputs": [any_input(compression=Compression.GZIP)]}, "inputs[data].compression"),
    "eleven outputs": ({"outputs": [any_output(name=f"o{index}") for index in range(11)]}, "outputs"),
    "an output key without outputs": ({"output_kms_key_id": "alias/key"}, "output_kms_key_id"),
    "101 variables": ({"environment": {f"V{index}": "" for index in range(101)}}, "environment"),
    "a variable that begins with a digit": ({"environment": {"1ST": ""}}, "environment"),
    "a value of 257 characters": ({"environment": {"A": "a" * 257}}, "environment[A]"),
    "an argument of 257 characters": ({"arguments": ["a" * 257]}, "arguments[0]"),
    "101 arguments": ({"arguments": ["a"] * 101}, "arguments"),
    "a path as an argument": ({"arguments": ["$.argument"]}, "arguments[0]"),
    "50 tags besides Step Functions' own": ({"tags": {f"t{index}": "" for index in range(50)}}, "tags"),
    "a tag with a bad character": ({"tags": {"a": "b!"}}, "tags[a]"),
    "subnets without security groups": ({"network": JobNetwork(subnet_ids=["subnet-1"])}, "network"),
    "17 subnets": (
        {"network": JobNetwork(subnet_ids=["s"] * 17, security_group_ids=["g"])},
        "network.subnet_ids",
    ),
    "6 security groups": (
        {"network": JobNetwork(subnet_ids=["s"], security_group_ids=["g"] * 6)},
        "network.security_group_ids",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_literal_outside_of_the_limits_is_refused_by_name(case: str) -> None:
    changes, field = REFUSED[case]
    with pytest.raises(InvalidJobError) as raised:
        any_job(any_stack(), **changes)
    assert {problem.split(": got ")[0] for problem in raised.value.problems} == {field}


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(InvalidJobError) as raised:
        any_job(any_stack(), instance_count=0, volume_size_gb=0, inputs=[any_input(s3_uri="nowhere")])
    assert len(raised.value.problems) == 3
    assert "stack/Score" in str(raised.value)


def test_gzip_is_accepted_in_pipe_mode() -> None:
    stack = any_stack()
    job = any_job(stack, inputs=[any_input(compression=Compression.GZIP, input_mode=InputMode.PIPE)])
    request = definition_of(stack, job)["States"]["Score"]["Parameters"]
    assert request["ProcessingInputs"][0]["S3Input"]["S3CompressionType"] == "Gzip"


def test_the_limits_match_the_service_model() -> None:
    shapes = service_model()
    assert limits("ProcessingInstanceCount") == (1, 100)
    assert limits("ProcessingVolumeSizeInGB") == (1, 16_384)
    assert limits("ProcessingMaxRuntimeInSeconds") == (1, 777_600)
    assert limits("ProcessingInputs")[1] == limits("ProcessingOutputs")[1] == 10
    assert limits("ProcessingEnvironmentMap")[1] == 100
    assert limits("ContainerEntrypoint")[1] == limits("ContainerArguments")[1] == 100
    assert limits("TagList")[1] == 50
    assert (limits("Subnets")[1], limits("VpcSecurityGroupIds")[1]) == (16, 5)
    name = shapes.shape_for("ProcessingJobName").metadata
    assert re.compile(name["pattern"]).pattern == "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    enums = {
        "ProcessingS3DataType": DataType,
        "ProcessingS3InputMode": InputMode,
        "ProcessingS3DataDistributionType": Distribution,
        "ProcessingS3CompressionType": Compression,
        "ProcessingS3UploadMode": UploadMode,
    }
    for shape, ours in enums.items():
        assert {member.value for member in ours} == set(shapes.shape_for(shape).enum)


def test_a_state_machine_in_jsonata_is_refused() -> None:
    stack = any_stack()
    with pytest.raises(RuntimeError, match="JSONata"):
        sfn.StateMachine(
            stack,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(any_job(stack)),
            query_language=sfn.QueryLanguage.JSONATA,
        )


def test_the_package_imports_only_the_cdk() -> None:
    modules: set[str] = set()
    for path in Path(sagemaker_tasks.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    foreign = {name for name in modules if not name.startswith("infra.sagemaker_tasks.")}
    assert foreign == {"re", "collections.abc", "dataclasses", "enum", "typing", "aws_cdk", "constructs"}


NONE_OF_THEM = {"instance_type": None, "instance_count": None, "volume_size_gb": None}


def test_a_path_can_hold_all_fields_of_the_instances() -> None:
    stack = any_stack()
    state = definition_of(stack, any_job(stack, **NONE_OF_THEM, instances_path="$.cluster"))["States"]["Score"]
    assert state["Parameters"]["ProcessingResources"] == {"ClusterConfig.$": "$.cluster"}


@pytest.mark.parametrize(
    "changes",
    [
        NONE_OF_THEM,
        {"instances_path": "$.cluster"},
        {**NONE_OF_THEM, "instances_path": "cluster"},
        {**NONE_OF_THEM, "instances_path": "$.cluster", "volume_kms_key_id": "key"},
    ],
    ids=["neither", "both", "no path", "path and key"],
)
def test_the_instances_are_fields_or_a_path(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidJobError, match="instances_path"):
        any_job(any_stack(), **changes)


def test_conditions_limit_only_the_creation_of_jobs() -> None:
    stack = any_stack()
    isolated = {"Bool": {"sagemaker:NetworkIsolation": "true"}}
    job = any_job(stack, creation_conditions=[isolated])
    (policy,) = [item for item in template_of(stack, job).values() if item["Type"] == "AWS::IAM::Policy"]
    create, others, *_ = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (create["Action"], create["Condition"]) == ("sagemaker:CreateProcessingJob", isolated)
    assert "sagemaker:CreateProcessingJob" not in others["Action"]
    assert "Condition" not in others
