"""S3: objects that services write, encryption, lifecycle, non-empty buckets, and restored objects in listings."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import re
import secrets
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from embedded.seams.stack_resources import after_deployment

_ENCRYPTION = "x-amz-server-side-encryption"
_ARCHIVED = re.compile(b"<StorageClass>(GLACIER|DEEP_ARCHIVE)</StorageClass>")


def encryption_key(bucket: str, key: str) -> str:
    """Return the ARN of the object's KMS key; empty when there is no key or no such object."""
    from ministack.services import s3

    _status, headers, _body = s3._head_object(bucket, key, {})
    named = {name.lower(): value for name, value in headers.items()}
    return str(named.get("x-amz-server-side-encryption-aws-kms-key-id", ""))


def default_encryption_key(bucket: str) -> str:
    """Return the KMS key with which the bucket encrypts new objects; empty when there is none."""
    from ministack.services import s3

    return str(s3._bucket_default_sse_headers(bucket).get("x-amz-server-side-encryption-aws-kms-key-id", ""))


def put_object(bucket: str, key: str, body: bytes) -> str:
    """Store an object without HTTP. Return why S3 refuses it; empty when it is stored."""
    from ministack.services import s3

    status, _headers, answer = s3._put_object(bucket, key, body, {"content-type": "application/json"})
    return "" if status == 200 else str(answer.decode(errors="replace"))


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


def install_new_names() -> None:
    """Give each new resource of a stack a new name, as AWS does, unless its template names it.

    ministack derives names from stack and logical id. A table that outlived its stack would be
    replaced by the table of the next deployment.
    """
    from ministack.services.cloudformation import provisioners, stacks

    seed = provisioners._NAME_SEED

    def provision(*arguments: Any) -> tuple[Any, str]:
        # CloudFormation keeps the returned seed for the resource's updates.
        token = seed.set(secrets.token_hex(4))
        try:
            return provisioners._provision_resource(*arguments), seed.get()
        finally:
            seed.reset(token)

    stacks._provision_keeping_seed = provision
    kind = "AWS::Logs::LogGroup"
    handlers = provisioners._RESOURCE_HANDLERS[kind]

    def create_log_group(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        named = {"LogGroupName": provisioners._physical_name(stack, logical_id), **properties}
        return handlers["create"](logical_id, named, stack)

    def update_log_group(
        physical_id: str, before: dict[str, Any], properties: dict[str, Any], stack: str, logical_id: str | None = None
    ) -> Any:
        if "LogGroupName" not in before and "LogGroupName" not in properties:
            before, properties = ({"LogGroupName": physical_id, **each} for each in (before, properties))
        return handlers["update"](physical_id, before, properties, stack, logical_id)

    provisioners._RESOURCE_HANDLERS[kind] = {**handlers, "create": create_log_group, "update": update_log_group}


def install_restore_status() -> None:
    """Answer `OptionalObjectAttributes=RestoreStatus` in listings, as S3 does.

    ministack keeps storage classes and restores, but does not list the latter.
    """
    from ministack.services import s3

    ministack_dispatch, namespace = s3._dispatch, f"{{{s3.S3_NS}}}"

    def dispatch(method: str, bucket: str, key: str, headers: dict[str, str], *rest: Any) -> Any:
        answer = ministack_dispatch(method, bucket, key, headers, *rest)
        is_wanted = "RestoreStatus" in headers.get("x-amz-optional-object-attributes", "")
        if not is_wanted or method != "GET" or key or answer[0] != 200 or not _ARCHIVED.search(answer[2]):
            return answer
        ET.register_namespace("", s3.S3_NS)
        listing = ET.fromstring(answer[2])  # noqa: S314 - written by ministack
        objects = s3._buckets[bucket]["objects"]
        is_encoded = listing.find(f"{namespace}EncodingType") is not None
        for entry in listing.iter(f"{namespace}Contents"):
            listed = entry.findtext(f"{namespace}Key") or ""
            stored = objects.get(unquote(listed) if is_encoded else listed)
            phase = s3._sync_restore(bucket, listed, stored)
            if stored is not None and phase is not None:
                status = ET.SubElement(entry, f"{namespace}RestoreStatus")
                ET.SubElement(status, f"{namespace}IsRestoreInProgress").text = str(phase == "in_progress").lower()
                if phase == "restored":
                    expiry = datetime.fromtimestamp(stored["restore"]["expires_at"], UTC)
                    ET.SubElement(status, f"{namespace}RestoreExpiryDate").text = f"{expiry:%Y-%m-%dT%H:%M:%S}.000Z"
        return answer[0], answer[1], ET.tostring(listing, xml_declaration=True, encoding="UTF-8")

    s3._dispatch = dispatch


def install_managed_key() -> None:
    """Accept objects that ask for `aws:kms` without naming a key, for which AWS uses its own key.

    The CDK CLI writes so to the bucket of its assets. ministack refuses such objects. No key policy is
    evaluated for them, because AWS's allows everyone in the account.
    """
    from ministack.services import s3

    ministack_headers = s3._resolve_sse_write_headers

    def resolve(headers: dict[str, str], bucket: str) -> Any:
        asked = {name for name in headers if name.startswith("x-amz-server-side-encryption")}
        if asked == {_ENCRYPTION} and headers[_ENCRYPTION] == "aws:kms":
            return {_ENCRYPTION: "aws:kms"}, None
        return ministack_headers(headers, bucket)

    s3._resolve_sse_write_headers = resolve


def install_bucket_properties() -> None:
    """Give a stack's bucket the encryption and the lifecycle of its template, which ministack drops."""
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
    """Return a rule of a template as the S3 API has it."""
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
