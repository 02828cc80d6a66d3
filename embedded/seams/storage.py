"""How ministack's S3 keeps objects."""

# ministack reads its switches at import, and its private names are this package's very subject.
# ruff: noqa: PLC0415, SLF001

from typing import Any


def encryption_key(bucket: str, key: str) -> str:
    """ARN of the KMS key that encrypts the object; empty when none does or the object does not exist."""
    from ministack.services import s3

    _status, headers, _body = s3._head_object(bucket, key, {})
    named = {name.lower(): value for name, value in headers.items()}
    return str(named.get("x-amz-server-side-encryption-aws-kms-key-id", ""))


def install_bucket_not_empty_error() -> None:
    """Let a stack keep a bucket that still holds something, as AWS does; ministack deletes it with all objects."""
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
