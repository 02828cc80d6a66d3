"""Deployment of cloud assemblies to an embedded AWS."""

import io
import json
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.cdk.assembly import AssemblyError, read_stacks
from embedded.cdk.deploy import DeployError, deploy
from embedded.server.embedded_aws import EmbeddedAws


class Assembly:
    """Writes a cloud assembly as the CDK does, stack by stack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._artifacts: dict[str, Any] = {}

    def add(
        self,
        name: str,
        resources: dict[str, Any],
        *,
        after: tuple[str, ...] = (),
        outputs: dict[str, Any] | None = None,
        files: dict[str, Any] | None = None,
        images: dict[str, Any] | None = None,
    ) -> None:
        version = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version"}
        template = {
            "Resources": resources,
            "Outputs": {key: {"Value": value} for key, value in (outputs or {}).items()},
            "Parameters": {"BootstrapVersion": version},
        }
        (self.folder / f"{name}.template.json").write_text(json.dumps(template))
        (self.folder / f"{name}.assets.json").write_text(
            json.dumps({"files": files or {}, "dockerImages": images or {}})
        )
        self._artifacts[f"{name}.assets"] = {
            "type": "cdk:asset-manifest",
            "properties": {"file": f"{name}.assets.json"},
        }
        self._artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "properties": {"templateFile": f"{name}.template.json", "tags": {"part": name}},
            "dependencies": [f"{name}.assets", *after],
        }
        (self.folder / "manifest.json").write_text(json.dumps({"artifacts": self._artifacts}))


@pytest.fixture
def assembly(tmp_path: Path) -> Assembly:
    return Assembly(tmp_path)


@pytest.fixture
def name() -> str:
    return f"s{uuid.uuid4().hex[:8]}"


def queue(queue_name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": queue_name, **properties}}


def test_stacks_are_deployed_after_their_dependencies(aws: EmbeddedAws, assembly: Assembly, name: str) -> None:
    imported = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Name": f"/{name}", "Value": "v"}}
    assembly.add(f"{name}-second", {"P": imported}, after=(f"{name}-first",), outputs={"Name": {"Ref": "P"}})
    assembly.add(f"{name}-first", {"Q": queue(name)}, outputs={"Arn": {"Fn::GetAtt": ["Q", "Arn"]}})
    lines: list[str] = []
    outputs = deploy(assembly.folder, aws.endpoint, aws.images, lines.append)

    assert [line.split(" (")[0] for line in lines] == [f"{name}-first: created", f"{name}-second: created"]
    assert outputs[f"{name}-first"] == {"Arn": f"arn:aws:sqs:us-east-1:123456789012:{name}"}
    assert outputs[f"{name}-second"] == {"Name": f"/{name}"}


def test_a_second_deployment_updates_only_changed_stacks(aws: EmbeddedAws, assembly: Assembly, name: str) -> None:
    assembly.add(f"{name}-same", {"Q": queue(f"{name}-same")})
    assembly.add(f"{name}-other", {"Q": queue(f"{name}-other", VisibilityTimeout=30)})
    deploy(assembly.folder, aws.endpoint, aws.images)
    assembly.add(f"{name}-other", {"Q": queue(f"{name}-other", VisibilityTimeout=60)})
    lines: list[str] = []
    deploy(assembly.folder, aws.endpoint, aws.images, lines.append)

    assert [line.split(" (")[0] for line in lines] == [f"{name}-same: unchanged", f"{name}-other: updated"]
    sqs = aws.endpoint.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{name}-other")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert attributes == {"VisibilityTimeout": "60"}


def test_a_failure_has_the_resource_and_the_reason(aws: EmbeddedAws, assembly: Assembly, name: str) -> None:
    wrong = {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"RoleArn": "r", "DefinitionString": "{"}}
    assembly.add(name, {"Fine": queue(name), "Wrong": wrong})
    with pytest.raises(DeployError) as failed:
        deploy(assembly.folder, aws.endpoint, aws.images)
    assert f"stack {name} is ROLLBACK_COMPLETE" in str(failed.value)
    assert "Wrong (AWS::StepFunctions::StateMachine)" in str(failed.value)
    assert "INVALID_JSON_DESCRIPTION" in str(failed.value)

    assembly.add(name, {"Fine": queue(name)})
    lines: list[str] = []
    deploy(assembly.folder, aws.endpoint, aws.images, lines.append)
    assert lines[0].startswith(f"{name}: created")


def test_assets_are_published_where_templates_expect_them(aws: EmbeddedAws, assembly: Assembly, name: str) -> None:
    folder = assembly.folder / "asset.code"
    (folder / "lambdas").mkdir(parents=True)
    (folder / "lambdas" / "f.py").write_text("x = 1\n")
    image = assembly.folder / "asset.image"
    image.mkdir()
    (image / "run.py").write_text("print(1)\n")
    (image / "Dockerfile").write_text('FROM python:3.13-slim\nCOPY run.py /run.py\nENTRYPOINT ["python", "/run.py"]\n')
    bucket = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
    destination = {"bucketName": bucket, "objectKey": f"{name}.zip"}
    repository = {"repositoryName": "images-${AWS::AccountId}", "imageTag": name}
    assembly.add(
        name,
        {"Q": queue(name)},
        files={"f": {"source": {"path": "asset.code", "packaging": "zip"}, "destinations": {"d": destination}}},
        images={"i": {"source": {"directory": "asset.image"}, "destinations": {"d": repository}}},
    )
    deploy(assembly.folder, aws.endpoint, aws.images)

    stored = aws.endpoint.client("s3").get_object(
        Bucket="cdk-hnb659fds-assets-123456789012-us-east-1", Key=f"{name}.zip"
    )
    assert zipfile.ZipFile(io.BytesIO(stored["Body"].read())).namelist() == ["lambdas/f.py"]
    uri = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/images-123456789012:{name}"
    assert aws.images.resolve(uri) is not None


def test_a_long_template_is_read_from_its_asset(aws: EmbeddedAws, assembly: Assembly, name: str) -> None:
    value = "x" * 4_000
    resources = {
        f"P{n}": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Type": "String", "Name": f"/{name}/{n}", "Value": value},
        }
        for n in range(15)
    }
    destination = {"bucketName": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}", "objectKey": f"{name}.json"}
    source = {"path": f"{name}.template.json", "packaging": "file"}
    assembly.add(name, resources, files={"t": {"source": source, "destinations": {"d": destination}}})
    deploy(assembly.folder, aws.endpoint, aws.images)
    assert aws.endpoint.client("ssm").get_parameter(Name=f"/{name}/14")["Parameter"]["Value"] == value


def test_an_unsupported_image_asset_is_refused_by_name(aws: EmbeddedAws, assembly: Assembly, name: str) -> None:
    source = {"directory": "d", "dockerBuildTarget": "slim", "platform": "linux/amd64"}
    assembly.add(name, {}, images={"i": {"source": source, "destinations": {}}})
    with pytest.raises(AssemblyError, match="dockerBuildTarget: not supported without Docker, remove it"):
        read_stacks(assembly.folder, aws.endpoint)


def test_a_folder_without_an_assembly_is_refused(aws: EmbeddedAws, tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match=r"has no manifest\.json"):
        deploy(tmp_path, aws.endpoint, aws.images)


def test_a_bucket_with_objects_outlives_its_stack(aws: EmbeddedAws, assembly: Assembly, name: str) -> None:
    versioned = {"VersioningConfiguration": {"Status": "Enabled"}, "BucketName": f"{name}-bucket"}
    assembly.add(name, {"B": {"Type": "AWS::S3::Bucket", "Properties": versioned}})
    deploy(assembly.folder, aws.endpoint, aws.images)
    s3, cloudformation = aws.endpoint.client("s3"), aws.endpoint.client("cloudformation")
    version = s3.put_object(Bucket=f"{name}-bucket", Key="k", Body=b"v")["VersionId"]
    s3.delete_object(Bucket=f"{name}-bucket", Key="k")

    cloudformation.delete_stack(StackName=name)
    assert wait_for_stack(cloudformation, name) == "DELETE_FAILED"
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    assert any("is not empty" in event.get("ResourceStatusReason", "") for event in events)

    s3.delete_object(Bucket=f"{name}-bucket", Key="k", VersionId=version)
    for marker in s3.list_object_versions(Bucket=f"{name}-bucket").get("DeleteMarkers", []):
        s3.delete_object(Bucket=f"{name}-bucket", Key="k", VersionId=marker["VersionId"])
    cloudformation.delete_stack(StackName=name)
    assert wait_for_stack(cloudformation, name) in ("", "DELETE_COMPLETE")


def wait_for_stack(cloudformation: Any, stack_name: str) -> str:
    """Wait until nothing is in progress, and return the stack's status; empty if it is deleted."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            status = str(cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"])
        except ClientError:
            return ""
        if not status.endswith("_IN_PROGRESS"):
            return status
        time.sleep(0.05)
    pytest.fail(f"{stack_name} is still {status}")
