"""A Step Functions task that runs a SageMaker training job.

aws-cdk-lib's SageMakerCreateTrainingJob accepts no JSONPath for most of a request. With it, the
items of a Map could not differ in their channels, in the use of spot instances, or in
`max_wait_seconds`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.sagemaker_tasks.checks import Checks, InvalidJobError, is_literal, is_path
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

_CHANNEL_NAME = re.compile(r"[A-Za-z0-9.\-_]+")
_LONGEST_SECONDS = 28 * 86_400
"""Longest run and wait, in seconds. From the documentation: the service model has no limit."""


class TrainingInputMode(StrEnum):
    """FILE copies objects before the container starts; FAST_FILE and PIPE stream them."""

    FILE = "File"
    FAST_FILE = "FastFile"
    PIPE = "Pipe"


@dataclass(frozen=True, kw_only=True)
class TrainingChannel:
    """An S3 input, at /opt/ml/input/data/<name> in the container. `s3_uri` may be JSONPath."""

    name: str
    s3_uri: str
    data_type: DataType = DataType.S3_PREFIX
    distribution: Distribution = Distribution.FULLY_REPLICATED
    content_type: str | None = None


class SageMakerTrainingJob(SageMakerSyncTask):
    """A task that creates a training job and waits for its end (`.sync`).

    The result of the state is the response of DescribeTrainingJob.

    Grant permissions to the job's `role` yourself; this construct only passes it to SageMaker.

    >>> from aws_cdk import App, Stack, aws_iam as iam, aws_stepfunctions as sfn
    >>> stack = Stack(App(), "stack")
    >>> role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
    >>> job = SageMakerTrainingJob(
    ...     stack, "Train",
    ...     job_name="$.job_name", job_name_prefix="nightly",
    ...     image_uri="123456789012.dkr.ecr.eu-central-1.amazonaws.com/training:1", role=role,
    ...     channels=[TrainingChannel(name="train", s3_uri="$.data")],
    ...     output_uri="s3://bucket/models/",
    ...     instance_type="ml.m5.xlarge", instance_count=1, volume_size_gb=50,
    ...     max_runtime_seconds=3600, spot=True, max_wait_seconds=7200, checkpoints_uri="$.checkpoints",
    ... )
    >>> retried = job.add_retry(errors=SageMakerTrainingJob.RETRYABLE_ERRORS)
    >>> caught = job.add_catch(sfn.Fail(stack, "Broken"), result_path="$.failure")
    >>> start = job.next(sfn.Succeed(stack, "Done"))

    Args:
        job_name: must never be reused in the account and Region, so nearly always JSONPath.
        job_name_prefix: beginning of every job name, without the hyphen after it. It limits the
            permissions.
        channels: may also be the JSONPath of a whole InputDataConfig, for jobs with different
            channels.
        hyperparameters: strings by name, or the JSONPath of such an object.
        output_uri: SageMaker writes <job name>/output/model.tar.gz below it.
        volume_size_gb: per instance.
        instances_path: JSONPath of the whole ResourceConfig, in place of instance_type,
            instance_count, volume_size_gb and volume_kms_key_id, for jobs that differ in the
            volume's key: SageMaker refuses one for some types, and a path cannot omit a field.
        creation_conditions: IAM conditions of the permission to create jobs, one statement each;
            without any, every job with the name's prefix may be created.
        spot: whether to use managed spot training, or the JSONPath of a boolean.
        max_runtime_seconds: SageMaker stops the job after this time, provisioning not counted.
        max_wait_seconds: only with spot; limits the run time plus all waits for capacity.
        stopping_condition_path: JSONPath of a whole StoppingCondition, in place of the previous two
            arguments, for jobs that differ in spot: MaxWaitTimeInSeconds must be absent without
            spot, and a path cannot omit a field.
        checkpoints_uri: SageMaker saves the container's /opt/ml/checkpoints here and restores it
            from here.
        timeout: longest wait of the state, including provisioning and queueing. The job may run on:
            AWS documents that it is stopped with its execution, not with its state.
        entrypoint, arguments: replace the image's ENTRYPOINT and its argument `train`.
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
        channels: Sequence[TrainingChannel] | str,
        output_uri: str,
        instance_type: str | None = None,
        instance_count: int | str | None = None,
        volume_size_gb: int | str | None = None,
        instances_path: str | None = None,
        creation_conditions: Sequence[Mapping[str, Any]] = (),
        max_runtime_seconds: int | str | None = None,
        max_wait_seconds: int | str | None = None,
        stopping_condition_path: str | None = None,
        spot: bool | str = False,
        hyperparameters: Mapping[str, str] | str | None = None,
        input_mode: TrainingInputMode = TrainingInputMode.FILE,
        checkpoints_uri: str | None = None,
        timeout: sfn.Timeout | Duration | None = None,
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
        checks.text("output_uri", output_uri, S3_URI, 1_024)
        parameters: dict[str, Any] = {
            "TrainingJobName": job_name,
            "RoleArn": role.role_arn,
            "AlgorithmSpecification": {
                "TrainingImage": image_uri,
                "TrainingInputMode": input_mode.value,
                **command(checks, entrypoint, arguments),
            },
            "InputDataConfig": _channels(checks, channels),
            "OutputDataConfig": {"S3OutputPath": output_uri, **_output_key(checks, output_kms_key_id)},
            "ResourceConfig": instances(
                checks,
                instance_type,
                instance_count,
                volume_size_gb,
                key=volume_kms_key_id,
                path=instances_path,
            ),
            "StoppingCondition": _stopping_condition(
                checks, spot, max_runtime_seconds, max_wait_seconds, stopping_condition_path
            ),
            "EnableManagedSpotTraining": spot,
        }
        if hyperparameters:
            parameters["HyperParameters"] = _hyperparameters(checks, hyperparameters)
        if checkpoints_uri is not None:
            checks.text("checkpoints_uri", checkpoints_uri, S3_URI, 1_024)
            parameters["CheckpointConfig"] = {"S3Uri": checkpoints_uri}
        if environment:
            parameters["Environment"] = variables(checks, environment, 512)
        if network is not None:
            parameters |= network_fields(checks, network)
        if tags:
            parameters["Tags"] = tag_list(checks, tags)
        if checks.problems:
            raise InvalidJobError(self.node.path, checks.problems)
        self._set_job("Training", parameters, job_name_prefix, role, creation_conditions)


def _channels(checks: Checks, channels: Sequence[TrainingChannel] | str) -> list[dict[str, Any]] | str:
    if isinstance(channels, str):
        if not is_path(channels):
            checks.add("channels", channels, "TrainingChannel objects, or the JSONPath of an InputDataConfig")
        return channels
    checks.count("channels", channels, 20)
    if not channels:
        checks.add("channels", [], "at least one channel")
    checks.unique("channels", [channel.name for channel in channels])
    for channel in channels:
        checks.text("channels", channel.name, _CHANNEL_NAME, 64, minimum=1)
        checks.text(f"channels[{channel.name}].s3_uri", channel.s3_uri, S3_URI, 1_024)
        checks.text(f"channels[{channel.name}].content_type", channel.content_type or "", None, 256)
    return [
        {
            "ChannelName": channel.name,
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": channel.data_type.value,
                    "S3Uri": channel.s3_uri,
                    "S3DataDistributionType": channel.distribution.value,
                }
            },
            **({"ContentType": channel.content_type} if channel.content_type else {}),
        }
        for channel in channels
    ]


def _output_key(checks: Checks, key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    checks.text("output_kms_key_id", key, KMS_KEY, 2_048)
    return {"KmsKeyId": key}


def _stopping_condition(
    checks: Checks, spot: bool | str, runtime: int | str | None, wait: int | str | None, path: str | None
) -> dict[str, int | str] | str:
    if path is not None:
        if not is_path(path):
            checks.add("stopping_condition_path", path, "the JSONPath of a StoppingCondition")
        if runtime is not None or wait is not None:
            checks.add("stopping_condition_path", path, "None, or neither max_runtime_seconds nor max_wait_seconds")
        return path
    condition: dict[str, int | str] = {}
    if runtime is not None:
        checks.number("max_runtime_seconds", runtime, 1, _LONGEST_SECONDS)
        condition["MaxRuntimeInSeconds"] = runtime
    else:
        checks.add("max_runtime_seconds", None, "a value, or stopping_condition_path: every job needs a time limit")
    if wait is not None:
        checks.number("max_wait_seconds", wait, 1, _LONGEST_SECONDS)
        condition["MaxWaitTimeInSeconds"] = wait
        if spot is False:
            checks.add("max_wait_seconds", wait, "None, because spot is False")
        if isinstance(wait, int) and isinstance(runtime, int) and wait < runtime:
            checks.add(
                "max_wait_seconds", wait, f"at least max_runtime_seconds, {runtime:,}: the limit includes the run"
            )
    elif spot is True:
        checks.add("max_wait_seconds", None, "a value, because spot is True")
    return condition


def _hyperparameters(checks: Checks, values: Mapping[str, str] | str) -> dict[str, str] | str:
    if isinstance(values, str):
        if is_literal(values):
            checks.add("hyperparameters", values, "strings by name, or the JSONPath of such an object")
        return values
    checks.count("hyperparameters", list(values), 100)
    for name, value in values.items():
        checks.text("hyperparameters", name, None, 256, minimum=1)
        checks.text(f"hyperparameters[{name}]", value, None, 2_500)
    return dict(values)
