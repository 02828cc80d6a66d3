"""The AWS account of a test, and requests for processing jobs."""

import asyncio
import contextlib
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from embedded.ministack.iam.identity import Credentials
from embedded.sagemaker.jobs.job import Job
from embedded.sagemaker.jobs.job_types import PROCESSING
from embedded.sagemaker.service import SageMakerService
from embedded.server.endpoint import Endpoint

DEADLINE_SECONDS = 30

PRELUDE = """\
import json, os, pathlib, signal, sys, time
ML = pathlib.Path(os.environ.get("FLEETSCORE_ML_ROOT", "/opt/ml"))
INPUT, OUTPUT = ML / "processing/input", ML / "processing/output"
def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not created"
        time.sleep(0.01)
"""
"""Names for the folders of a container, at /opt/ml or where the variable points to."""


@dataclass
class Aws:
    """The account of a test, with a bucket and a job role."""

    endpoint: Endpoint
    bucket: str
    role_arn: str
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, name: str) -> Any:
        if name not in self.clients:
            self.clients[name] = self.endpoint.client(name)
        return self.clients[name]

    def put(self, key: str, body: bytes | str = b"x") -> str:
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        return bytes(self.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def keys(self, prefix: str = "") -> list[str]:
        found = self.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in found]

    def make_role(self, *statements: dict[str, Any]) -> str:
        name = f"job-{uuid.uuid4().hex[:8]}"
        principal = {"Service": "sagemaker.amazonaws.com", "AWS": f"arn:aws:iam::{self.endpoint.account_id}:root"}
        trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
        iam = self.client("iam")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName="job", PolicyDocument=json.dumps(document))
        return str(arn)

    def credentials(self, role_arn: str, session_name: str) -> Credentials:
        answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
        return Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


def account_of(endpoint: Endpoint) -> Aws:
    """Create a bucket, and a job role that may write to it and to the logs."""
    aws = Aws(endpoint, f"data-{uuid.uuid4().hex[:8]}", "")
    aws.client("s3").create_bucket(Bucket=aws.bucket)
    aws.role_arn = aws.make_role(allow("s3:PutObject", resource=f"arn:aws:s3:::{aws.bucket}/*"), allow("logs:*"))
    return aws


def allow(*actions: str, resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def job_request(aws: Aws, image_uri: str, **changes: Any) -> dict[str, Any]:
    """Return a valid request for a job with one instance. `changes` add or replace members."""
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    return {
        "ProcessingJobName": f"job-{uuid.uuid4().hex[:12]}",
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {"ImageUri": image_uri},
        "RoleArn": aws.role_arn,
        **changes,
    }


def instances(count: int) -> dict[str, Any]:
    return {"ClusterConfig": {"InstanceCount": count, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}


def s3_input(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    place = f"/opt/ml/processing/input/{name}"
    source = {"S3Uri": uri, "LocalPath": place, "S3DataType": "S3Prefix", "S3InputMode": "File", **changes}
    return {"InputName": name, "S3Input": source}


def s3_outputs(uri: str, *names: str, mode: str = "EndOfJob", **changes: Any) -> dict[str, Any]:
    outputs = [
        {
            "OutputName": name,
            "S3Output": {
                "S3Uri": f"{uri}{name}",
                "LocalPath": f"/opt/ml/processing/output/{name}",
                "S3UploadMode": mode,
            },
        }
        for name in names
    ]
    return {"Outputs": outputs, **changes}


def start(service: SageMakerService, request: dict[str, Any]) -> Job:
    service.call("CreateProcessingJob", request)
    return service.job(request["ProcessingJobName"])


def run(service: SageMakerService, request: dict[str, Any]) -> dict[str, Any]:
    """Create a job, wait for its end and return its description."""
    job = start(service, request)
    assert job.wait(DEADLINE_SECONDS), f"{job.name} has not ended"
    return job.describe()


def results(aws: Aws, prefix: str) -> dict[str, bytes]:
    """Return the objects of the output named 'result' by their relative key."""
    return {key.removeprefix(f"{prefix}result/"): aws.get(key) for key in aws.keys(f"{prefix}result/")}


def outputs_to(aws: Aws, prefix: str, **changes: Any) -> dict[str, Any]:
    return s3_outputs(f"s3://{aws.bucket}/{prefix}", "result", **changes)


def logged(aws: Aws, described: dict[str, Any]) -> list[str]:
    """Return the lines of a job's log."""
    return [event["message"] for event in log_events(aws, described)]


def log_events(aws: Aws, described: dict[str, Any]) -> list[dict[str, Any]]:
    logs = aws.client("logs")
    name = described["ProcessingJobName"]
    streams = logs.describe_log_streams(logGroupName=PROCESSING.kind.log_group, logStreamNamePrefix=f"{name}/algo-1-")[
        "logStreams"
    ]
    assert len(streams) == 1, streams
    events = logs.get_log_events(
        logGroupName=PROCESSING.kind.log_group, logStreamName=streams[0]["logStreamName"], startFromHead=True
    )
    return list(events["events"])


def client_of(service: SageMakerService, aws: Aws) -> Any:
    """Return a boto3 client whose requests go to the service without a socket."""
    client = aws.endpoint.client("sagemaker")
    # Disable botocore's checks and `check_clients`, so that bad requests reach the service.
    client._serializer = client._serializer._serializer

    def send(request: Any, **_: Any) -> AWSResponse:
        headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
        status, answered, body = asyncio.run(service.handle("POST", "/", headers, request.body, {}))
        response = AWSResponse(request.url, status, answered, None)
        response._content = body
        return response

    client.meta.events.register("before-send.sagemaker", send)
    return client


def processes_of(job_name: str) -> list[int]:
    """Return the ids, on this machine, of the running processes of a job.

    They are found through /proc.
    """
    mark = f"\0PROCESSING_JOB_NAME={job_name}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in b"\0" + (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])
