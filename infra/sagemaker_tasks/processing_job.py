"""A Step Functions task that runs a SageMaker Processing job.

aws-cdk-lib has no such task (aws/aws-cdk#9537).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.sagemaker_tasks.checks import Checks, InvalidJobError
from infra.sagemaker_tasks.request_parts import (
    KMS_KEY,
    S3_URI,
    DataType,
    Distribution,
    JobNetwork,
    check_job_name,
    command,
    instances,
    network_fields,
    tag_list,
    variables,
)
from infra.sagemaker_tasks.sync_task import SageMakerSyncTask


class InputMode(StrEnum):
    """FILE copies objects before the container starts; PIPE streams them into a FIFO."""

    FILE = "File"
    PIPE = "Pipe"


class Compression(StrEnum):
    """Compression of an input. The service accepts GZIP only with InputMode.PIPE."""

    NONE = "None"
    GZIP = "Gzip"


class UploadMode(StrEnum):
    """When outputs are uploaded. CONTINUOUS keeps the finished files of a job that is killed."""

    CONTINUOUS = "Continuous"
    END_OF_JOB = "EndOfJob"


@dataclass(frozen=True, kw_only=True)
class ProcessingInput:
    """An S3 input. `s3_uri` may be JSONPath; `local_path` is below /opt/ml/processing."""

    name: str
    s3_uri: str
    local_path: str
    data_type: DataType = DataType.S3_PREFIX
    distribution: Distribution = Distribution.FULLY_REPLICATED
    input_mode: InputMode = InputMode.FILE
    compression: Compression = Compression.NONE


@dataclass(frozen=True, kw_only=True)
class ProcessingOutput:
    """An S3 output. `s3_uri` may be JSONPath; `local_path` is below /opt/ml/processing."""

    name: str
    s3_uri: str
    local_path: str
    upload_mode: UploadMode = UploadMode.END_OF_JOB


class SageMakerProcessingJob(SageMakerSyncTask):
    """A task that creates a processing job and waits for its end (`.sync`).

    The result of the state is the response of DescribeProcessingJob.

    Grant permissions to the job's `role` yourself; this construct only passes it to SageMaker.

    >>> from aws_cdk import App, Stack, aws_iam as iam, aws_stepfunctions as sfn
    >>> stack = Stack(App(), "stack")
    >>> role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
    >>> job = SageMakerProcessingJob(
    ...     stack, "Score",
    ...     job_name="$.job_name", job_name_prefix="nightly",
    ...     image_uri="123456789012.dkr.ecr.eu-central-1.amazonaws.com/scoring:1", role=role,
    ...     instance_type="ml.m5.xlarge", instance_count=2, volume_size_gb=50, max_runtime_seconds=3600,
    ...     inputs=[ProcessingInput(name="data", s3_uri="$.data",
    ...                             local_path="/opt/ml/processing/input/data",
    ...                             distribution=Distribution.SHARDED_BY_S3_KEY)],
    ...     outputs=[ProcessingOutput(name="out", s3_uri="s3://bucket/out/",
    ...                               local_path="/opt/ml/processing/output")],
    ... )
    >>> retried = job.add_retry(errors=SageMakerProcessingJob.RETRYABLE_ERRORS)
    >>> caught = job.add_catch(sfn.Fail(stack, "Broken"), result_path="$.failure")
    >>> start = job.next(sfn.Succeed(stack, "Done"))

    Args:
        job_name: must never be reused in the account and Region, so nearly always JSONPath.
        job_name_prefix: beginning of every job name, without the hyphen after it. It limits the
            permissions.
        volume_size_gb: per instance.
        instances_path: JSONPath of the whole ClusterConfig, in place of instance_type,
            instance_count, volume_size_gb and volume_kms_key_id, for jobs that differ in the
            volume's key: SageMaker refuses one for some types, and a path cannot omit a field.
        creation_conditions: IAM conditions of the permission to create jobs, one statement each;
            without any, every job with the name's prefix may be created.
        max_runtime_seconds: SageMaker stops the job after this time, provisioning not counted.
        timeout: longest wait of the state, including provisioning and queueing. The job may run on:
            AWS documents that it is stopped with its execution, not with its state.
        output_kms_key_id: id, ARN or alias of the key that encrypts the outputs.
        volume_kms_key_id: only for instance types without local NVMe storage.
        entrypoint, arguments: replace the image's ENTRYPOINT and CMD.
        environment, tags: literal keys; values may be JSONPath.

    Raises:
        InvalidJobError: lists every literal that violates a limit of the service.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - the name that every construct uses
        *,
        job_name: str,
        job_name_prefix: str,
        image_uri: str,
        role: iam.IRole,
        instance_type: str | None = None,
        instance_count: int | str | None = None,
        volume_size_gb: int | str | None = None,
        instances_path: str | None = None,
        creation_conditions: Sequence[Mapping[str, Any]] = (),
        max_runtime_seconds: int | str | None = None,
        timeout: sfn.Timeout | Duration | None = None,
        inputs: Sequence[ProcessingInput] = (),
        outputs: Sequence[ProcessingOutput] = (),
        entrypoint: Sequence[str] = (),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        network: JobNetwork | None = None,
        output_kms_key_id: str | None = None,
        volume_kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        comment: str | None = None,
        result_path: str | None = None,
        result_selector: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            scope, id, timeout=timeout, comment=comment, result_path=result_path, result_selector=result_selector
        )
        checks = Checks()
        check_job_name(checks, job_name, job_name_prefix)
        checks.text("image_uri", image_uri, None, 255, minimum=1)
        parameters: dict[str, Any] = {
            "ProcessingJobName": job_name,
            "RoleArn": role.role_arn,
            "AppSpecification": {"ImageUri": image_uri, **command(checks, entrypoint, arguments)},
            "ProcessingResources": {
                "ClusterConfig": instances(
                    checks,
                    instance_type,
                    instance_count,
                    volume_size_gb,
                    key=volume_kms_key_id,
                    path=instances_path,
                )
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
            parameters["Environment"] = variables(checks, environment, 256)
        if network is not None:
            parameters["NetworkConfig"] = network_fields(checks, network)
        if tags:
            parameters["Tags"] = tag_list(checks, tags)
        if checks.problems:
            raise InvalidJobError(self.node.path, checks.problems)
        self._set_job("Processing", parameters, job_name_prefix, role, creation_conditions)


def _inputs(checks: Checks, inputs: Sequence[ProcessingInput]) -> list[dict[str, Any]]:
    checks.count("inputs", inputs, 10)
    checks.unique("inputs", [item.name for item in inputs])
    for item in inputs:
        checks.text(f"inputs[{item.name}].s3_uri", item.s3_uri, S3_URI, 1_024)
        checks.text(f"inputs[{item.name}].local_path", item.local_path, None, 256, minimum=1)
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


def _outputs(checks: Checks, outputs: Sequence[ProcessingOutput], key: str | None) -> dict[str, Any]:
    checks.count("outputs", outputs, 10)
    checks.unique("outputs", [item.name for item in outputs])
    for item in outputs:
        checks.text(f"outputs[{item.name}].s3_uri", item.s3_uri, S3_URI, 1_024)
        checks.text(f"outputs[{item.name}].local_path", item.local_path, None, 256, minimum=1)
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
        checks.text("output_kms_key_id", key, KMS_KEY, 2_048)
        config["KmsKeyId"] = key
    return config
