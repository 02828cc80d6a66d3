"""Requests that botocore clients of the server process make to its application."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from embedded.http.in_process import CALLER, InProcessCalls

Message = dict[str, Any]
BIG = 20 << 20
STORED: dict[str, bytes] = {}


async def store(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """A small S3: PUT, GET and HEAD of objects."""
    key, found = scope["raw_path"].decode(), scope["raw_path"].decode() in STORED
    assert dict(scope["headers"])[b"host"] == b"localhost:1"
    assert b"Credential=KEY/00000000/us-east-1/s3/aws4_request" in dict(scope["headers"])[b"authorization"]
    assert scope[CALLER] == "KEY"
    if key.endswith("/broken"):
        raise RuntimeError("for a test")
    if scope["method"] == "PUT":
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        STORED[key], found = body, True
    content = STORED.get(key, b"") if scope["method"] != "PUT" else b""
    headers = [(b"content-length", str(len(content)).encode()), (b"x-amz-meta-a", b"b")]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
    for start in range(0, len(content), 1 << 20):
        await send({"type": "http.response.body", "body": content[start : start + (1 << 20)], "more_body": True})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def calls(loop: asyncio.AbstractEventLoop) -> InProcessCalls:
    calls = InProcessCalls()

    async def serve() -> None:
        calls.serve(store)

    asyncio.run_coroutine_threadsafe(serve(), loop).result()
    return calls


def client_of(calls: InProcessCalls) -> Any:
    config = Config(
        request_checksum_calculation="when_required",
        s3={"addressing_style": "path"},
        signature_version=UNSIGNED,
        retries={"total_max_attempts": 1},
    )
    client = boto3.client("s3", endpoint_url="https://localhost:1", config=config, region_name="us-east-1")
    calls.use_for(client, "KEY")
    return client


def test_objects_are_written_and_read_without_a_connection(calls: InProcessCalls) -> None:
    s3 = client_of(calls)
    s3.put_object(Bucket="bucket", Key="a b", Body=b"content")
    assert STORED["/bucket/a%20b"] == b"content"
    assert s3.get_object(Bucket="bucket", Key="a b")["Body"].read() == b"content"
    head = s3.head_object(Bucket="bucket", Key="a b")
    assert (head["ContentLength"], head["Metadata"]) == (7, {"a": "b"})


def test_large_objects_are_streamed(calls: InProcessCalls) -> None:
    s3 = client_of(calls)
    content = bytes(range(256)) * (BIG // 256)
    s3.put_object(Bucket="bucket", Key="big", Body=io.BytesIO(content))
    body = s3.get_object(Bucket="bucket", Key="big")["Body"]
    assert b"".join(body.iter_chunks(1 << 20)) == content


def test_errors_are_those_of_the_service(calls: InProcessCalls) -> None:
    with pytest.raises(ClientError) as missing:
        client_of(calls).head_object(Bucket="bucket", Key="missing")
    assert missing.value.response["Error"]["Code"] == "404"


def test_no_answer_is_an_error_of_the_client(calls: InProcessCalls) -> None:
    with pytest.raises(HTTPClientError, match="for a test"):
        client_of(calls).get_object(Bucket="bucket", Key="broken")
    with pytest.raises(HTTPClientError, match="does not serve requests yet"):
        client_of(InProcessCalls()).get_object(Bucket="bucket", Key="a")
