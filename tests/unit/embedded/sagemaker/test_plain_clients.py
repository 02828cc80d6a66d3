"""Jobs make their usual requests plainly, and meet errors as botocore raises them."""

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from embedded.sagemaker.plain_clients import LogClient, ObjectClient

KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/k"


class Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = io.BytesIO(body)


class FakeSession:
    """A session that answers with statuses, or not at all for 0."""

    def __init__(self, status: int, body: bytes = b"content") -> None:
        self._status = status
        self._body = body
        self.requests: list[Any] = []

    def request(self, method: str, path: str, headers: Any = None, body: Any = None, *, query: str = "") -> Answer:
        content = body.read() if isinstance(body, io.BytesIO) else body or b""
        self.requests.append((method, f"{path}?{query}" if query else path, headers, content))
        if not self._status:
            raise HTTPClientError(error=RuntimeError("no answer"))
        return Answer(self._status, self._body)


class FakeClient:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def get_object(self, **fields: Any) -> Any:
        self.calls.append(fields)
        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")

    def put_object(self, **fields: Any) -> Any:
        self.calls.append({**fields, "Body": fields["Body"].read()})

    def list_objects_v2(self, **fields: Any) -> Any:
        self.calls.append(fields)
        return {}

    def create_log_stream(self, **fields: Any) -> Any:
        self.calls.append(fields)

    def put_log_events(self, **fields: Any) -> Any:
        self.calls.append(fields)


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


def test_objects_are_listed_by_plain_requests() -> None:
    listing = (
        b'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<Prefix>p/</Prefix><Contents><Key>p/a%20b%2B%26</Key><Size>1</Size></Contents>"
        b"<Contents><Key>p/%C3%BC</Key></Contents><NextContinuationToken>a+b=</NextContinuationToken>"
        b"</ListBucketResult>"
    )
    session, client = FakeSession(200, listing), FakeClient()
    objects: Any = ObjectClient(client, session)  # type: ignore[arg-type]
    page = objects.list_objects_v2(Bucket="bucket", Prefix="p/ü+&")
    assert page == {"Contents": [{"Key": "p/a b+&"}, {"Key": "p/ü"}], "NextContinuationToken": "a+b="}
    objects.list_objects_v2(Bucket="bucket", Prefix="p/ü+&", ContinuationToken="a+b=")
    query = "/bucket?encoding-type=url&list-type=2&prefix=p%2F%C3%BC%2B%26"
    assert [path for _, path, _, _ in session.requests] == [query, f"{query}&continuation-token=a%2Bb%3D"]
    empty: Any = ObjectClient(client, FakeSession(200, b"<ListBucketResult/>"))  # type: ignore[arg-type]
    assert empty.list_objects_v2(Bucket="bucket", Prefix="p") == {"Contents": []}
    assert client.calls == []


def test_logs_are_written_by_plain_requests() -> None:
    session, client = FakeSession(200), FakeClient()
    logs: Any = LogClient(client, session)  # type: ignore[arg-type]
    place = {"logGroupName": "group", "logStreamName": "stream"}
    logs.create_log_stream(**place)
    logs.put_log_events(**place, logEvents=[{"timestamp": 1, "message": "ü"}])
    assert [(method, path) for method, path, _, _ in session.requests] == [("POST", "/")] * 2
    names = [headers["x-amz-target"] for _, _, headers, _ in session.requests]
    assert names == ["Logs_20140328.CreateLogStream", "Logs_20140328.PutLogEvents"]
    bodies = [json.loads(body) for *_, body in session.requests]
    assert bodies == [place, {**place, "logEvents": [{"timestamp": 1, "message": "ü"}]}]
    assert client.calls == []


@pytest.mark.parametrize("status", [0, 403, 503])
def test_the_client_repeats_a_request_that_fails(status: int) -> None:
    session, client = FakeSession(status), FakeClient()
    objects: Any = ObjectClient(client, session)  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="NoSuchKey"):
        objects.get_object(Bucket="bucket", Key="a")
    objects.put_object(Bucket="bucket", Key="a", Body=io.BytesIO(b"123"), SSEKMSKeyId=KEY_ARN)
    objects.list_objects_v2(Bucket="bucket", Prefix="a", ContinuationToken="t")
    logs: Any = LogClient(client, session)  # type: ignore[arg-type]
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[])
    assert client.calls == [
        {"Bucket": "bucket", "Key": "a"},
        {"Bucket": "bucket", "Key": "a", "Body": b"123", "SSEKMSKeyId": KEY_ARN},
        {"Bucket": "bucket", "Prefix": "a", "ContinuationToken": "t"},
        {"logGroupName": "g", "logStreamName": "s"},
        {"logGroupName": "g", "logStreamName": "s", "logEvents": []},
    ]
