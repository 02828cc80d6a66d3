"""Uploads of thousands of small objects to a bucket.

botocore determines the endpoint, the user agent and the options again for each request. That takes most of
the time of a small upload, in one thread at a time. They are the same for all uploads to a bucket.
So the first upload is botocore's own. The next ones take its address, Region and user agent, are signed
with its credentials, and use its connections. botocore repeats each upload that S3 does not accept, because it
handles errors, redirects and retries.
"""

import base64
import hashlib
import hmac
import io
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import HTTPClientError
from botocore.hooks import first_non_none_response

from cli.stage.connection import Connection

_BEFORE_SEND = "before-send.s3.PutObject"
_REGION = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+)/s3/aws4_request,")
_OK = 200
_REFUSED = frozenset({301, 307, 400, 401, 403, 405, 411, 501})
"""Statuses that the next uploads without botocore would get too."""


@dataclass(frozen=True)
class _Bucket:
    """What all uploads to a bucket have in common."""

    address: str
    """Address of the bucket with a slash at its end."""
    region: str
    user_agent: str


class SmallUploads:
    """Uploads of bytes where nothing is stored."""

    def __init__(self, s3: Any, connection: Connection) -> None:
        self.s3 = s3
        self._connection = connection
        self._buckets: dict[str, _Bucket | None] = {}
        """What the uploads to each bucket have in common; None if only botocore's own uploads are accepted."""
        self._sent = threading.local()
        # botocore's own handler is for all operations, and runs after those of one.
        s3.meta.events.register_last("before-call.s3", _send_without_asking)
        s3.meta.events.register_last(_BEFORE_SEND, self._keep_sent)

    def put(self, bucket: str, key: str, body: bytes, sha256: str, metadata: Mapping[str, str]) -> str:
        """Store `body`; return the version of the object, empty if the bucket has no versions.

        Raises:
            ClientError: also when an object is stored there already, and when `body` has another SHA-256.
        """
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        known = self._buckets.get(bucket)
        if known is not None:
            headers = {
                "user-agent": known.user_agent,
                "if-none-match": "*",
                "x-amz-checksum-sha256": checksum,
                **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
            }
            status, version = self._send(
                known, AWSPreparedRequest("PUT", known.address + _quoted(key), headers, body, False)
            )
            if status == _OK:
                return version
            if status in _REFUSED:
                self._buckets[bucket] = None
        self._sent.request = None
        answer = self.s3.put_object(
            Bucket=bucket, Key=key, Body=body, Metadata=metadata, ChecksumSHA256=checksum, IfNoneMatch="*"
        )
        if bucket not in self._buckets and self._sent.request is not None:
            self._buckets[bucket] = _learn(self._sent.request, key)
        return answer.get("VersionId") or ""

    def _send(self, bucket: _Bucket, request: AWSPreparedRequest) -> tuple[int, str]:
        """Return the status of the answer, 0 if there is none, and the version of the object."""
        # Asked for each request, because credentials may be renewed meanwhile.
        credentials = self._connection.session().get_credentials().get_frozen_credentials()
        sign(request, credentials, bucket.region, datetime.now(UTC))
        try:
            answer = first_non_none_response(self.s3.meta.events.emit(_BEFORE_SEND, request=request))
            if answer is None:
                answer = self.s3._endpoint.http_session.send(request)  # noqa: SLF001 - botocore has no other way
        except HTTPClientError:
            return 0, ""
        return answer.status_code, answer.headers.get("x-amz-version-id") or ""

    def _keep_sent(self, request: Any, **_: Any) -> None:
        self._sent.request = request


def _learn(request: Any, key: str) -> _Bucket | None:
    """Return what an upload of botocore shows about its bucket; None if later uploads may differ."""
    suffix = _quoted(key)
    region = _REGION.match(_text(request.headers.get("Authorization", "")))
    if region is None or not request.url.endswith(f"/{suffix}"):
        return None
    agent = _text(request.headers.get("User-Agent", ""))
    return _Bucket(request.url.removesuffix(suffix), region[1], agent)


def sign(request: AWSPreparedRequest, credentials: Any, region: str, when: datetime) -> None:
    """Sign a request to S3 without a query (version 4). The names of its headers are in lower case."""
    parts = urlsplit(request.url)
    digest = hashlib.sha256(request.body).hexdigest()
    time = when.strftime("%Y%m%dT%H%M%SZ")
    headers = request.headers
    headers |= {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": time}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    covered = sorted((name, value) for name, value in headers.items() if name != "user-agent")
    names = ";".join(name for name, _ in covered)
    lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in covered)
    canonical = f"{request.method}\n{parts.path}\n\n{lines}\n{names}\n{digest}"
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), text):
        signature = hmac.digest(signature, part.encode(), "sha256")
    source = f"Credential={credentials.access_key}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 {source}, SignedHeaders={names}, Signature={signature.hex()}"


def _quoted(key: str) -> str:
    return quote(key, safe="/~")


def _text(header: str | bytes) -> str:
    return header if isinstance(header, str) else header.decode()


def _send_without_asking(params: dict[str, Any], **_: Any) -> None:
    """Send bytes with the head of their request.

    botocore sends the content of any PutObject after S3 has asked for it, which takes another round trip.
    That pays for large files, which S3 may refuse.
    """
    if isinstance(params.get("body"), io.BytesIO):
        params["headers"].pop("Expect", None)
