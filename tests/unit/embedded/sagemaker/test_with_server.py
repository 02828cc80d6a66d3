"""The service in a running embedded AWS: over TLS, with IAM enforced, and when the server dies."""

import contextlib
import os
import re
import select
import signal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from embedded.server.embedded_aws import EmbeddedAws
from tests.unit.embedded.sagemaker.account import (
    PRELUDE,
    Aws,
    account_of,
    allow,
    job_request,
    processes_of,
    s3_input,
    s3_outputs,
)

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/test:1"
CODE = """
import subprocess
subprocess.Popen(["sleep", "600"])
(OUTPUT / "started/yes").touch()
signal.pause()
"""
"""Starts a child process, writes an output, and waits."""


def register(server: EmbeddedAws, context: Path, code: str) -> None:
    context.mkdir()
    (context / "main.py").write_text(PRELUDE + code)
    (context / "Dockerfile").write_text('FROM python\nCOPY main.py /app/\nENTRYPOINT ["python", "/app/main.py"]')
    server.images.register(IMAGE, context)


def start_job(server: EmbeddedAws, aws: Aws, context: Path) -> str:
    """Start a job that waits for a signal, and return its name."""
    register(server, context, CODE)
    outputs = s3_outputs(f"s3://{aws.bucket}/", "started", mode="Continuous")
    request = job_request(aws, IMAGE, ProcessingOutputConfig=outputs)
    aws.client("sagemaker").create_processing_job(**request)
    aws.client("s3").get_waiter("object_exists").wait(
        Bucket=aws.bucket, Key="started/yes", WaiterConfig={"Delay": 0.05, "MaxAttempts": 600}
    )
    return str(request["ProcessingJobName"])


def test_boto3_starts_and_stops_a_job_over_tls(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    aws = account_of(embedded_aws.endpoint)
    sagemaker = aws.client("sagemaker")
    name = start_job(embedded_aws, aws, tmp_path / "context")
    assert sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "InProgress"
    sagemaker.stop_processing_job(ProcessingJobName=name)
    sagemaker.get_waiter("processing_job_completed_or_stopped").wait(
        ProcessingJobName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    assert sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Stopped"


def test_a_job_reads_objects_of_any_name_and_writes_its_log(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    aws = account_of(embedded_aws.endpoint)
    register(embedded_aws, tmp_path / "context", "for each in sorted((INPUT / 'in').iterdir()): print(each.name)")
    names = ["a b+c.txt", "d%20e&f.txt", "g<h>\x01.txt", "ü?#.txt"]
    for name in names:
        aws.put(f"in/ö+&/{name}")
    aws.put("in/other")
    aws.role_arn = aws.make_role(allow("s3:GetObject", "s3:ListBucket", "logs:*"))
    inputs = [s3_input("in", f"s3://{aws.bucket}/in/ö+&/")]
    request = job_request(aws, IMAGE, ProcessingInputs=inputs)
    sagemaker, name = aws.client("sagemaker"), request["ProcessingJobName"]
    sagemaker.create_processing_job(**request)
    sagemaker.get_waiter("processing_job_completed_or_stopped").wait(
        ProcessingJobName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    group = "/aws/sagemaker/ProcessingJobs"
    events = aws.client("logs").filter_log_events(logGroupName=group, logStreamNamePrefix=name)["events"]
    assert [event["message"] for event in events] == names


def test_the_callers_policies_apply_to_the_arn_of_the_job(embedded_aws: EmbeddedAws) -> None:
    aws, endpoint = account_of(embedded_aws.endpoint), embedded_aws.endpoint
    arn = f"arn:aws:sagemaker:{endpoint.region}:{endpoint.account_id}:processing-job/mine"
    role = aws.make_role(allow("sagemaker:DescribeProcessingJob", resource=arn))
    credentials = aws.credentials(role, "test")
    sagemaker: Any = endpoint.session().client(
        "sagemaker",
        endpoint_url=endpoint.url,
        verify=str(endpoint.ca_bundle),
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
    )
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_processing_job(ProcessingJobName="mine")
    with pytest.raises(sagemaker.exceptions.ClientError, match="not authorized to perform: sagemaker:Describe"):
        sagemaker.describe_processing_job(ProcessingJobName="yours")


NEEDED = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "kms:GenerateDataKey")
"""What the role of a job needs whose output is encrypted with a key."""


@pytest.mark.parametrize(
    ("denied", "reason"),
    [
        ("", ""),
        ("s3:GetObject", "GetObject failed for s3://.*: AccessDenied: .* not authorized to perform: s3:GetObject"),
        ("s3:PutObject", "PutObject failed for s3://.*: AccessDenied: .* not authorized to perform: s3:PutObject"),
        ("kms:GenerateDataKey", "PutObject failed for s3://.*: the key .* may not be used"),
    ],
)
def test_a_job_transfers_only_what_its_role_may(
    embedded_aws: EmbeddedAws, tmp_path: Path, denied: str, reason: str
) -> None:
    aws = account_of(embedded_aws.endpoint)
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    aws.put("in/a b+ü", b"123")
    context = tmp_path / "context"
    context.mkdir()
    copy = """
from pathlib import Path
[found] = Path("/opt/ml/processing/input/in").iterdir()
(OUTPUT / "result").mkdir(exist_ok=True)
(OUTPUT / "result/a").write_bytes(found.read_bytes())
"""
    (context / "main.py").write_text(PRELUDE + copy)
    (context / "Dockerfile").write_text('FROM python\nCOPY main.py /app/\nENTRYPOINT ["python", "/app/main.py"]')
    image = f"{IMAGE}-{aws.bucket}"
    embedded_aws.images.register(image, context)
    outputs = s3_outputs(f"s3://{aws.bucket}/", "result", KmsKeyId=key)
    request = job_request(
        aws,
        image,
        RoleArn=aws.make_role(allow(*(action for action in NEEDED if action != denied), "logs:*")),
        ProcessingInputs=[s3_input("in", f"s3://{aws.bucket}/in/")],
        ProcessingOutputConfig=outputs,
    )
    sagemaker, name = aws.client("sagemaker"), request["ProcessingJobName"]
    sagemaker.create_processing_job(**request)
    with contextlib.suppress(WaiterError):
        sagemaker.get_waiter("processing_job_completed_or_stopped").wait(
            ProcessingJobName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
        )
    described = sagemaker.describe_processing_job(ProcessingJobName=name)
    if denied:
        assert (described["ProcessingJobStatus"], aws.keys("result/")) == ("Failed", [])
        assert re.search(reason, described["FailureReason"])
    else:
        assert (described["ProcessingJobStatus"], aws.get("result/a")) == ("Completed", b"123"), described


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waiting for a process that is not a child needs pidfd")
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_no_process_outlives_the_server(tmp_path: Path, how: str) -> None:
    server = EmbeddedAws(tmp_path / "aws")
    server.start()
    pids = processes_of(start_job(server, account_of(server.endpoint), tmp_path / "context"))
    assert len(pids) == 2
    watched = [os.pidfd_open(pid) for pid in pids]
    try:
        if how == "killed":
            os.kill(server.process_id, signal.SIGKILL)
        else:
            server.stop()
        for descriptor in watched:
            assert select.select([descriptor], [], [], 30)[0], f"a process of the job outlives its server: {pids}"
    finally:
        server.stop()
        for descriptor in watched:
            os.close(descriptor)
    if how == "stopped":
        assert not (tmp_path / "aws/sagemaker/jobs").exists()
