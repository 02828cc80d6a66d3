"""Training jobs that run: channels, archives, environment, metrics and descriptions."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded.sagemaker.jobs.job_types import TRAINING
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import Aws, allow
from tests.unit.embedded.sagemaker.conftest import ServiceMaker
from tests.unit.embedded.sagemaker.jobs.training.requests import (
    archive,
    channel,
    has_archive,
    resources,
    run,
    statuses,
    training_request,
)

Trainer = Callable[..., str]
COPY_ALL = """
for source in sorted(DATA.rglob("*")):
    if source.is_file():
        target = MODEL / HOST / source.relative_to(DATA)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes().upper())
"""


def test_a_job_reads_channels_and_uploads_a_model(
    any_service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    aws.put(f"{prefix}in/a.txt", "alpha")
    aws.put(f"{prefix}in/deep/b.txt", "beta")
    image = trainer(COPY_ALL + '(ML / "output/data/report.txt").write_text("fine")')
    data = channel("train", f"s3://{aws.bucket}/{prefix}in/")
    described = run(any_service, training_request(aws, image, prefix, InputDataConfig=[data]))
    name = described["TrainingJobName"]
    assert described["TrainingJobStatus"] == described["SecondaryStatus"] == "Completed", described
    assert "FailureReason" not in described
    uri = f"s3://{aws.bucket}/{prefix}models/{name}/output/model.tar.gz"
    assert described["ModelArtifacts"] == {"S3ModelArtifacts": uri}
    assert archive(aws, described) == {"algo-1/train/a.txt": b"ALPHA", "algo-1/train/deep/b.txt": b"BETA"}
    assert archive(aws, described, "output.tar.gz") == {"report.txt": b"fine"}


def test_an_empty_model_is_archived_and_empty_output_data_is_not(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    described = run(service, training_request(aws, trainer(""), prefix))
    assert described["TrainingJobStatus"] == "Completed"
    assert archive(aws, described) == {}
    assert not has_archive(aws, described, "output.tar.gz")


def test_two_instances_shard_a_channel_and_upload_one_model(
    any_service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    for name in "cabde":
        aws.put(f"{prefix}in/{name}", name)
    manifest = [{"prefix": f"s3://{aws.bucket}/{prefix}in/"}, "d", "b"]
    uri = aws.put(f"{prefix}some.manifest", json.dumps(manifest))
    request = training_request(
        aws,
        trainer(COPY_ALL),
        prefix,
        ResourceConfig=resources(2),
        InputDataConfig=[
            channel("train", f"s3://{aws.bucket}/{prefix}in/", S3DataDistributionType="ShardedByS3Key"),
            channel("validation", uri, S3DataType="ManifestFile"),
        ],
    )
    described = run(any_service, request)
    assert described["TrainingJobStatus"] == "Completed", described
    assert set(archive(aws, described)) == {
        *(f"algo-1/train/{name}" for name in "ace"),
        *(f"algo-2/train/{name}" for name in "bd"),
        *(f"{host}/validation/{name}" for host in ("algo-1", "algo-2") for name in "bd"),
    }


def test_the_same_file_on_two_hosts_fails_the_job(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer('(MODEL / "model.bin").write_text(HOST)')
    described = run(service, training_request(aws, image, prefix, ResourceConfig=resources(2)))
    assert described["TrainingJobStatus"] == "Failed"
    assert "algo-1 and algo-2 have both written model.bin to /opt/ml/model" in described["FailureReason"]


def test_the_container_gets_the_documented_files_and_variables(
    any_service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    image = trainer("""
(MODEL / "seen.json").write_text(json.dumps({
    "env": dict(os.environ), "argv": sys.argv[1:], "hyperparameters": config("hyperparameters"),
    "channels": config("inputdataconfig"), "resources": config("resourceconfig"),
    "folders": [p.is_dir() for p in (CHECKPOINTS, ML / "output/data", DATA / "train")],
}))
""")
    aws.put(f"{prefix}in/a")
    request = training_request(
        aws,
        image,
        prefix,
        HyperParameters={"eta": "0.1", "text": "a b"},
        Environment={"SIZE": "small"},
        CheckpointConfig={"S3Uri": f"s3://{aws.bucket}/{prefix}checkpoints"},
        InputDataConfig=[{**channel("train", f"s3://{aws.bucket}/{prefix}in/"), "ContentType": "text/csv"}],
    )
    described = run(any_service, request)
    seen = json.loads(archive(aws, described)["seen.json"])
    assert seen["argv"] == ["train"]
    assert seen["hyperparameters"] == {"eta": "0.1", "text": "a b"}
    assert seen["channels"] == {
        "train": {
            "ContentType": "text/csv",
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
    }
    assert (seen["resources"]["current_host"], seen["resources"]["hosts"]) == ("algo-1", ["algo-1"])
    assert seen["folders"] == [True, True, True]
    assert seen["env"]["TRAINING_JOB_NAME"] == described["TrainingJobName"]
    assert seen["env"]["TRAINING_JOB_ARN"] == described["TrainingJobArn"]
    assert seen["env"]["SIZE"] == "small"
    assert seen["env"]["AWS_SESSION_TOKEN"]
    assert "SECRET_OF_THE_SHELL" not in seen["env"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ContainerArguments": ["--fast"]}, ["--fast"]),
        ({"ContainerEntrypoint": ["python3", "/opt/program/main.py"]}, []),
        ({"ContainerEntrypoint": ["python3", "/opt/program/main.py"], "ContainerArguments": ["x", "y"]}, ["x", "y"]),
    ],
)
def test_the_request_can_replace_entry_point_and_arguments(
    *,
    service: SageMakerService,
    aws: Aws,
    trainer: Trainer,
    prefix: str,
    changes: dict[str, Any],
    expected: list[str],
) -> None:
    request = training_request(aws, trainer('(MODEL / "argv").write_text(json.dumps(sys.argv[1:]))'), prefix)
    request["AlgorithmSpecification"] |= changes
    assert json.loads(archive(aws, run(service, request))["argv"]) == expected


def test_network_isolation_removes_credentials(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer('(MODEL / "aws").write_text(json.dumps([name for name in os.environ if name.startswith("AWS_")]))')
    described = run(service, training_request(aws, image, prefix, EnableNetworkIsolation=True))
    assert json.loads(archive(aws, described)["aws"]) == []


def test_the_description_lists_all_secondary_statuses(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    aws.put(f"{prefix}in/a")
    data = channel("train", f"s3://{aws.bucket}/{prefix}in/")
    described = run(service, training_request(aws, trainer(""), prefix, InputDataConfig=[data]))
    transitions = described["SecondaryStatusTransitions"]
    assert statuses(described) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(a["EndTime"] == b["StartTime"] for a, b in itertools.pairwise(transitions))
    assert transitions[-1]["EndTime"] == described["TrainingEndTime"]
    assert transitions[-1]["StatusMessage"] == "Training job completed"
    assert described["CreationTime"] <= described["TrainingStartTime"] <= described["TrainingEndTime"]
    assert described["TrainingTimeInSeconds"] >= described["BillableTimeInSeconds"] >= 0
    assert described["EnableManagedSpotTraining"] is False
    assert described["OutputDataConfig"]["CompressionType"] == "GZIP"
    assert described["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] == "FullyReplicated"


def test_metrics_are_extracted_from_the_output(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer("""
for number in range(3):
    print(f"[{number}] validation-auc:{0.5 + number / 10:.1f} loss=none gain=nan", flush=True)
""")
    request = training_request(aws, image, prefix)
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "validation:auc", "Regex": r"validation-auc:([0-9\.]+)"},
        {"Name": "loss", "Regex": r"loss=(\w+)"},
        {"Name": "gain", "Regex": r"gain=(\w+)"},
    ]
    described = run(service, request)
    [metric] = described["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("validation:auc", 0.7)
    assert described["TrainingStartTime"] <= metric["Timestamp"] <= described["TrainingEndTime"]


def test_output_goes_to_the_log_group_of_training_jobs(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    described = run(service, training_request(aws, trainer('print("one")\nprint("two", file=sys.stderr)'), prefix))
    logs, group = aws.client("logs"), TRAINING.kind.log_group
    assert group == "/aws/sagemaker/TrainingJobs"
    name = described["TrainingJobName"]
    [stream] = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/algo-1-")["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    assert sorted(event["message"] for event in events["events"]) == ["one", "two"]


def test_jobs_of_different_kinds_can_have_the_same_name(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str, tmp_path: Path
) -> None:
    request = training_request(aws, trainer('print("trained")'), prefix, TrainingJobName="same")
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    processing = {
        "ProcessingJobName": "same",
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {"ImageUri": "none"},
        "RoleArn": aws.role_arn,
    }
    service.call("CreateProcessingJob", processing)
    assert run(service, request)["TrainingJobStatus"] == "Completed"
    assert service.job("same").wait(30)
    assert service.job("same").describe()["ProcessingJobStatus"] == "Failed"
    assert (tmp_path / "sagemaker-0/logs/training-job/same/algo-1.log").read_text() == "trained\n"


def test_archives_are_encrypted_with_the_requested_key(
    make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]
    asked = []

    def authorize(role_arn: str, action: str, resource: str, _context: dict[str, Any]) -> bool:
        asked.append((role_arn, action, resource))
        return len(asked) == 1

    service = make_service(authorize=authorize)
    output = {"S3OutputPath": f"s3://{aws.bucket}/{prefix}models", "KmsKeyId": key["KeyId"]}
    image = trainer('(MODEL / "a").write_text("1")')
    described = run(service, training_request(aws, image, prefix, OutputDataConfig=output))
    assert described["TrainingJobStatus"] == "Completed", described
    assert asked == [(aws.role_arn, "kms:GenerateDataKey", key["Arn"])]
    name = described["TrainingJobName"]
    head = aws.client("s3").head_object(Bucket=aws.bucket, Key=f"{prefix}models/{name}/output/model.tar.gz")
    assert key["KeyId"] in head["SSEKMSKeyId"]
    refused = run(service, training_request(aws, image, prefix, OutputDataConfig=output))
    assert refused["TrainingJobStatus"] == "Failed"
    assert f"the key {key['KeyId']} may not be used" in refused["FailureReason"]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (allow("s3:GetObject", "s3:PutObject"), "ListObjectsV2 failed for s3://jobs-data/{prefix}in/: AccessDenied"),
        (allow("s3:ListBucket", "s3:PutObject"), "GetObject failed for s3://jobs-data/{prefix}in/a: AccessDenied"),
        (allow("s3:ListBucket", "s3:GetObject"), "PutObject failed for s3://jobs-data/{prefix}models/"),
    ],
)
def test_transfers_need_the_permissions_of_the_job_role(
    *, service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str, statement: dict[str, Any], reason: str
) -> None:
    aws.put(f"{prefix}in/a")
    data = channel("train", f"s3://{aws.bucket}/{prefix}in/")
    role = aws.make_role(statement)
    described = run(service, training_request(aws, trainer(""), prefix, InputDataConfig=[data], RoleArn=role))
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Failed", "Failed")
    assert reason.format(prefix=prefix) in described["FailureReason"]
    assert role in described["FailureReason"]
