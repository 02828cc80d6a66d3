"""The inspection as a training job: its own role, the same container, other folders."""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cli.doctor.findings import Finding, Report
from cli.doctor.job import assumptions
from cli.doctor.job.inspection import (
    ARGUMENT,
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
from contract import container_paths, layout, training_layout
from contract.catalog.image_variants import CORE
from contract.json_text import parse_json

_CHANNEL = container_paths.TRAIN_CHANNEL
_MAX_REPORT_BYTES = 4 << 20


def run_training_inspection(
    stage: DeployedStage, instance_type: str | None = None, *, notice: Callable[[str], None] = lambda _: None
) -> Inspected:
    """Run the job, read the report in its artifact, and delete everything that it read and wrote.

    Raises:
        ClientError: when the job or its inputs cannot be created.
    """
    execution_id, instance_type = new_execution_id(), instance_type or str(stage.compute.instance_type)
    request = training_request(stage, execution_id, instance_type)
    artifact = training_layout.trained_artifact_key(execution_id, JOB_ID, request["TrainingJobName"])

    def read_report(s3: Any, bucket: str, keys: Sequence[str]) -> Mapping[str, Any] | None:
        return _report_in(s3.get_object(Bucket=bucket, Key=artifact)["Body"].read()) if artifact in keys else None

    return run_job(
        stage,
        execution_id,
        "Training",
        request,
        instance_type=instance_type,
        outputs_prefix=training_layout.training_output_prefix(execution_id, JOB_ID),
        read_report=read_report,
        notice=notice,
    )


def training_request(stage: DeployedStage, execution_id: str, instance_type: str) -> dict[str, Any]:
    """Return the CreateTrainingJob request, as the workflow's IAM conditions demand."""
    bucket = stage.deployment.results_bucket
    source = {
        "S3DataType": "ManifestFile",
        "S3Uri": layout.s3_uri(bucket, layout.data_manifest_key(execution_id, JOB_ID, 1)),
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "TrainingJobName": f"{stage.name}-{execution_id}",
        "AlgorithmSpecification": {
            "TrainingImage": stage.images[CORE],
            "TrainingInputMode": "File",
            # With an entry point, SageMaker does not add the argument `train`.
            "ContainerEntrypoint": ["python", "-m", "launcher", ARGUMENT],
        },
        "RoleArn": stage.training_role_arn,
        "InputDataConfig": [{"ChannelName": _CHANNEL, "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {
            "S3OutputPath": layout.output_uri(bucket, training_layout.training_output_prefix(execution_id, JOB_ID)),
            "KmsKeyId": stage.key_arn,
        },
        "ResourceConfig": instance_fields(stage, instance_type),
        "StoppingCondition": {"MaxRuntimeInSeconds": MAX_RUNTIME_SECONDS},
        "EnableNetworkIsolation": True,
        "Tags": [{"Key": "fleetscore:stage", "Value": stage.name}],
        **vpc_fields(stage),
    }


def training_findings(inspected: Inspected) -> Iterator[Finding]:
    """Compare the training job and its report with the code's assumptions."""
    completed = Report("training.completed", inspected.name)
    status = inspected.description["TrainingJobStatus"]
    report = inspected.report
    if status != "Completed":
        reason = inspected.description.get("FailureReason") or "no reason is given"
        remedy = "Correct what the reason names, and run the command again."
        yield completed.error(f"the job is {status}: {reason}", remedy)
        return
    if report is None:
        yield completed.error("the job completed without its artifact", assumptions.REPORT_IT)
        return
    yield completed.ok("the job completed, and its artifact is where version registration expects it")
    where = Report("training.manifest", "where objects of a manifest lie below a training channel")
    yield assumptions.manifest_finding(where, inspected, f"input/data/{_CHANNEL}/")
    yield assumptions.mounts_finding(Report("training.mounts", "mounts of a training job's folders"), report)
    yield assumptions.separation_finding(Report("training.separation", "training scripts run as another user"), report)


def _report_in(archive: bytes) -> Mapping[str, Any] | None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = next((member for member in opened if member.name.removeprefix("./") == REPORT), None)
        file = None if found is None or found.size > _MAX_REPORT_BYTES else opened.extractfile(found)
        return None if file is None else parse_json(file.read())
