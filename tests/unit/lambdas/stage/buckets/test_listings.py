"""Listings are read as botocore's own parser reads them, or left to it."""

import io
from datetime import datetime
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdas.stage.buckets.listings import read_entries, read_listings_quickly

FIELDS = ("Key", "LastModified", "ETag", "Size", "StorageClass")
ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-05T10:00:00.000Z</LastModified><ETag>{etag}</ETag>"
    "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size>"
    "<StorageClass>{storage}</StorageClass>{more}</Contents>"
)
QUOTED = "&quot;d41d8cd98f00b204e9800998ecf8427e-12&quot;"
RESTORED = (
    "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
    "<RestoreExpiryDate>2026-03-01T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>"
)
RESTORING = "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>"


def entry(key: str = "a.parquet", *, etag: str = QUOTED, storage: str = "STANDARD", more: str = "") -> str:
    return ENTRY.format(key=key, etag=etag, size=12, storage=storage, more=more)


def listing(*entries: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        "<Name>b</Name><Prefix>p/</Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>"
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;n</NextContinuationToken>{''.join(entries)}"
        "<CommonPrefixes><Prefix>p/q/</Prefix></CommonPrefixes></ListBucketResult>"
    ).encode()


class _Raw(io.BytesIO):
    """A body as botocore's HTTP session has it."""

    def stream(self, **_: Any) -> Any:
        yield self.read()


def client(body: bytes, *, quick: bool) -> Any:
    """Return a client whose answers have this body."""
    made = boto3.client(
        "s3", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    made.meta.events.register("before-send.s3", lambda request, **_: AWSResponse(request.url, 200, {}, _Raw(body)))
    if quick:
        read_listings_quickly(made, datetime.fromisoformat)
    return made


def answer(body: bytes, *, quick: bool) -> dict[str, Any]:
    found: dict[str, Any] = client(body, quick=quick).list_objects_v2(Bucket="b")
    del found["ResponseMetadata"]
    return found


@pytest.mark.parametrize(
    "entries",
    [
        [entry()],
        [entry("a+b%20c/%C3%BC%26.parquet"), entry("z", storage="GLACIER", more=RESTORING)],
        [entry(storage="DEEP_ARCHIVE", more=RESTORED), entry("b", storage="INTELLIGENT_TIERING")],
        [entry(etag='"plain"'), entry(etag="&quot;&amp;quot;&lt;&apos;&quot;")],
        [entry(more="<Owner><ID>12</ID><DisplayName>somebody</DisplayName></Owner>")],
    ],
)
def test_entries_are_those_of_botocore(entries: list[str]) -> None:
    body = listing(*entries)
    assert read_entries(body, datetime.fromisoformat)
    found, expected = answer(body, quick=True), answer(body, quick=False)
    contents, expected_contents = found.pop("Contents"), expected.pop("Contents")
    assert found == expected
    assert [{name: item[name] for name in FIELDS} for item in contents] == [
        {name: item[name] for name in FIELDS} for item in expected_contents
    ]
    assert [set(item.get("RestoreStatus", ())) for item in contents] == [
        set(item.get("RestoreStatus", ())) for item in expected_contents
    ]


@pytest.mark.parametrize(
    "body",
    [
        listing(),
        listing(entry(), "<Contents><Key>b</Key></Contents>"),
        listing(entry(), "<Other/>", entry("b")),
        listing(entry(etag="&#34;1&#34;")),
    ],
)
def test_other_answers_are_left_to_botocore(body: bytes) -> None:
    assert read_entries(body, datetime.fromisoformat) is None
    assert answer(body, quick=True) == answer(body, quick=False)


@pytest.mark.parametrize(
    "body",
    [
        listing(entry(), entry("b"))[:-300],
        b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>",
    ],
)
def test_errors_and_cut_answers_are_errors(body: bytes) -> None:
    for quick in (True, False):
        with pytest.raises(ClientError):
            answer(body, quick=quick)
