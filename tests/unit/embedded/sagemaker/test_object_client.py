"""Jobs read and write objects by plain requests, and meet errors as botocore raises them."""

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from embedded.sagemaker.object_client import ObjectClient

KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/k"


class Answer:
    def __init__(self, status: int) -> None:
        self.status = status
        self.body = io.BytesIO(b"content")


class FakeSession:
    """A session that answers with statuses, or not at all for 0."""

    def __init__(self, status: int) -> None:
        self._status = status
        self.requests: list[Any] = []

    def request(self, method: str, path: str, headers: Any = None, body: Any = None) -> Answer:
        self.requests.append((method, path, headers, body.read() if body else b""))
        if not self._status:
            raise HTTPClientError(error=RuntimeError("no answer"))
        return Answer(self._status)


class FakeClient:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def get_object(self, **fields: Any) -> Any:
        self.calls.append(fields)
        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")

    def put_object(self, **fields: Any) -> Any:
        self.calls.append({**fields, "Body": fields["Body"].read()})


def test_objects_are_read_and_written_by_plain_requests() -> None:
    session, client = FakeSession(200), FakeClient()
    objects: Any = ObjectClient(client, session)  # type: ignore[arg-type]
    assert objects.get_object(Bucket="bucket", Key="a b/ü?")["Body"].read() == b"content"
    body = io.BytesIO(b"123")
    body.seek(2)
    objects.put_object(Bucket="bucket", Key="a", Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=KEY_ARN)
    encryption = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": KEY_ARN}
    assert session.requests == [
        ("GET", "/bucket/a%20b/%C3%BC%3F", None, b""),
        ("PUT", "/bucket/a", {**encryption, "content-length": "3"}, b"123"),
    ]
    assert client.calls == []


@pytest.mark.parametrize("status", [0, 403, 503])
def test_the_client_repeats_a_request_that_fails(status: int) -> None:
    session, client = FakeSession(status), FakeClient()
    objects: Any = ObjectClient(client, session)  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="NoSuchKey"):
        objects.get_object(Bucket="bucket", Key="a")
    objects.put_object(Bucket="bucket", Key="a", Body=io.BytesIO(b"123"), SSEKMSKeyId=KEY_ARN)
    assert client.calls == [
        {"Bucket": "bucket", "Key": "a"},
        {"Bucket": "bucket", "Key": "a", "Body": b"123", "SSEKMSKeyId": KEY_ARN},
    ]
