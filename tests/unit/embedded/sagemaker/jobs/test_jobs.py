"""Processing jobs that run: files, environment, uploads, logs, failures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.sandbox.isolation import probe
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import (
    Aws,
    allow,
    instances,
    job_request,
    logged,
    outputs_to,
    results,
    run,
    s3_input,
)
from tests.unit.embedded.sagemaker.conftest import ServiceMaker

BuildImage = Callable[..., str]

COPY_ALL = """
host = json.loads((ML / "config/resourceconfig.json").read_text())["current_host"]
for source in sorted(INPUT.rglob("*")):
    if source.is_file():
        target = OUTPUT / "result" / host / source.relative_to(INPUT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes().upper())
"""


def test_a_job_reads_input_objects_and_uploads_outputs(
    any_service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    aws.put(f"{prefix}in/a.txt", "alpha")
    aws.put(f"{prefix}in/deep/b.txt", "beta")
    aws.put(f"{prefix}in/deep/", "")
    described = run(
        any_service,
        job_request(
            aws,
            build_image(COPY_ALL),
            ProcessingInputs=[s3_input("data", f"s3://{aws.bucket}/{prefix}in/")],
            ProcessingOutputConfig=outputs_to(aws, prefix),
        ),
    )
    assert described["ProcessingJobStatus"] == "Completed", described
    assert results(aws, prefix) == {"algo-1/data/a.txt": b"ALPHA", "algo-1/data/deep/b.txt": b"BETA"}


def test_inputs_are_sharded_by_key_or_replicated(
    any_service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    for name in "cabde":
        aws.put(f"{prefix}in/{name}", name)
    manifest = [{"prefix": f"s3://{aws.bucket}/{prefix}in/"}, "d", "b"]
    uri = aws.put(f"{prefix}some.manifest", json.dumps(manifest))
    described = run(
        any_service,
        job_request(
            aws,
            build_image(COPY_ALL),
            ProcessingResources=instances(2),
            ProcessingInputs=[
                s3_input("data", f"s3://{aws.bucket}/{prefix}in/", S3DataDistributionType="ShardedByS3Key"),
                s3_input("models", uri, S3DataType="ManifestFile"),
            ],
            ProcessingOutputConfig=outputs_to(aws, prefix),
        ),
    )
    assert described["ProcessingJobStatus"] == "Completed", described
    data = {name for name in results(aws, prefix) if "/data/" in name}
    assert data == {"algo-1/data/a", "algo-1/data/c", "algo-1/data/e", "algo-2/data/b", "algo-2/data/d"}
    models = {name for name in results(aws, prefix) if "/models/" in name}
    assert models == {f"{host}/models/{name}" for host in ("algo-1", "algo-2") for name in ("b", "d")}


def test_the_container_gets_documented_variables_but_no_others(
    any_service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    image = build_image(
        """
(OUTPUT / "result/seen.json").write_text(json.dumps({
    "env": dict(os.environ), "argv": sys.argv[1:], "path": sys.path, "stdin": sys.stdin.read(),
    "resource": json.loads((ML / "config/resourceconfig.json").read_text()),
    "config": json.loads((ML / "config/processingjobconfig.json").read_text()),
}))
""",
        "ENV COLOUR=blue SIZE=big CODE=/opt/program",
    )
    request = job_request(
        aws,
        image,
        ProcessingOutputConfig=outputs_to(aws, prefix),
        Environment={"SIZE": "small"},
        ProcessingResources=instances(2),
    )
    request["AppSpecification"]["ContainerArguments"] = ["--fast", "/opt/ml/processing/input"]
    described = run(any_service, request)
    assert described["ProcessingJobStatus"] == "Completed", described
    seen = json.loads(aws.get(f"{prefix}result/seen.json"))
    assert (seen["env"]["COLOUR"], seen["env"]["SIZE"]) == ("blue", "small")
    assert Path(seen["env"]["CODE"], "main.py").is_file()
    assert "SECRET_OF_THE_SHELL" not in seen["env"]
    assert "/somewhere" not in seen["path"]
    assert seen["env"]["AWS_ENDPOINT_URL"] == aws.endpoint.url
    assert seen["env"]["AWS_SESSION_TOKEN"]
    assert seen["stdin"] == ""
    assert seen["argv"][0] == "--fast"
    assert seen["argv"][1].endswith("/processing/input")
    assert seen["resource"]["hosts"] == ["algo-1", "algo-2"]
    assert seen["resource"]["instance_groups"][0]["instance_type"] == "ml.m5.large"
    assert seen["config"]["ProcessingJobArn"] == described["ProcessingJobArn"]
    assert seen["config"]["Environment"] == {"SIZE": "small"}


def test_an_image_cannot_import_the_repository(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    code = (
        'import importlib.util\nprint("found", importlib.util.find_spec("embedded"), importlib.util.find_spec("cli"))'
    )
    described = run(service, job_request(aws, build_image(code)))
    assert described["ProcessingJobStatus"] == "Completed"
    assert logged(aws, described) == ["found None None"]


def test_network_isolation_removes_credentials_and_network(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    port = aws.endpoint.url.rpartition(":")[2]
    image = build_image(f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=5).close()
    reached = True
except OSError:
    reached = False
print(json.dumps([reached, [name for name in os.environ if name.startswith("AWS_")]]))
""")
    described = run(service, job_request(aws, image, NetworkConfig={"EnableNetworkIsolation": True}))
    reached, variables = json.loads(logged(aws, described)[0])
    assert variables == []
    assert reached is not probe().has_namespaces


def test_continuous_outputs_are_uploaded_whenever_they_change(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    image = build_image("""
import urllib.request
result = OUTPUT / "result"
(result / ".part").write_text("first")
(result / ".part").rename(result / "file.txt")
(result / "link.txt").symlink_to(result / "file.txt")
import boto3
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
bucket, key = sys.argv[1:]
deadline = time.monotonic() + 30
while True:
    assert time.monotonic() < deadline
    try:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"first"
        break
    except s3.exceptions.NoSuchKey:
        time.sleep(0.02)
(result / "file.txt").write_text("second")
""")
    request = job_request(aws, image, ProcessingOutputConfig=outputs_to(aws, prefix, mode="Continuous"))
    request["AppSpecification"]["ContainerArguments"] = [aws.bucket, f"{prefix}result/file.txt"]
    described = run(service, request)
    assert described["ProcessingJobStatus"] == "Completed", described
    assert results(aws, prefix) == {"file.txt": b"second"}


@pytest.mark.parametrize(("mode", "kept"), [("Continuous", {"a": b"1"}), ("EndOfJob", {})])
def test_a_failed_job_keeps_only_its_continuous_outputs(
    *, service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str, mode: str, kept: dict[str, bytes]
) -> None:
    image = build_image("""
(OUTPUT / "result/a").write_text("1")
(ML / "output/message").write_text("went wrong")
sys.exit(3)
""")
    described = run(service, job_request(aws, image, ProcessingOutputConfig=outputs_to(aws, prefix, mode=mode)))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 3"
    assert described["ExitMessage"] == "went wrong"
    assert results(aws, prefix) == kept


def test_an_input_prefix_without_objects_fails_the_job(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    uri = f"s3://{aws.bucket}/{prefix}nothing/"
    described = run(service, job_request(aws, build_image(""), ProcessingInputs=[s3_input("data", uri)]))
    assert described["ProcessingJobStatus"] == "Failed"
    assert f'No S3 objects found under S3 URL "{uri}"' in described["FailureReason"]


@pytest.mark.parametrize(
    ("statement", "operation"),
    [(allow("s3:GetObject"), "ListObjectsV2"), (allow("s3:ListBucket"), "GetObject")],
)
def test_an_unreadable_input_fails_the_job_with_its_uri(
    *,
    service: SageMakerService,
    aws: Aws,
    build_image: BuildImage,
    prefix: str,
    statement: dict[str, Any],
    operation: str,
) -> None:
    uri = aws.put(f"{prefix}in/a")
    role = aws.make_role(statement)
    request = job_request(aws, build_image(""), ProcessingInputs=[s3_input("data", uri)], RoleArn=role)
    described = run(service, request)
    assert described["ProcessingJobStatus"] == "Failed"
    assert f"{operation} failed for {uri}: AccessDenied" in described["FailureReason"]
    assert role in described["FailureReason"]


def test_an_unwritable_output_fails_the_job_with_its_uri(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    image = build_image('(OUTPUT / "result/a").write_text("1")')
    request = job_request(
        aws, image, ProcessingOutputConfig=outputs_to(aws, prefix), RoleArn=aws.make_role(allow("logs:*"))
    )
    described = run(service, request)
    assert described["ProcessingJobStatus"] == "Failed"
    assert f"PutObject failed for s3://{aws.bucket}/{prefix}result/a: AccessDenied" in described["FailureReason"]


def test_a_missing_object_of_a_manifest_fails_the_job(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    manifest = [{"prefix": f"s3://{aws.bucket}/{prefix}"}, "gone"]
    uri = aws.put(f"{prefix}a.manifest", json.dumps(manifest))
    data = s3_input("data", uri, S3DataType="ManifestFile")
    described = run(service, job_request(aws, build_image(""), ProcessingInputs=[data]))
    assert f"GetObject failed for s3://{aws.bucket}/{prefix}gone: NoSuchKey" in described["FailureReason"]


def test_an_object_that_is_file_and_folder_fails_the_job(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    aws.put(f"{prefix}in/a")
    aws.put(f"{prefix}in/a/b")
    data = s3_input("data", f"s3://{aws.bucket}/{prefix}in/")
    described = run(service, job_request(aws, build_image(""), ProcessingInputs=[data]))
    assert "clashes with it" in described["FailureReason"]


def test_a_missing_image_fails_the_job_with_the_remedy(service: SageMakerService, aws: Aws) -> None:
    described = run(service, job_request(aws, "123456789012.dkr.ecr.us-east-1.amazonaws.com/nobody:1"))
    assert described["ProcessingJobStatus"] == "Failed"
    assert "Requested image not found" in described["FailureReason"]
    assert "ImageStore.register" in described["FailureReason"]


def test_a_job_runs_without_permission_to_write_logs(
    service: SageMakerService, aws: Aws, build_image: BuildImage, tmp_path: Path
) -> None:
    request = job_request(aws, build_image('print("hello")'), RoleArn=aws.make_role(allow("s3:*")))
    described = run(service, request)
    assert described["ProcessingJobStatus"] == "Completed"
    text = (tmp_path / "sagemaker-0/logs/processing-job" / described["ProcessingJobName"] / "algo-1.log").read_text()
    assert text.startswith("hello\n[embedded AWS] no logs in /aws/sagemaker/ProcessingJobs: AccessDenied")


def test_output_and_errors_are_logged_line_by_line(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    image = build_image('print("one", flush=True)\nprint("two", file=sys.stderr, flush=True)\nsys.stdout.write("end")')
    assert logged(aws, run(service, job_request(aws, image))) == ["one", "two", "end"]


def test_the_request_can_replace_the_entry_point(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    request = job_request(aws, build_image("sys.exit(1)"))
    request["AppSpecification"]["ContainerEntrypoint"] = ["/bin/sh", "-c", "echo from the shell"]
    assert logged(aws, run(service, request)) == ["from the shell"]


def test_a_missing_entry_point_fails_the_job(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    request = job_request(aws, build_image(""))
    request["AppSpecification"]["ContainerEntrypoint"] = ["/no/such/program"]
    described = run(service, request)
    assert described["FailureReason"].endswith("exit code: 127")


def test_outputs_are_encrypted_with_the_requested_key(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]
    asked = []

    def authorize(role_arn: str, action: str, resource: str, _context: dict[str, Any]) -> bool:
        asked.append((role_arn, action, resource))
        return True

    service = make_service(authorize=authorize)
    image = build_image('(OUTPUT / "result/a").write_text("1")')
    outputs = outputs_to(aws, prefix, KmsKeyId=key["KeyId"])
    described = run(service, job_request(aws, image, ProcessingOutputConfig=outputs))
    assert described["ProcessingJobStatus"] == "Completed", described
    head = aws.client("s3").head_object(Bucket=aws.bucket, Key=f"{prefix}result/a")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert key["KeyId"] in head["SSEKMSKeyId"]
    assert asked == [(aws.role_arn, "kms:GenerateDataKey", key["Arn"])]


def test_outputs_need_permission_to_use_the_key(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    key_id = aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    service = make_service(authorize=lambda *_: False)
    image = build_image('(OUTPUT / "result/a").write_text("1")')
    outputs = outputs_to(aws, prefix, KmsKeyId=key_id)
    described = run(service, job_request(aws, image, ProcessingOutputConfig=outputs))
    assert described["ProcessingJobStatus"] == "Failed"
    assert f"the key {key_id} may not be used" in described["FailureReason"]
