"""Copies are limited in size as on AWS, and their answers have checksums."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from ministack.services import s3

from embedded.ministack.s3 import copies
from embedded.ministack.s3.checksums import install_checksums
from embedded.ministack.s3.copies import install_copies
from embedded.ministack.s3.object_contents import ContentStore, install_objects_on_disk
from tests.unit.checksums import crc64nvme
from tests.unit.embedded.ministack.s3.test_checksums import CHANGED
from tests.unit.embedded.ministack.s3.test_object_contents import HOOKS, send

BODY = b"0123456789" * 3
TOO_LARGE = "<Code>InvalidRequest</Code><Message>The specified copy source is larg"


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*HOOKS, *CHANGED, "_copy_object", "_upload_part_copy"):
        monkeypatch.setattr(s3, name, getattr(s3, name))
    monkeypatch.setattr(s3, "DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(copies, "MAX_COPY_BYTES", len(BODY) - 1)
    install_objects_on_disk(ContentStore(tmp_path / "objects"))
    install_checksums()
    install_copies()
    send("PUT", "/bucket")
    send("PUT", "/bucket/large", BODY)
    send("PUT", "/bucket/small", BODY[1:])
    yield
    s3.reset()


def test_one_request_copies_at_most_5_gib() -> None:
    with pytest.raises(AssertionError, match=TOO_LARGE):
        send("PUT", "/bucket/copy", x_amz_copy_source="/bucket/large")
    answer = send("PUT", "/bucket/copy", x_amz_copy_source="/bucket/small", x_amz_checksum_algorithm="CRC64NVME")[1]
    assert ET.fromstring(answer).findtext("{*}ChecksumCRC64NVME") == crc64nvme(BODY[1:])  # noqa: S314


def test_a_copy_gets_the_checksum_that_the_request_asks_for() -> None:
    send("PUT", "/bucket/other", b"123456789", x_amz_sdk_checksum_algorithm="CRC32")
    answer = send("PUT", "/bucket/copy", x_amz_copy_source="/bucket/other", x_amz_checksum_algorithm="CRC64NVME")[1]
    assert ET.fromstring(answer).findtext("{*}ChecksumCRC64NVME") == "rosUhgp5mIg="  # noqa: S314


def test_parts_of_a_large_object_are_copied_without_reading_all_of_it() -> None:
    begun = send("POST", "/bucket/copy", query={"uploads": [""]}, x_amz_checksum_algorithm="CRC64NVME")[1]
    upload = [ET.fromstring(begun).findtext("{*}UploadId") or ""]  # noqa: S314
    query = {"partNumber": ["1"], "uploadId": upload}
    with pytest.raises(AssertionError, match=TOO_LARGE):
        send("PUT", "/bucket/copy", b"", query, x_amz_copy_source="/bucket/large")
    parts = ""
    for number, copied in enumerate(("bytes=0-19", "bytes=20-29"), 1):
        query = {"partNumber": [str(number)], "uploadId": upload}
        answer = send(
            "PUT", "/bucket/copy", b"", query, x_amz_copy_source="/bucket/large", x_amz_copy_source_range=copied
        )[1]
        etag = ET.fromstring(answer).findtext("{*}ETag")  # noqa: S314
        parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    request = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    answer = send("POST", "/bucket/copy", request, {"uploadId": upload})[1]
    assert ET.fromstring(answer).findtext("{*}ChecksumCRC64NVME") == crc64nvme(BODY)  # noqa: S314
    assert send("GET", "/bucket/copy")[1] == BODY
