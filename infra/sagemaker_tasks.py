"""A Step Functions task that runs a SageMaker Processing job to its end; aws-cdk-lib has none (aws/aws-cdk#9537).

The file stands alone: it needs aws-cdk-lib and nothing else of this project. Example:

    job = SageMakerProcessingJob(
        self, "Score",
        job_name="$.job_name", job_name_prefix="nightly",
        image_uri=image.image_uri, role=role,
        instance_type="ml.m5.xlarge", instance_count=2, volume_size_gb=50, max_runtime_seconds=3600,
        inputs=[ProcessingInput(name="data", s3_uri="$.data", local_path="/opt/ml/processing/input/data",
                                distribution=Distribution.SHARDED_BY_S3_KEY)],
        outputs=[ProcessingOutput(name="out", s3_uri="s3://bucket/out/", local_path="/opt/ml/processing/output")],
    )
    job.add_retry(errors=SageMakerProcessingJob.RETRYABLE_ERRORS).add_catch(handler).next(done)

Values typed `int | str` or `str` may be JSONPath (`$.…` or `$$.…`). Literal values are checked against the limits of
the service when the construct is made; what a path or a CDK token stands for is not known then, and is not checked.

JSONPath state machines only: with JSONata the construct refuses to render.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, cast

from aws_cdk import ArnFormat, Duration, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

_JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_JOB_NAME_PREFIX = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,60}[a-zA-Z0-9])?")
_S3_URI = re.compile(r"(https|s3)://([^/]+)/?(.*)")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_VARIABLE_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_VPC_ID = re.compile(r"[-0-9a-zA-Z]{1,32}")
_TAG_CHARACTERS = re.compile(r"[\w\s.:/=+\-@]*")
_KMS_KEY = re.compile(r"[a-zA-Z0-9:/_-]*")
_EVENTS_RULE = "StepFunctionsGetEventsForSageMakerProcessingJobsRule"


class Distribution(StrEnum):
    """How an input's objects reach the instances: all to each, or each to one."""

    FULLY_REPLICATED = "FullyReplicated"
    SHARDED_BY_S3_KEY = "ShardedByS3Key"


class DataType(StrEnum):
    """What an input's URI names: a key prefix, or a manifest that lists the objects."""

    S3_PREFIX = "S3Prefix"
    MANIFEST_FILE = "ManifestFile"


class InputMode(StrEnum):
    """FILE: objects are copied before the container starts. PIPE: they are streamed into a FIFO."""

    FILE = "File"
    PIPE = "Pipe"


class Compression(StrEnum):
    """GZIP is for PIPE only, says the service."""

    NONE = "None"
    GZIP = "Gzip"


class UploadMode(StrEnum):
    """CONTINUOUS uploads files as they appear, so what a killed job has finished is kept."""

    CONTINUOUS = "Continuous"
    END_OF_JOB = "EndOfJob"


@dataclass(frozen=True, kw_only=True)
class ProcessingInput:
    """An S3 input. `s3_uri` may be JSONPath; `local_path` lies below /opt/ml/processing."""

    name: str
    s3_uri: str
    local_path: str
    data_type: DataType = DataType.S3_PREFIX
    distribution: Distribution = Distribution.FULLY_REPLICATED
    input_mode: InputMode = InputMode.FILE
    compression: Compression = Compression.NONE


@dataclass(frozen=True, kw_only=True)
class ProcessingOutput:
    """An S3 output. `s3_uri` may be JSONPath; `local_path` lies below /opt/ml/processing."""

    name: str
    s3_uri: str
    local_path: str
    upload_mode: UploadMode = UploadMode.END_OF_JOB


@dataclass(frozen=True, kw_only=True)
class ProcessingNetwork:
    """Isolation cuts the container off from all networks, S3 included. Subnets and security groups: both or none."""

    isolation: bool = False
    encrypt_traffic_between_instances: bool = False
    subnet_ids: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()


class InvalidProcessingJobError(ValueError):
    """Properties that CreateProcessingJob would refuse; `problems` holds every finding."""

    def __init__(self, construct_path: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{construct_path}: " + "; ".join(problems))


class SageMakerProcessingJob(sfn.TaskStateBase):
    """Creates a processing job and waits for its end (`.sync`); the result is DescribeProcessingJob's.

    The state machine's role gets what this needs: the job's actions on names that begin with `job_name_prefix` and a
    hyphen, iam:PassRole of `role` to SageMaker, and the managed EventBridge rule that reports the job's end.
    The job's own `role` is the caller's to fill.

    Args:
        job_name: unique for all time in the account and Region; nearly always JSONPath.
        job_name_prefix: what every name begins with, without the hyphen after it. It bounds the permissions.
        volume_size_gb: per instance.
        max_runtime_seconds: after it SageMaker stops the job. Provisioning is not counted.
        timeout: how long the state waits, provisioning and queueing included; then the job is stopped.
        output_kms_key_id: key id, ARN or alias that encrypts the outputs.
        volume_kms_key_id: only for instance types without local NVMe storage.
        entrypoint, arguments: replace the image's ENTRYPOINT and CMD.
        environment, tags: literal keys; values may be JSONPath.

    Raises:
        InvalidProcessingJobError: with every literal that breaks a limit of the service.
    """

    RETRYABLE_ERRORS: ClassVar[list[str]] = [
        "SageMaker.AmazonSageMakerException",
        "SageMaker.ResourceLimitExceededException",
        # Forms seen in public definitions; harmless where the service never sends them.
        "SageMaker.ResourceLimitExceeded",
        "SageMaker.ThrottlingException",
    ]
    """Errors of the API call, which says nothing about the job: it was not created. The first two are documented."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - the name that every construct uses
        *,
        job_name: str,
        job_name_prefix: str,
        image_uri: str,
        role: iam.IRole,
        instance_type: str,
        instance_count: int | str,
        volume_size_gb: int | str,
        max_runtime_seconds: int | str | None = None,
        timeout: sfn.Timeout | Duration | None = None,
        inputs: Sequence[ProcessingInput] = (),
        outputs: Sequence[ProcessingOutput] = (),
        entrypoint: Sequence[str] = (),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        network: ProcessingNetwork | None = None,
        output_kms_key_id: str | None = None,
        volume_kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        comment: str | None = None,
        result_path: str | None = None,
        result_selector: Mapping[str, Any] | None = None,
    ) -> None:
        wait = sfn.Timeout.duration(timeout) if isinstance(timeout, Duration) else timeout
        super().__init__(scope, id, comment=comment, result_path=result_path, task_timeout=wait)
        self._wait = wait
        self._shown_result = dict(result_selector) if result_selector else None
        self._where_result_goes = result_path
        checks = _Checks()
        checks.text("job_name", job_name, _JOB_NAME, 63)
        checks.text("job_name_prefix", job_name_prefix, _JOB_NAME_PREFIX, 62)
        if _is_literal(job_name) and not job_name.startswith(f"{job_name_prefix}-"):
            checks.add(
                "job_name", job_name, f"a name that begins with job_name_prefix and a hyphen, {job_name_prefix}-"
            )
        parameters: dict[str, Any] = {
            "ProcessingJobName": job_name,
            "RoleArn": role.role_arn,
            "AppSpecification": _app_specification(checks, image_uri, entrypoint, arguments),
            "ProcessingResources": {
                "ClusterConfig": _cluster(checks, instance_type, instance_count, volume_size_gb, volume_kms_key_id)
            },
        }
        if max_runtime_seconds is not None:
            checks.number("max_runtime_seconds", max_runtime_seconds, 1, 777_600)
            parameters["StoppingCondition"] = {"MaxRuntimeInSeconds": max_runtime_seconds}
        if inputs:
            parameters["ProcessingInputs"] = _inputs(checks, inputs)
        if outputs:
            parameters["ProcessingOutputConfig"] = _outputs(checks, outputs, output_kms_key_id)
        elif output_kms_key_id is not None:
            checks.add("output_kms_key_id", output_kms_key_id, "None, because there are no outputs")
        if environment:
            parameters["Environment"] = _environment(checks, environment)
        if network is not None:
            parameters["NetworkConfig"] = _network(checks, network)
        if tags:
            parameters["Tags"] = _tags(checks, tags)
        if checks.problems:
            raise InvalidProcessingJobError(self.node.path, checks.problems)
        self._request = parameters
        self.job_arns = Stack.of(self).format_arn(
            service="sagemaker", resource="processing-job", resource_name=f"{job_name_prefix}-*"
        )
        self._statements = _statements(Stack.of(self), self.job_arns, role)

    @property
    def _task_metrics(self) -> sfn.TaskMetricsConfig | None:
        return None

    @property
    def _task_policies(self) -> list[iam.PolicyStatement]:
        return self._statements

    def to_state_json(self, top_level_query_language: sfn.QueryLanguage | None = None) -> Mapping[Any, Any]:
        # TaskStateBase delegates to a method that jsii does not show to Python, so all of the state is rendered here.
        if top_level_query_language == sfn.QueryLanguage.JSONATA:
            raise ValueError(f"{self.node.path}: state machines in JSONata are not supported, use JSONPath")
        state: dict[str, Any] = {
            **cast("dict[str, Any]", self._render_next_end()),
            **cast("dict[str, Any]", self._render_retry_catch()),
            "Type": "Task",
            "Comment": self._comment,
            "TimeoutSeconds": self._wait.seconds if self._wait else None,
            "TimeoutSecondsPath": self._wait.path if self._wait else None,
            "Resource": f"arn:{Stack.of(self).partition}:states:::sagemaker:createProcessingJob.sync",
            "Parameters": _with_paths(self._request),
            "ResultSelector": self._shown_result,
            "ResultPath": self._where_result_goes,
        }
        return {name: value for name, value in state.items() if value is not None}


def _is_path(value: object) -> bool:
    # A CDK token begins with a dollar sign too, and a brace.
    return isinstance(value, str) and (value == "$" or value.startswith(("$.", "$$.", "$[")))


def _is_literal(value: object) -> bool:
    return not Token.is_unresolved(value) and not _is_path(value)


def _with_paths(value: Any) -> Any:
    """Amazon States Language marks a field whose value is a path by `.$` at the end of its name."""
    if isinstance(value, Mapping):
        return {f"{name}.$" if _is_path(item) else name: _with_paths(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_paths(item) for item in value]
    return value


class _Checks:
    """Collects what breaks a limit. The limits are those of botocore's service model of CreateProcessingJob."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def add(self, name: str, value: object, expected: str) -> None:
        self.problems.append(f"{name}: got {value!r}, expected {expected}")

    def text(self, name: str, value: str, pattern: re.Pattern[str] | None, most: int, least: int = 0) -> None:
        if not _is_literal(value):
            return
        if not least <= len(value) <= most:
            self.add(name, value, f"{least} to {most} characters")
        if pattern and not pattern.fullmatch(value):
            self.add(name, value, f"text that matches {pattern.pattern}")

    def number(self, name: str, value: int | str, low: int, high: int) -> None:
        if _is_literal(value) and not (isinstance(value, int) and low <= value <= high):
            self.add(name, value, f"a whole number from {low:,} to {high:,}")

    def count(self, name: str, items: Sequence[object], most: int) -> None:
        if len(items) > most:
            self.add(name, f"{len(items)} of them", f"at most {most}")

    def unique(self, name: str, names: Sequence[str]) -> None:
        repeated = sorted({item for item in names if names.count(item) > 1})
        if repeated:
            self.add(name, repeated, "each name once")


def _app_specification(
    checks: _Checks, image_uri: str, entrypoint: Sequence[str], arguments: Sequence[str]
) -> dict[str, Any]:
    checks.text("image_uri", image_uri, None, 255, least=1)
    found: dict[str, Any] = {"ImageUri": image_uri}
    words = (("entrypoint", "ContainerEntrypoint", entrypoint), ("arguments", "ContainerArguments", arguments))
    for name, field, values in words:
        checks.count(name, values, 100)
        for index, value in enumerate(values):
            checks.text(f"{name}[{index}]", value, None, 256)
            if _is_path(value):
                checks.add(
                    f"{name}[{index}]", value, "a literal: an item of a list cannot be JSONPath, use environment"
                )
        if values:
            found[field] = list(values)
    return found


def _cluster(
    checks: _Checks, instance_type: str, instance_count: int | str, volume_size_gb: int | str, key: str | None
) -> dict[str, Any]:
    checks.text("instance_type", instance_type, _INSTANCE_TYPE, 64)
    checks.number("instance_count", instance_count, 1, 100)
    checks.number("volume_size_gb", volume_size_gb, 1, 16_384)
    cluster: dict[str, Any] = {
        "InstanceType": instance_type,
        "InstanceCount": instance_count,
        "VolumeSizeInGB": volume_size_gb,
    }
    if key is not None:
        checks.text("volume_kms_key_id", key, _KMS_KEY, 2_048)
        cluster["VolumeKmsKeyId"] = key
    return cluster


def _inputs(checks: _Checks, inputs: Sequence[ProcessingInput]) -> list[dict[str, Any]]:
    checks.count("inputs", inputs, 10)
    checks.unique("inputs", [item.name for item in inputs])
    for item in inputs:
        checks.text(f"inputs[{item.name}].s3_uri", item.s3_uri, _S3_URI, 1_024)
        checks.text(f"inputs[{item.name}].local_path", item.local_path, None, 256, least=1)
        if item.compression is Compression.GZIP and item.input_mode is not InputMode.PIPE:
            checks.add(f"inputs[{item.name}].compression", item.compression.value, "None unless input_mode is Pipe")
    return [
        {
            "InputName": item.name,
            "S3Input": {
                "S3Uri": item.s3_uri,
                "LocalPath": item.local_path,
                "S3DataType": item.data_type.value,
                "S3InputMode": item.input_mode.value,
                "S3DataDistributionType": item.distribution.value,
                "S3CompressionType": item.compression.value,
            },
        }
        for item in inputs
    ]


def _outputs(checks: _Checks, outputs: Sequence[ProcessingOutput], key: str | None) -> dict[str, Any]:
    checks.count("outputs", outputs, 10)
    checks.unique("outputs", [item.name for item in outputs])
    for item in outputs:
        checks.text(f"outputs[{item.name}].s3_uri", item.s3_uri, _S3_URI, 1_024)
        checks.text(f"outputs[{item.name}].local_path", item.local_path, None, 256, least=1)
    config: dict[str, Any] = {
        "Outputs": [
            {
                "OutputName": item.name,
                "S3Output": {
                    "S3Uri": item.s3_uri,
                    "LocalPath": item.local_path,
                    "S3UploadMode": item.upload_mode.value,
                },
            }
            for item in outputs
        ]
    }
    if key is not None:
        checks.text("output_kms_key_id", key, _KMS_KEY, 2_048)
        config["KmsKeyId"] = key
    return config


def _environment(checks: _Checks, environment: Mapping[str, str]) -> dict[str, str]:
    checks.count("environment", list(environment), 100)
    for name, value in environment.items():
        checks.text("environment", name, _VARIABLE_NAME, 256)
        checks.text(f"environment[{name}]", value, None, 256)
    return dict(environment)


def _network(checks: _Checks, network: ProcessingNetwork) -> dict[str, Any]:
    config: dict[str, Any] = {
        "EnableNetworkIsolation": network.isolation,
        "EnableInterContainerTrafficEncryption": network.encrypt_traffic_between_instances,
    }
    subnets, groups = list(network.subnet_ids), list(network.security_group_ids)
    if bool(subnets) != bool(groups):
        checks.add("network", {"subnet_ids": subnets, "security_group_ids": groups}, "both lists filled, or both empty")
    checks.count("network.subnet_ids", subnets, 16)
    checks.count("network.security_group_ids", groups, 5)
    for name, values in (("subnet_ids", subnets), ("security_group_ids", groups)):
        for index, value in enumerate(values):
            checks.text(f"network.{name}[{index}]", value, _VPC_ID, 32)
    if subnets and groups:
        config["VpcConfig"] = {"SecurityGroupIds": groups, "Subnets": subnets}
    return config


def _tags(checks: _Checks, tags: Mapping[str, str]) -> list[dict[str, str]]:
    # Step Functions adds one tag of its own to a job that it waits for.
    checks.count("tags", list(tags), 49)
    for name, value in tags.items():
        checks.text("tags", name, _TAG_CHARACTERS, 128, least=1)
        checks.text(f"tags[{name}]", value, _TAG_CHARACTERS, 256)
    return [{"Key": name, "Value": value} for name, value in tags.items()]


def _statements(stack: Stack, job_arns: str, role: iam.IRole) -> list[iam.PolicyStatement]:
    rule = stack.format_arn(
        service="events", resource="rule", resource_name=_EVENTS_RULE, arn_format=ArnFormat.SLASH_RESOURCE_NAME
    )
    return [
        iam.PolicyStatement(
            actions=[
                "sagemaker:CreateProcessingJob",
                "sagemaker:DescribeProcessingJob",
                "sagemaker:StopProcessingJob",
                "sagemaker:ListTags",
                "sagemaker:AddTags",
            ],
            resources=[job_arns],
        ),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.PolicyStatement(actions=["events:PutTargets", "events:PutRule", "events:DescribeRule"], resources=[rule]),
    ]
