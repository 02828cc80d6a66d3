"""S3 objects: writing without HTTP, times, encryption keys, and restored objects in listings."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

_ENCRYPTION = "x-amz-server-side-encryption"
_KNOWN_ENCRYPTIONS = 1_000
"""Largest number of parsed configurations that are kept."""
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


def install_parsed_encryption() -> None:
    """Parse the default encryption of a bucket once, and not twice for each new object."""
    from ministack.services import s3

    ministack_headers = s3._bucket_default_sse_headers
    known: dict[str, dict[str, str]] = {}

    def headers(bucket: str) -> dict[str, str]:
        written = s3._bucket_encryption.get(bucket)
        if not written:
            return {}
        if written not in known:
            if len(known) >= _KNOWN_ENCRYPTIONS:
                known.clear()
            known[written] = ministack_headers(bucket)
        return dict(known[written])

    s3._bucket_default_sse_headers = headers


def install_restore_status() -> None:
    """Answer `OptionalObjectAttributes=RestoreStatus` in listings, as S3 does.

    ministack stores the status of restores, but does not list it.
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


def install_multipart_times() -> None:
    """Date objects of multipart uploads back to the start of the upload, as S3 does.

    "For multipart uploads, the object creation date is the date of initiation of the multipart
    upload" (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html). ministack
    takes the time of completion.
    """
    from ministack.services import s3

    ministack_complete = s3._complete_multipart_upload

    def complete(bucket: str, key: str, body: bytes, query: Any, headers: Any = None) -> Any:
        upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"))
        answer = ministack_complete(bucket, key, body, query, headers)
        # A repeated request finds no upload any more, and changes no object.
        if upload is not None and answer[0] == 200:
            record = s3._buckets[bucket]["objects"][key]
            record["last_modified"] = upload["created"]
            for version in s3._object_versions.get((bucket, key), ()):
                if version["is_latest"]:
                    version["last_modified"] = upload["created"]
        return answer

    s3._complete_multipart_upload = complete


def install_managed_key() -> None:
    """Accept objects that ask for `aws:kms` without naming a key, for which AWS uses its own key.

    The CDK CLI uploads its assets this way. ministack refuses such objects. No key policy is
    evaluated for them, because the policy of AWS's own key allows everyone in the account.
    """
    from ministack.services import s3

    ministack_headers = s3._resolve_sse_write_headers

    def resolve(headers: dict[str, str], bucket: str) -> Any:
        asked = {name for name in headers if name.startswith("x-amz-server-side-encryption")}
        if asked == {_ENCRYPTION} and headers[_ENCRYPTION] == "aws:kms":
            return {_ENCRYPTION: "aws:kms"}, None
        return ministack_headers(headers, bucket)

    s3._resolve_sse_write_headers = resolve
