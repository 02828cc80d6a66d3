"""Corrections to the checksums that ministack's S3 stores and returns."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from awscrt.checksums import crc64nvme

from embedded.ministack.errors import MinistackChangedError

_ALGORITHM = "CRC64NVME"
_FULL_OBJECT = "FULL_OBJECT"
_TYPE = "checksum_type"
"""Member of ministack's object records that holds the checksum's type."""
_CHECKSUMS = re.compile(r"<Checksum[A-Z0-9]+>[^<]*</Checksum[A-Z0-9]+>|<ChecksumType>[^<]*</ChecksumType>")


def add_checksum(record: dict[str, Any]) -> None:
    """Give a new object the CRC64NVME of its body, unless its client chose another algorithm.

    S3 computes CRC64NVME over the whole object, even after a multipart upload.
    """
    checksums: dict[str, str] = record.get("checksums") or {}
    if not checksums or (_ALGORITHM in checksums and record.get("parts")):
        record["checksums"] = {_ALGORITHM: _base64(record["body"])}
        record[_TYPE] = _FULL_OBJECT


def install_checksums() -> None:
    """Return checksums in the responses to uploads, in object attributes and in listings of the first version."""
    from ministack.services import s3

    changed = ("_put_object", "_complete_multipart_upload", "_get_object_attributes", "_list_objects_v1", "_crc64nvme")
    if missing := [name for name in changed if not callable(getattr(s3, name, None))]:
        raise MinistackChangedError(f"ministack's S3 has no {missing[0]}: install the pinned version")
    # ministack's own implementation takes a second for a few megabytes.
    s3._crc64nvme = crc64nvme
    s3._list_objects_v1 = _with_algorithms(s3, s3._list_objects_v1)
    put, complete, get_attributes = s3._put_object, s3._complete_multipart_upload, s3._get_object_attributes

    def put_object(bucket: str, key: str, body: bytes, headers: dict[str, str]) -> Any:
        status, answered, content = put(bucket, key, body, headers)
        if status == 200:
            record = s3._buckets[bucket]["objects"][key]
            answered |= {f"x-amz-checksum-{name.lower()}": value for name, value in record["checksums"].items()}
            answered["x-amz-checksum-type"] = _FULL_OBJECT
        return status, answered, content

    def complete_multipart_upload(bucket: str, key: str, body: bytes, query: Any, headers: Any = None) -> Any:
        status, answered, content = complete(bucket, key, body, query, headers)
        if status == 200:
            record = s3._buckets[bucket]["objects"][key]
            if record.get(_TYPE) == _FULL_OBJECT:
                content = _with_checksum(content, record["checksums"][_ALGORITHM])
        return status, answered, content

    def get_object_attributes(bucket: str, key: str, headers: Any, query: Any) -> Any:
        status, answered, content = get_attributes(bucket, key, headers, query)
        # ministack derives the type from the parts; its records of versions have none.
        if f"<Checksum{_ALGORITHM}>".encode() in content:
            content = content.replace(b">COMPOSITE<", f">{_FULL_OBJECT}<".encode())
        return status, answered, content

    s3._put_object = put_object
    s3._complete_multipart_upload = complete_multipart_upload
    s3._get_object_attributes = get_object_attributes


def _with_algorithms(s3: Any, list_objects: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a listing so that it names the algorithm of each object's checksum."""

    def listing(bucket: str, query: Any) -> Any:
        status, answered, content = list_objects(bucket, query)
        if status != 200:
            return status, answered, content
        root = ET.fromstring(content)  # noqa: S314 - ministack's own answer
        namespace = root.tag.partition("}")[0] + "}"
        ET.register_namespace("", namespace[1:-1])
        encoded = root.find(f"{namespace}EncodingType") is not None
        objects = s3._buckets[bucket]["objects"]
        for entry in root.iter(f"{namespace}Contents"):
            key = entry.findtext(f"{namespace}Key") or ""
            record = objects.get(unquote(key) if encoded else key, {})
            for name in record.get("checksums") or ():
                ET.SubElement(entry, f"{namespace}ChecksumAlgorithm").text = name
                ET.SubElement(entry, f"{namespace}ChecksumType").text = record.get(_TYPE) or _FULL_OBJECT
        return status, answered, ET.tostring(root, encoding="UTF-8", xml_declaration=True)

    return listing


def _with_checksum(content: bytes, checksum: str) -> bytes:
    end = "</CompleteMultipartUploadResult>"
    elements = f"<Checksum{_ALGORITHM}>{checksum}</Checksum{_ALGORITHM}><ChecksumType>{_FULL_OBJECT}</ChecksumType>"
    return _CHECKSUMS.sub("", content.decode()).replace(end, elements + end).encode()


def _base64(body: bytes) -> str:
    return base64.b64encode(crc64nvme(body).to_bytes(8, "big")).decode()
