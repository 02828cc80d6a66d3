"""Objects get the checksums of S3, and responses show them as S3's do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ministack.services import s3

from embedded.ministack.s3.checksums import install_checksums
from embedded.ministack.s3.listing import install_listings
from embedded.ministack.s3.object_contents import ContentStore, install_objects_on_disk
from tests.unit.checksums import crc64nvme
from tests.unit.embedded.ministack.s3.test_object_contents import HOOKS, send

CHANGED = (
    "_put_object", "_complete_multipart_upload", "_get_object_attributes", "_list_objects_v1", "_list_objects_v2",
    "_collect_list_entries", "_crc64nvme",
)  # fmt: skip
SHOW = {"x_amz_checksum_mode": "ENABLED"}


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*HOOKS, *CHANGED):
        monkeypatch.setattr(s3, name, getattr(s3, name))
    monkeypatch.setattr(s3, "DATA_DIR", str(tmp_path / "data"))
    install_objects_on_disk(ContentStore(tmp_path / "objects"))
    kind = type(s3._buckets)
    install_checksums()
    install_listings()
    send("PUT", "/bucket")
    yield
    s3.reset()
    s3._buckets.__class__ = kind


def shown(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("x-amz-checksum-")}


def attributes(key: str) -> dict[str, str | None]:
    answer = send("GET", f"/bucket/{key}", query={"attributes": [""]}, x_amz_object_attributes="Checksum")[1]
    return {element.tag.partition("}")[2]: element.text for element in ET.fromstring(answer).iter()}  # noqa: S314


def upload(key: str, *bodies: bytes, **headers: str) -> bytes:
    """Upload an object in parts, and return the answer to the last request."""
    begun = send("POST", f"/bucket/{key}", query={"uploads": [""]}, **headers)[1]
    upload_id = [ET.fromstring(begun).findtext("{*}UploadId") or ""]  # noqa: S314
    parts = ""
    for number, body in enumerate(bodies, 1):
        part = send("PUT", f"/bucket/{key}", body, {"partNumber": [str(number)], "uploadId": upload_id})[0]
        parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{part['etag']}</ETag></Part>"
    request = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    return send("POST", f"/bucket/{key}", request, {"uploadId": upload_id})[1]


def test_an_object_without_a_checksum_gets_crc64nvme() -> None:
    expected = {"x-amz-checksum-crc64nvme": "rosUhgp5mIg=", "x-amz-checksum-type": "FULL_OBJECT"}
    assert shown(send("PUT", "/bucket/a", b"123456789")[0]) == expected
    for method in ("HEAD", "GET"):
        assert shown(send(method, "/bucket/a", **SHOW)[0]) == expected
        assert shown(send(method, "/bucket/a")[0]) == {}
    assert shown(send("GET", "/bucket/a", range="bytes=0-3", **SHOW)[0]) == {}
    assert attributes("a")["ChecksumCRC64NVME"] == "rosUhgp5mIg="
    assert attributes("a")["ChecksumType"] == "FULL_OBJECT"
    assert crc64nvme(b"123456789") == "rosUhgp5mIg="


def test_an_object_with_another_checksum_keeps_it() -> None:
    send("PUT", "/bucket/a", b"123456789", x_amz_sdk_checksum_algorithm="CRC32")
    assert shown(send("HEAD", "/bucket/a", **SHOW)[0]) == {
        "x-amz-checksum-crc32": "y/Q5Jg==",
        "x-amz-checksum-type": "FULL_OBJECT",
    }


@pytest.mark.parametrize("algorithm", [{}, {"x_amz_checksum_algorithm": "CRC64NVME"}])
def test_a_multipart_upload_has_the_checksum_of_the_whole_object(algorithm: Any) -> None:
    bodies = (b"x" * (5 << 20), b"y")
    expected = crc64nvme(b"".join(bodies))
    completed = ET.fromstring(upload("a", *bodies, **algorithm))  # noqa: S314
    assert (completed.findtext("{*}ChecksumCRC64NVME"), completed.findtext("{*}ChecksumType")) == (
        expected,
        "FULL_OBJECT",
    )
    assert shown(send("HEAD", "/bucket/a", **SHOW)[0]) == {
        "x-amz-checksum-crc64nvme": expected,
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    assert (attributes("a")["ChecksumCRC64NVME"], attributes("a")["ChecksumType"]) == (expected, "FULL_OBJECT")


def test_other_checksums_of_multipart_uploads_stay_composite() -> None:
    upload("a", b"x" * (5 << 20), b"y", x_amz_checksum_algorithm="CRC32")
    headers = shown(send("HEAD", "/bucket/a", **SHOW)[0])
    assert headers["x-amz-checksum-type"] == "COMPOSITE"
    assert headers["x-amz-checksum-crc32"].endswith("-2")


@pytest.mark.parametrize("version", ["2", "1"])
def test_listings_name_the_algorithm(version: str) -> None:
    send("PUT", "/bucket/a b+c&%20/\u00fc", b"1")
    send("PUT", "/bucket/z", b"1", x_amz_sdk_checksum_algorithm="SHA256")
    query = {"encoding-type": ["url"]} | ({"list-type": ["2"]} if version == "2" else {})
    listing = ET.fromstring(send("GET", "/bucket", query=query)[1])  # noqa: S314
    found = [
        (entry.findtext("{*}ChecksumAlgorithm"), entry.findtext("{*}ChecksumType"), entry.findtext("{*}Size"))
        for entry in listing.findall("{*}Contents")
    ]
    assert found == [("CRC64NVME", "FULL_OBJECT", "1"), ("SHA256", "FULL_OBJECT", "1")]


def test_a_copy_has_the_checksum_of_its_source() -> None:
    send("PUT", "/bucket/a", b"123456789")
    send("PUT", "/bucket/b", x_amz_copy_source="/bucket/a")
    assert shown(send("HEAD", "/bucket/b", **SHOW)[0])["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="


def test_a_version_keeps_its_checksum() -> None:
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    send("PUT", "/bucket", enabled, {"versioning": [""]})
    first = send("PUT", "/bucket/a", b"123456789")[0]["x-amz-version-id"]
    send("PUT", "/bucket/a", b"2")
    headers = send("HEAD", "/bucket/a", query={"versionId": [first]}, **SHOW)[0]
    assert shown(headers)["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="
