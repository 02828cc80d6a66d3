"""Listings of archived objects, objects encrypted with AWS's own key, and times of multipart uploads."""

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ministack.services import s3

from embedded.ministack.s3.objects import (
    default_encryption_key,
    install_managed_key,
    install_multipart_times,
    install_parsed_encryption,
    install_restore_status,
)

BUCKET = "archives"
VERSIONING = {"versioning": [""]}
DAYS = b"<RestoreRequest><Days>2</Days></RestoreRequest>"


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Send requests to ministack's S3: `send("GET", "key", query={})` returns the body."""
    monkeypatch.setattr(s3, "_dispatch", s3._dispatch)
    install_restore_status()

    def request(method: str, key: str = "", body: bytes = b"", query: Any = None, **headers: str) -> bytes:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, _headers, answer = asyncio.run(
            s3.handle_request(method, f"/{BUCKET}/{key}" if key else f"/{BUCKET}", named, body, query or {})
        )
        assert status < 300, answer
        return bytes(answer)

    request("PUT")
    yield request
    s3.reset()


def listed(send: Any, **headers: str) -> dict[str, dict[str, str]]:
    """Return the restore status of each listed object, by key."""
    text = send("GET", query={"list-type": ["2"], "encoding-type": ["url"]}, **headers)
    tree = ET.fromstring(text)  # noqa: S314 - written by ministack
    name = f"{{{s3.S3_NS}}}"
    return {
        entry.findtext(f"{name}Key") or "": {
            field.tag.removeprefix(name): field.text or "" for field in entry.iterfind(f"{name}RestoreStatus/*")
        }
        for entry in tree.iter(f"{name}Contents")
    }


def test_listings_show_restores_when_asked(send: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, storage_class in (("a b", "GLACIER"), ("c", "DEEP_ARCHIVE"), ("d", "STANDARD")):
        send("PUT", key, b"content", x_amz_storage_class=storage_class)
    send("POST", "a b", DAYS, query={"restore": [""]})
    asked = {"x_amz_optional_object_attributes": "RestoreStatus"}
    assert listed(send) == {"a%20b": {}, "c": {}, "d": {}}
    assert listed(send, **asked) == {"a%20b": {"IsRestoreInProgress": "true"}, "c": {}, "d": {}}
    restore = s3._buckets[BUCKET]["objects"]["a b"]["restore"]
    restore["available_at"], restore["expires_at"] = 0.0, 4_070_908_800.0
    status = listed(send, **asked)["a%20b"]
    assert status == {"IsRestoreInProgress": "false", "RestoreExpiryDate": "2099-01-01T00:00:00.000Z"}


def test_objects_may_leave_the_choice_of_a_key_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_resolve_sse_write_headers", s3._resolve_sse_write_headers)
    install_managed_key()
    chosen = {"x-amz-server-side-encryption": "aws:kms"}
    assert s3._resolve_sse_write_headers(chosen, "bucket") == (chosen, None)
    named = {**chosen, "x-amz-server-side-encryption-aws-kms-key-id": "key"}
    assert s3._resolve_sse_write_headers(named, "bucket") == (named, None)
    customer = {**chosen, "x-amz-server-side-encryption-customer-algorithm": "AES256"}
    assert s3._resolve_sse_write_headers(customer, "bucket")[1][0] == 400


def test_an_object_of_a_multipart_upload_dates_from_its_start(send: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_complete_multipart_upload", s3._complete_multipart_upload)
    install_multipart_times()
    send("PUT", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>", query=VERSIONING)
    monkeypatch.setattr(s3, "now_iso", lambda: "2026-01-01T00:00:00.000Z")
    begun = ET.fromstring(send("POST", "late", query={"uploads": [""]}))  # noqa: S314
    upload_id = [begun.findtext("{*}UploadId") or ""]
    monkeypatch.setattr(s3, "now_iso", lambda: "2026-01-02T00:00:00.000Z")
    send("PUT", "late", b"x", {"partNumber": ["1"], "uploadId": upload_id})
    parts = f"<Part><PartNumber>1</PartNumber><ETag>{hashlib.md5(b'x').hexdigest()}</ETag></Part>"  # noqa: S324
    request = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    for _ in range(2):
        send("POST", "late", request, {"uploadId": upload_id})
    for query in ({"list-type": ["2"]}, {"versions": [""]}):
        listing = ET.fromstring(send("GET", query=query))  # noqa: S314
        assert [time.text for time in listing.findall(".//{*}LastModified")] == ["2026-01-01T00:00:00.000Z"]


def test_new_objects_have_the_encryption_that_the_bucket_has_now(send: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_bucket_default_sse_headers", s3._bucket_default_sse_headers)
    install_parsed_encryption()
    text = (
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms"
        "</SSEAlgorithm><KMSMasterKeyID>{}</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>"
        "</ServerSideEncryptionConfiguration>"
    )
    seen = []
    for key_id in ("first", "second", "first", None):
        if key_id is None:
            send("DELETE", query={"encryption": [""]})
        else:
            send("PUT", body=text.format(key_id).encode(), query={"encryption": [""]})
        send("PUT", "object", b"x")
        headers = s3._buckets[BUCKET]["objects"]["object"]["preserved_headers"]
        seen.append((default_encryption_key(BUCKET), headers.get("x-amz-server-side-encryption-aws-kms-key-id", "")))
    assert seen == [("first", "first"), ("second", "second"), ("first", "first"), ("", "")]
