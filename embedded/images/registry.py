"""Images in Amazon ECR, where clients look for them. Their code is in the image store."""

import contextlib
import json
from typing import Any

_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def record_image(image_uri: str, ecr: Any) -> None:
    """Record an image of this account in ECR; create its repository if needed. Idempotent."""
    registry, _, reference = image_uri.partition("/")
    repository, _, tag = reference.rpartition(":")
    if not repository or ".dkr.ecr." not in registry:
        return
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=repository)
    manifest = json.dumps({"schemaVersion": 2, "mediaType": _MEDIA_TYPE, "annotations": {"uri": image_uri}})
    known = (ecr.exceptions.ImageAlreadyExistsException, ecr.exceptions.ImageTagAlreadyExistsException)
    with contextlib.suppress(*known):
        ecr.put_image(
            repositoryName=repository, imageManifest=manifest, imageManifestMediaType=_MEDIA_TYPE, imageTag=tag
        )
