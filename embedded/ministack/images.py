"""Corrections to ministack's container registry."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import json
from typing import Any


def install_missing_image_error() -> None:
    """Make DescribeImages fail for a missing image.

    ministack returns an empty list, which the CDK treats as a found image.
    """
    from ministack.services import ecr

    ministack_describe = ecr._describe_images

    def describe_images(request: dict[str, Any]) -> Any:
        response = ministack_describe(request)
        wanted = request.get("imageIds") or []
        if response[0] == 200 and len(json.loads(response[2])["imageDetails"]) < len(wanted):
            text = f"The image with imageId {wanted[0]} does not exist within the repository with name "
            repository = f"'{request.get('repositoryName', '')}' in the registry"
            return ecr.error_response_json("ImageNotFoundException", text + repository, 400)
        return response

    ecr._describe_images = describe_images
