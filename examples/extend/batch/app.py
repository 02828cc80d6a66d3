"""The CDK app of the example, with the names of your network and image as context.

    npx cdk deploy --app "python -m examples.extend.batch.app" -c stage=dev \\
      -c image_uri=123456789012.dkr.ecr.eu-central-1.amazonaws.com/fleetscore-batch:1 \\
      -c subnet_ids=subnet-0123456789abcdef0,subnet-0fedcba9876543210 -c security_group_ids=sg-0123456789abcdef0
"""

import re
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import App, Aws, Stack, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from examples.extend.batch.construct import BatchScoring

_IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[a-z.]+/([^:@]+)[:@].+")


def build_app(context: Mapping[str, str] | None = None, outdir: Path | None = None) -> App:
    """Build the app without synthesizing it; cdk-nag's findings fail the synthesis.

    Raises:
        ValueError: when `image_uri` is not an image in ECR.
    """
    app = App(context=dict(context or {}), outdir=str(outdir) if outdir else None)
    stage, image_uri = str(app.node.try_get_context("stage") or "dev"), str(app.node.try_get_context("image_uri"))
    found = _IMAGE.fullmatch(image_uri)
    if found is None:
        raise ValueError(f"image_uri: got {image_uri!r}, expected an image in ECR with its tag or digest")
    account, region, repository = found.groups()
    stack = Stack(app, f"fleetscore-{stage}-batch", description="Fleetscore: scoring jobs in AWS Batch")
    BatchScoring(
        stack,
        "Batch",
        stage=stage,
        image_uri=image_uri,
        repository_arn=f"arn:{Aws.PARTITION}:ecr:{region}:{account}:repository/{repository}",
        subnet_ids=str(app.node.try_get_context("subnet_ids")).split(","),
        security_group_ids=str(app.node.try_get_context("security_group_ids")).split(","),
    )
    Tags.of(app).add("fleetscore:stage", stage)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
    return app


if __name__ == "__main__":
    build_app().synth()
