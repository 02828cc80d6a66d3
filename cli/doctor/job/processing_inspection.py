"""The inspection as a processing job: the deployed image, role, key and network.

The request meets the same IAM conditions as those of the workflow.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.doctor.job.inspection import (
    ARGUMENT,
    CHANNEL,
    DATASET,
    JOB_ID,
    MAX_RUNTIME_SECONDS,
    REPORT,
    Inspected,
    instance_fields,
    new_execution_id,
    run_job,
    vpc_fields,
)
from cli.doctor.stage import DeployedStage
from contract import container_paths, layout
from contract.catalog.image_variants import CORE
from contract.json_text import parse_json

WITH_SLASH, WITHOUT_SLASH = "ledger", "plain"
"""The outputs, with S3 addresses that end with a slash and without, like the stage's own."""
MESSAGE = "inspected"
"""The exit message of the inspection."""


def run_inspection(
    stage: DeployedStage, instance_type: str | None = None, *, notice: Callable[[str], None] = lambda _: None
) -> Inspected:
    """Run the job, read what it wrote, and delete everything that it read and wrote.

    Raises:
        ClientError: when the job or its inputs cannot be created.
    """
    execution_id, instance_type = new_execution_id(), instance_type or str(stage.compute.instance_type)
    return run_job(
        stage,
        execution_id,
        "Processing",
        job_request(stage, execution_id, instance_type),
        instance_type=instance_type,
        outputs_prefix=layout.ledger_prefix(execution_id, JOB_ID),
        read_report=_read_report,
        notice=notice,
    )


def job_request(stage: DeployedStage, execution_id: str, instance_type: str) -> dict[str, Any]:
    """Return the CreateProcessingJob request, as the workflow's IAM conditions demand."""
    bucket = stage.deployment.results_bucket
    outputs = layout.s3_uri(bucket, layout.ledger_prefix(execution_id, JOB_ID))
    return {
        "ProcessingJobName": f"{stage.name}-{execution_id}",
        "RoleArn": stage.job_role_arn,
        "AppSpecification": {"ImageUri": stage.images[CORE], "ContainerArguments": [ARGUMENT]},
        "ProcessingInputs": [
            _input("spec", layout.s3_uri(bucket, layout.job_spec_key(execution_id, JOB_ID)), "S3Prefix"),
            _input("snapshot", layout.s3_uri(bucket, layout.snapshot_key(execution_id, DATASET)), "S3Prefix"),
            _input(
                CHANNEL,
                layout.s3_uri(bucket, layout.data_manifest_key(execution_id, JOB_ID, 1)),
                "ManifestFile",
                "ShardedByS3Key",
            ),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                _output(WITH_SLASH, f"{outputs}{WITH_SLASH}/"),
                _output(WITHOUT_SLASH, f"{outputs}{WITHOUT_SLASH}"),
            ],
            "KmsKeyId": stage.key_arn,
        },
        "ProcessingResources": {"ClusterConfig": instance_fields(stage, instance_type)},
        "StoppingCondition": {"MaxRuntimeInSeconds": MAX_RUNTIME_SECONDS},
        "NetworkConfig": {"EnableNetworkIsolation": True, **vpc_fields(stage)},
        "Tags": [{"Key": "fleetscore:stage", "Value": stage.name}],
    }


def _input(name: str, uri: str, data_type: str, distribution: str = "FullyReplicated") -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": container_paths.container_path("input", name),
            "S3DataType": data_type,
            "S3InputMode": "File",
            "S3DataDistributionType": distribution,
            "S3CompressionType": "None",
        },
    }


def _output(name: str, uri: str) -> dict[str, Any]:
    return {
        "OutputName": name,
        "S3Output": {
            "S3Uri": uri,
            "LocalPath": container_paths.container_path("output", name),
            "S3UploadMode": "Continuous",
        },
    }


def _read_report(s3: Any, bucket: str, keys: Sequence[str]) -> Mapping[str, Any] | None:
    written = next((key for key in keys if key.endswith(REPORT)), None)
    return parse_json(s3.get_object(Bucket=bucket, Key=written)["Body"].read()) if written else None
