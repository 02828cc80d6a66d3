"""The manifests that name the objects of a SageMaker job's inputs."""

from collections.abc import Iterable
from typing import Any

from contract import layout


def input_manifest(bucket: str, keys: Iterable[str]) -> list[Any]:
    """Return a manifest of objects of one bucket.

    AWS does not document whether a job finds the files relative to the manifest's prefix or below
    their full key. With the bucket's root as prefix, both are the same path.

    >>> input_manifest("models", ["delays-ua/3/model.tar.gz"])
    [{'prefix': 's3://models/'}, 'delays-ua/3/model.tar.gz']
    """
    return [{"prefix": layout.s3_uri(bucket, "")}, *keys]
