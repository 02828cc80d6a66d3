"""Allow-lists of the files of each deployable: its own folders and a copy of the contract."""

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import IgnoreMode
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from contract.catalog.image_variants import CORE, ImageVariant

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = "inference_container/Dockerfile"

# Patterns of .dockerignore files, in which "*" also matches names with a leading dot.
_NEVER = ("**/__pycache__", "**/*.pyc", "**/.DS_Store")


def _only(folders: Sequence[str]) -> list[str]:
    return ["*", *[f"!{folder}" for folder in folders], *_NEVER]


def lambda_code() -> lambda_.Code:
    """Return the code of all functions: `lambdas` and `contract`.

    Libraries come from the Lambda runtime and the Powertools layer.
    """
    return lambda_.Code.from_asset(str(ROOT), exclude=_only(["lambdas", "contract"]), ignore_mode=IgnoreMode.DOCKER)


def container_image(
    scope: Construct,
    id: str,  # noqa: A002
    *,
    variant: ImageVariant = CORE,
    accelerator: str = "cpu",
    base_image: str | None = None,
) -> ecr_assets.DockerImageAsset:
    """Declare an image variant, built at deployment from `inference_container` and `contract`."""
    defaults = {"VARIANT": CORE, "ACCELERATOR": "cpu", "BASE_IMAGE": None}
    arguments = {"VARIANT": variant, "ACCELERATOR": accelerator, "BASE_IMAGE": base_image}
    return ecr_assets.DockerImageAsset(
        scope,
        id,
        directory=str(ROOT),
        file=DOCKERFILE,
        exclude=_only(["inference_container", "contract"]),
        ignore_mode=IgnoreMode.DOCKER,
        build_args={name: value for name, value in arguments.items() if value is not None and value != defaults[name]}
        or None,
        # SageMaker's instances are x86; the machine that builds may not be.
        platform=ecr_assets.Platform.LINUX_AMD64,
    )
