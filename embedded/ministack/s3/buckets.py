"""Buckets of stacks: encryption, lifecycle, and the refusal to delete a non-empty bucket."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from typing import Any
from xml.etree import ElementTree as ET

from embedded.ministack.cloudformation.stack_resources import after_deployment


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


def install_bucket_properties() -> None:
    """Apply the encryption and the lifecycle of a bucket's template, which ministack ignores."""
    after_deployment("AWS::S3::Bucket", _set_properties)


def _set_properties(bucket: str, properties: dict[str, Any]) -> None:
    from ministack.services import s3

    rules = (properties.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration") or []
    if rules:
        root = ET.Element("ServerSideEncryptionConfiguration", xmlns=s3.S3_NS)
        for rule in rules:
            made = ET.SubElement(root, "Rule")
            chosen = ET.SubElement(made, "ApplyServerSideEncryptionByDefault")
            for name, value in (rule.get("ServerSideEncryptionByDefault") or {}).items():
                ET.SubElement(chosen, name).text = str(value)
            ET.SubElement(made, "BucketKeyEnabled").text = str(rule.get("BucketKeyEnabled", False)).lower()
        s3._put_bucket_encryption(bucket, ET.tostring(root))
    else:
        s3._delete_bucket_encryption(bucket)
    if rules := (properties.get("LifecycleConfiguration") or {}).get("Rules"):
        s3._bucket_lifecycle[bucket] = [_lifecycle_rule(rule) for rule in rules]
    else:
        s3._delete_bucket_lifecycle(bucket)


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Convert a rule of a template to the form of the S3 API."""
    expiration = {
        "Days": rule.get("ExpirationInDays"),
        "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
    }
    made = {
        "ID": rule.get("Id", ""),
        "Status": rule.get("Status", "Enabled"),
        "Filter": {"Prefix": rule.get("Prefix", "")},
        "Expiration": {name: value for name, value in expiration.items() if value is not None},
        "NoncurrentVersionExpiration": rule.get("NoncurrentVersionExpiration"),
        "AbortIncompleteMultipartUpload": rule.get("AbortIncompleteMultipartUpload"),
    }
    return {name: value for name, value in made.items() if value}
