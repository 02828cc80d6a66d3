"""S3: the encryption of stored objects, and buckets that are not empty."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from typing import Any


def encryption_key(bucket: str, key: str) -> str:
    """Return the ARN of the object's KMS key; empty when there is no key or no such object."""
    from ministack.services import s3

    _status, headers, _body = s3._head_object(bucket, key, {})
    named = {name.lower(): value for name, value in headers.items()}
    return str(named.get("x-amz-server-side-encryption-aws-kms-key-id", ""))


def install_bucket_not_empty_error() -> None:
    """Refuse to delete a stack's bucket that is not empty, as AWS does.

    ministack deletes it with all its objects.
    """
    from ministack.services import s3
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    ministack_delete = handlers["delete"]

    def delete(physical_id: str, properties: dict[str, Any]) -> Any:
        bucket = s3._buckets.get(physical_id) or {}
        versions = [versions for (name, _key), versions in s3._object_versions.items() if name == physical_id]
        if bucket.get("objects") or any(versions):
            text = "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
            reason = f"Resource handler returned message: {text} (Service: S3, Status Code: 409)"
            raise ValueError(reason)
        return ministack_delete(physical_id, properties)

    handlers["delete"] = delete
