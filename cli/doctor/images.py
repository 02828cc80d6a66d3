"""Images: each variant must be in Amazon ECR, in a form and Region that SageMaker can start."""

import json
import re
from collections.abc import Iterator
from functools import partial

from cli.doctor.findings import Check, Finding, Report, names
from cli.doctor.policies import as_list, statements_of
from cli.doctor.stage import DeployedStage
from cli.failures import error_code
from contract.json_text import parse_json

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<repository>[^:@]+)"
    r"(:(?P<tag>[^@]+)|@(?P<digest>sha256:[0-9a-f]{64}))"
)
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def image_checks(stage: DeployedStage) -> Iterator[Check]:
    for variant, uri in stage.images.items():
        yield Check("image.present", f"image of {variant}", partial(image_findings, stage, variant, uri))


def image_findings(stage: DeployedStage, variant: str, uri: str) -> Iterator[Finding]:
    """Check the image in ECR: its Region, form, and, in another account, repository policy."""
    report = Report("image.present", f"{variant}: {uri}")
    parts = _URI.fullmatch(uri)
    if parts is None:
        yield report.error("not an image in Amazon ECR", "Set image_uri to one, with its tag or digest.")
        return
    if parts["region"] != stage.region:
        yield report.error(
            f"it is in {parts['region']}, and SageMaker starts images of {stage.region} only",
            f"Copy the image to a repository in {stage.region}, and set image_uri.",
        )
        return
    image = {"imageDigest": parts["digest"]} if parts["digest"] else {"imageTag": parts["tag"]}
    ecr = stage.client("ecr")
    try:
        found = ecr.describe_images(registryId=parts["account"], repositoryName=parts["repository"], imageIds=[image])[
            "imageDetails"
        ]
    except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException) as error:
        yield report.error(
            f"not in Amazon ECR ({error_code(error)}): every job would fail",
            "Deploy again with `cdk deploy --all`, which pushes the image, or push the image that image_uri names.",
        )
        return
    media_type = found[0].get("imageManifestMediaType", "")
    if media_type in _INDEXES:
        yield report.warning(
            f"a list of images ({media_type}), which SageMaker may refuse",
            "Build it with `docker build --provenance=false --platform linux/amd64`, and push it again.",
        )
    else:
        yield report.ok(f"in Amazon ECR, {found[0].get('imageSizeInBytes', 0) / 1024**2:,.0f} MiB")
    if parts["account"] != stage.account_id:
        yield _repository_policy(stage, parts["account"], parts["repository"])


def _repository_policy(stage: DeployedStage, account_id: str, repository: str) -> Finding:
    report = Report("image.shared", f"policy of {account_id}'s repository {repository}")
    remedy = f"In account {account_id}, allow {names(_PULL)} to arn:{stage.partition}:iam::{stage.account_id}:root."
    ecr = stage.client("ecr")
    try:
        text = ecr.get_repository_policy(registryId=account_id, repositoryName=repository)["policyText"]
    except ecr.exceptions.RepositoryPolicyNotFoundException:
        return report.error("there is none, so this account's roles cannot pull the image", remedy)
    granted = {
        action
        for statement in statements_of(parse_json(text), "Allow")
        if stage.account_id in json.dumps(statement.get("Principal"))
        for action in as_list(statement.get("Action"))
    }
    if all({action, "ecr:*", "*"} & granted for action in _PULL):
        return report.ok("it lets this account pull the image")
    return report.error("it does not name this account with the actions that pull an image", remedy)
