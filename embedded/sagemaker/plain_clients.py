"""Clients for jobs, which make the requests of every job to this process without botocore's work per request."""

from __future__ import annotations

import json
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree as ET

from botocore.exceptions import HTTPClientError

from embedded.http.in_process import Exchange, Session

_ENCRYPTION = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}


class _PlainClient:
    """A botocore client whose operations for each job first try a plain request.

    Most of them succeed. The client repeats the others: it waits and tries again as SDKs do, and raises the errors.
    """

    def __init__(self, client: Any, session: Session) -> None:
        self._client = client
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _success(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None, *, query: str = ""
    ) -> Exchange | None:
        """Return the answer to a request; None if it did not succeed."""
        try:
            answer = self._session.request(method, path, headers, body, query=query)
        except HTTPClientError:
            return None
        return answer if answer.status == 200 else None


class ObjectClient(_PlainClient):
    """A client of S3."""

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - botocore's names
        """Return the `Body` of an object.

        Raises:
            ClientError: It cannot be read.
        """
        if answer := self._success("GET", _path(Bucket, Key)):
            return {"Body": answer.body}
        found: dict[str, Any] = self._client.get_object(Bucket=Bucket, Key=Key)
        return found

    def put_object(self, *, Bucket: str, Key: str, Body: BinaryIO, **encryption: str) -> None:  # noqa: N803
        """Write an object from the start of a file.

        Raises:
            ClientError: It cannot be written.
        """
        Body.seek(0, 2)
        headers = {_ENCRYPTION[name]: value for name, value in encryption.items()}
        headers["content-length"] = str(Body.tell())
        Body.seek(0)
        if self._success("PUT", _path(Bucket, Key), headers, Body):
            return
        Body.seek(0)
        self._client.put_object(Bucket=Bucket, Key=Key, Body=Body, **encryption)

    def list_objects_v2(self, *, Bucket: str, Prefix: str, **token: str) -> dict[str, Any]:  # noqa: N803
        """Return a page of the objects below a prefix: `Contents` with each `Key`, and the `NextContinuationToken`.

        Args:
            token: The `ContinuationToken` of the page, except for the first one.

        Raises:
            ClientError: They cannot be listed.
        """
        fields = {"encoding-type": "url", "list-type": "2", "prefix": Prefix}
        if token:
            fields["continuation-token"] = token["ContinuationToken"]
        answer = self._success("GET", f"/{Bucket}", query=urlencode(fields, quote_via=quote))
        if answer is None:
            page: dict[str, Any] = self._client.list_objects_v2(Bucket=Bucket, Prefix=Prefix, **token)
            return page
        listing = ET.fromstring(answer.body.read())  # noqa: S314 - this process has written it
        keys = [{"Key": unquote(key.text or "")} for key in listing.iterfind("{*}Contents/{*}Key")]
        following = listing.findtext("{*}NextContinuationToken")
        return {"Contents": keys, **({"NextContinuationToken": following} if following else {})}


class LogClient(_PlainClient):
    """A client of CloudWatch Logs."""

    def create_log_stream(self, **fields: Any) -> None:
        """Create a stream.

        Raises:
            ClientError: It cannot be created.
        """
        if not self._has_done("CreateLogStream", fields):
            self._client.create_log_stream(**fields)

    def put_log_events(self, **fields: Any) -> None:
        """Append events to a stream.

        Raises:
            ClientError: They cannot be appended.
        """
        if not self._has_done("PutLogEvents", fields):
            self._client.put_log_events(**fields)

    def _has_done(self, operation: str, fields: dict[str, Any]) -> bool:
        body = json.dumps(fields).encode()
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "content-length": str(len(body)),
            "x-amz-target": f"Logs_20140328.{operation}",
        }
        return self._success("POST", "/", headers, body) is not None


def _path(bucket: str, key: str) -> str:
    return f"/{bucket}/{quote(key, safe='/~')}"
