"""A client of S3 for jobs, which reads and writes objects of this process without botocore's work per request."""

from __future__ import annotations

from typing import Any, BinaryIO
from urllib.parse import quote

from botocore.exceptions import HTTPClientError

from embedded.http.in_process import Session

_ENCRYPTION = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}


class ObjectClient:
    """A botocore client whose `get_object` and `put_object` first try a plain request.

    Most of them succeed. The client repeats the others: it waits and tries again as SDKs do, and raises the errors.
    """

    def __init__(self, client: Any, session: Session) -> None:
        self._client = client
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - botocore's names
        """Return the `Body` of an object.

        Raises:
            ClientError: It cannot be read.
        """
        try:
            answer = self._session.request("GET", _path(Bucket, Key))
        except HTTPClientError:
            answer = None
        if answer is not None and answer.status == 200:
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
        try:
            if self._session.request("PUT", _path(Bucket, Key), headers, Body).status == 200:
                return
        except HTTPClientError:
            pass
        Body.seek(0)
        self._client.put_object(Bucket=Bucket, Key=Key, Body=Body, **encryption)


def _path(bucket: str, key: str) -> str:
    return f"/{bucket}/{quote(key, safe='/~')}"
