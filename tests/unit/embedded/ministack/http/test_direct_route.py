"""Plain requests get the same answers without ministack's routes for other kinds of requests."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import ministack.app
import pytest
from ministack.services import dynamodb, s3

from embedded.ministack.http.direct_route import with_direct_route
from embedded.ministack.http.messages import header_map, query_map
from embedded.ministack.http.request_memory import remembered

KEY = "AKIAFLEETSCORELOCAL1"
IDS = {"x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "date", "last-modified"}


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    s3.reset()
    dynamodb.reset()


def request(
    method: str, path: str, body: bytes = b"", service: str = "s3", query: str = "", **headers: str
) -> tuple[dict[str, Any], bytes]:
    """Return an ASGI scope and the body."""
    scope = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x"
    )
    named = {"host": "localhost:4566", "authorization": scope, "content-length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    encoded = [(name.encode(), value.encode()) for name, value in named.items()]
    return {
        "type": "http", "method": method, "scheme": "https", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": encoded, "client": ("127.0.0.1", 1),
    }, body  # fmt: skip


def answer(application: Any, asked: tuple[dict[str, Any], bytes]) -> tuple[int, dict[str, str], bytes]:
    scope, body = asked
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def call() -> None:
        with remembered(KEY, header_map(scope), query_map(scope)):
            await application(scope, receive, send)

    asyncio.run(call())
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    assert len(headers) == len(sent[0]["headers"])
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def table(operation: str, **fields: Any) -> tuple[dict[str, Any], bytes]:
    body = json.dumps(fields).encode()
    return request("POST", "/", body, "dynamodb", x_amz_target=f"DynamoDB_20120810.{operation}")


REQUESTS = {
    "get": request("GET", "/bucket/a%20b", range="bytes=1-2"),
    "absent": request("GET", "/bucket/absent"),
    "head": request("HEAD", "/bucket/a%20b"),
    "head-of-absent": request("HEAD", "/bucket/absent"),
    "head-of-bucket": request("HEAD", "/bucket"),
    "list": request("GET", "/bucket", query="list-type=2&prefix=a&start-after="),
    "put": request("PUT", "/bucket/new", b"content", content_type="text/x"),
    "cut-off": request("PUT", "/bucket/cut", b"content", content_length="9"),
    "delete": request("DELETE", "/bucket/a%20b"),
    "item": table("GetItem", TableName="absent", Key={"k": {"S": "x"}}),
    "not-json": request("POST", "/", b"{", "dynamodb", x_amz_target="DynamoDB_20120810.GetItem"),
    "unknown": table("Unknown"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_are_those_of_ministack(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    for application in (ministack.app.app, with_direct_route(ministack.app.app)):
        answer(ministack.app.app, request("PUT", "/bucket"))
        answer(ministack.app.app, request("PUT", "/bucket/a%20b", b"12345"))
        if answers:

            async def fail(*_: Any) -> None:
                raise AssertionError("the request has met ministack's other routes")

            monkeypatch.setattr(ministack.app, "_handle_pre_body_request", fail)
        status, headers, body = answer(application, REQUESTS[name])
        assert "date" in headers
        shown = {key: "" if key in IDS else value for key, value in headers.items()}
        answers.append((status, shown, body.partition(b"<RequestId>")[0].partition(b"<LastModified>")[0]))
        s3.reset()
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "asked",
    [
        request("OPTIONS", "/bucket/a"),
        request("GET", "/no-such-bucket/a"),
        request("GET", "/a", host="bucket.localhost:4566"),
        request("GET", "/iceberg/v1/config"),
        request("POST", "/", b"Action=ListQueues", "sqs"),
        request("GET", "/", service="dynamodb", x_amz_target="DynamoDB_20120810.GetItem"),
    ],
)
def test_other_requests_go_through_all_routes(asked: tuple[dict[str, Any], bytes]) -> None:
    answer(ministack.app.app, request("PUT", "/bucket"))
    met = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        met.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    answer(with_direct_route(application), asked)
    assert met == [asked[0]["path"]]
