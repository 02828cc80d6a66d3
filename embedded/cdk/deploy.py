"""Deployment of a cloud assembly through the CloudFormation API, as the CDK CLI does it."""

import io
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded.cdk.assembly import FileAsset, Stack, read_stacks
from embedded.images.image_store import ImageStore
from embedded.images.registry import record_image
from embedded.server.endpoint import Endpoint

_BOOTSTRAP_VERSION = ("/cdk-bootstrap/hnb659fds/version", "99")
"""Name and value of the parameter from which templates read the version of the bootstrap stack."""
_POLL_SECONDS = 0.1
_STACK_SECONDS = 600.0
_TEMPLATE_BODY_LIMIT = 51_200
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class DeployError(RuntimeError):
    """A stack could not be deployed.

    The text has the logical id of each failed resource and the reason.
    """

    def __init__(self, stack: str, status: str, failures: list[str]) -> None:
        super().__init__(f"stack {stack} is {status}: " + ("; ".join(failures) or "no resource reports a reason"))
        self.stack = stack
        self.failures = failures


def deploy(
    assembly_dir: Path,
    endpoint: Endpoint,
    images: ImageStore,
    progress: Callable[[str], None] = lambda _line: None,
) -> dict[str, dict[str, str]]:
    """Create or update every stack of an assembly.

    Stacks that already match their template stay unchanged.

    Returns:
        The outputs of the stacks by stack name and output name.

    Raises:
        DeployError: A stack could not be deployed.
        AssemblyError: The assembly cannot be deployed here.

    Example::

        with EmbeddedAws() as aws:
            deploy(synthesize(Path("app.py"), Path("cdk.out")), aws.endpoint, aws.images)
    """
    stacks = read_stacks(assembly_dir, endpoint)
    _make_bootstrap_resources(endpoint)
    outputs: dict[str, dict[str, str]] = {}
    for stack in stacks:
        for asset in stack.files:
            _publish(asset, endpoint)
        for image in stack.images:
            images.register(image.image_uri, image.directory, image.dockerfile, dict(image.arguments))
            record_image(image.image_uri, endpoint.client("ecr"))
        started = time.monotonic()
        change = _deploy_stack(stack, endpoint)
        progress(f"{stack.name}: {change} ({time.monotonic() - started:.1f} s)")
        outputs[stack.name] = stack_outputs(stack.name, endpoint)
    return outputs


def stack_outputs(stack_name: str, endpoint: Endpoint) -> dict[str, str]:
    """Return the outputs of a deployed stack by name."""
    description = endpoint.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def _make_bootstrap_resources(endpoint: Endpoint) -> None:
    """Create the parameter of `cdk bootstrap`, unless a real bootstrap has done so."""
    ssm = endpoint.client("ssm")
    name, version = _BOOTSTRAP_VERSION
    if not ssm.get_parameters(Names=[name])["Parameters"]:
        ssm.put_parameter(Name=name, Value=version, Type="String")


def _publish(asset: FileAsset, endpoint: Endpoint) -> None:
    s3 = endpoint.client("s3")
    try:
        s3.head_bucket(Bucket=asset.bucket)
    except ClientError:
        s3.create_bucket(Bucket=asset.bucket)
    try:
        # The key is a digest of the content, so an existing object is the same.
        s3.head_object(Bucket=asset.bucket, Key=asset.key)
    except ClientError:
        body = _zipped(asset.path) if asset.is_folder else asset.path.read_bytes()
        s3.put_object(Bucket=asset.bucket, Key=asset.key, Body=body)


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
                entry.external_attr = (path.stat().st_mode & 0xFFFF) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _deploy_stack(stack: Stack, endpoint: Endpoint) -> str:
    cloudformation = endpoint.client("cloudformation")
    began = datetime.now(UTC) - timedelta(seconds=1)
    request: dict[str, Any] = {
        "StackName": stack.name,
        "Capabilities": _CAPABILITIES,
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags],
        **_template(stack, endpoint),
    }
    status = _status(cloudformation, stack.name)
    if status in ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
        # After a failed creation, a stack can only be deleted.
        cloudformation.delete_stack(StackName=stack.name)
        _wait(cloudformation, stack.name)
        status = None
    if status is None:
        cloudformation.create_stack(**request)
        change, wanted = "created", "CREATE_COMPLETE"
    else:
        try:
            cloudformation.update_stack(**request)
        except ClientError as failure:
            if "No updates are to be performed" in failure.response["Error"]["Message"]:
                return "unchanged"
            raise DeployError(stack.name, status, [failure.response["Error"]["Message"]]) from failure
        change, wanted = "updated", "UPDATE_COMPLETE"
    status = _wait(cloudformation, stack.name)
    if status != wanted:
        raise DeployError(stack.name, str(status), _failures(cloudformation, stack.name, began))
    return change


def _template(stack: Stack, endpoint: Endpoint) -> dict[str, str]:
    body = stack.template.read_text()
    if len(body.encode()) <= _TEMPLATE_BODY_LIMIT:
        return {"TemplateBody": body}
    for asset in stack.files:
        if asset.path.resolve() == stack.template.resolve():
            return {"TemplateURL": f"{endpoint.url}/{asset.bucket}/{asset.key}"}
    raise DeployError(
        stack.name, "not deployed", [f"the template exceeds {_TEMPLATE_BODY_LIMIT} bytes and is not an asset"]
    )


def _status(cloudformation: Any, stack_name: str) -> str | None:
    try:
        stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as failure:
        if "does not exist" in failure.response["Error"]["Message"]:
            return None
        raise
    status = str(stacks[0]["StackStatus"])
    return None if status == "DELETE_COMPLETE" else status


def _wait(cloudformation: Any, stack_name: str) -> str | None:
    deadline = time.monotonic() + _STACK_SECONDS
    while True:
        status = _status(cloudformation, stack_name)
        if status is None or not status.endswith("_IN_PROGRESS"):
            return status
        if time.monotonic() > deadline:
            raise DeployError(stack_name, status, [f"not finished within {_STACK_SECONDS:g} seconds"])
        time.sleep(_POLL_SECONDS)


def _failures(cloudformation: Any, stack_name: str, began: datetime) -> list[str]:
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    return [
        f"{event['LogicalResourceId']} ({event.get('ResourceType', '')}): {event.get('ResourceStatusReason', '')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED") and event["Timestamp"] >= began
    ]
