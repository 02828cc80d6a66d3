"""The S3 requests that all classes of this folder share."""

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from contract import layout
from contract.json_text import dump_json
from lambdas.errors import PlanChangedError
from lambdas.stage.buckets.stored_object import StoredObject, stored_object

_CONFLICT_TRIES = 3


def compact_json(value: Any) -> bytes:
    """Return a value as JSON without spaces, in UTF-8."""
    return dump_json(value, separators=(",", ":")).encode()


class Buckets:
    """Base class of `ObjectStore` and its parts, for the stage's three buckets."""

    def __init__(self, s3: Any, *, datasets_bucket: str, models_bucket: str, results_bucket: str) -> None:
        self._s3 = s3
        self.datasets_bucket = datasets_bucket
        self.models_bucket = models_bucket
        self.results_bucket = results_bucket

    def _list(self, bucket: str, prefix: str, **options: Any) -> Iterator[StoredObject]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **options):
            for entry in page.get("Contents", ()):
                yield stored_object(entry, prefix)

    def _exists(self, bucket: str, key: str) -> bool:
        """Return whether an object exists, by a listing.

        With permission to list only some prefixes, S3 reports a missing object as denied.
        """
        found = self._s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return [entry["Key"] for entry in found.get("Contents", ())] == [key]

    def _get(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self.results_bucket, Key=key)["Body"].read()
        return body

    def _put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.results_bucket, Key=key, Body=body, ContentType="application/json")

    def _put_once(self, key: str, body: bytes) -> None:
        """Write an object, unless it already exists with the same content.

        Raise PlanChangedError if it differs.
        """
        if not self._put_new(key, body) and self._get(key) != body:
            raise PlanChangedError(layout.s3_uri(self.results_bucket, key))

    def _put_new(self, key: str, body: bytes) -> bool:
        """Write an object that does not exist yet; return whether it was written."""
        return self._put_if(key, body, {"IfNoneMatch": "*"})

    def _put_if(self, key: str, body: bytes, condition: Mapping[str, str]) -> bool:
        """Write an object if the condition holds; return whether it was written."""
        for last_try in (*[False] * (_CONFLICT_TRIES - 1), True):
            try:
                self._s3.put_object(
                    Bucket=self.results_bucket, Key=key, Body=body, ContentType="application/json", **condition
                )
            except ClientError as error:
                code = error.response["Error"]["Code"]
                # S3 reports an object that was deleted since as missing.
                if code in ("PreconditionFailed", "NoSuchKey"):
                    return False
                # Two concurrent writes: S3 tells one of them to retry.
                if code != "ConditionalRequestConflict" or last_try:
                    raise
            else:
                return True
        raise AssertionError("unreachable")
