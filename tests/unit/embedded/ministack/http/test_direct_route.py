"""Plain requests get the same answers without ministack's routes for other kinds of requests."""

import asyncio
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ministack.app
import pytest
from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import dynamodb, iam, s3

from embedded.ministack.http import direct_route
from embedded.ministack.http.direct_route import _new_id, with_direct_route
from embedded.ministack.http.messages import header_map, query_map
from embedded.ministack.http.request_memory import install_request_memory, remembered
from embedded.ministack.iam import call_recording
from embedded.ministack.iam.identity import role_credentials

KEY = "AKIADIRECTROUTETEST1"
CHUNKED = {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x_amz_decoded_content_length": "3"}
IDS = {"x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "date", "last-modified"}


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    s3.reset()
    dynamodb.reset()
    iam.reset()


@pytest.fixture
def enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enforce policies, and let a user with them send the requests."""
    monkeypatch.setattr(ministack.app, "AUTH", True)
    monkeypatch.setattr(ministack.app, "pin_signed_request", ministack.app.pin_signed_request)
    monkeypatch.setattr(iam_evaluator, "resolve_principal", iam_evaluator.resolve_principal)
    for name in ("expected_success_content_type", "expected_error_content_type"):
        monkeypatch.setattr(responses, name, getattr(responses, name))
    for module in (iam_actions, dynamodb):
        monkeypatch.setattr(module, "json", module.json)
    install_request_memory()
    allow = {"Effect": "Allow", "Action": ["s3:*", "dynamodb:GetItem"], "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "*", "Resource": ["*/secret", "*:table/secret"]}
    iam._create_user({"UserName": ["u"]})
    iam._user_inline_policies["u"] = {"p": json.dumps({"Statement": [allow, deny]})}
    iam._access_keys[KEY] = {"UserName": "u", "AccessKeyId": KEY, "SecretAccessKey": "s", "Status": "Active"}


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


def answer(application: Any, asked: tuple[dict[str, Any], bytes], key: str = KEY) -> tuple[int, dict[str, str], bytes]:
    scope, body = asked
    named = [(name, value.replace(KEY.encode(), key.encode())) for name, value in scope["headers"]]
    scope = {**scope, "headers": named}
    sent: list[dict[str, Any]] = []

    cuts = range(0, len(body), 4) if scope.get("cut") else [0]
    parts = [body[at : at + 4] if scope.get("cut") else body for at in cuts]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def call() -> None:
        with remembered(key, header_map(scope), query_map(scope)):
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
    "put-in-chunks": request("PUT", "/bucket/new", b"3\r\nabc\r\n0\r\n\r\n", **CHUNKED),
    "delete": request("DELETE", "/bucket/a%20b"),
    "item": table("GetItem", TableName="absent", Key={"k": {"S": "x"}}),
    "not-json": request("POST", "/", b"{", "dynamodb", x_amz_target="DynamoDB_20120810.GetItem"),
    "unknown": table("Unknown"),
    "denied": request("GET", "/bucket/secret"),
    "denied-head": request("HEAD", "/bucket/secret"),
    "denied-item": table("GetItem", TableName="secret", Key={"k": {"S": "x"}}),
    "no-permission": table("PutItem", TableName="absent", Item={"k": {"S": "x"}}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_are_those_of_ministack(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = answers(REQUESTS[name], monkeypatch)
    assert first == second


@pytest.mark.usefixtures("enforced")
@pytest.mark.parametrize("name", REQUESTS)
def test_answers_with_enforced_policies_are_those_of_ministack(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = answers(REQUESTS[name], monkeypatch)
    assert first == second
    assert (first[0] in {400, 403}) or name not in {"denied", "denied-head", "denied-item", "no-permission"}


@pytest.mark.parametrize("name", ["put", "put-in-chunks", "item", "cut-off"])
def test_bodies_may_arrive_in_several_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scope, body = REQUESTS[name]
    in_parts = answers(({**scope, "cut": True}, body), monkeypatch)
    monkeypatch.undo()
    at_once = answers(REQUESTS[name], monkeypatch)
    assert [*in_parts, *at_once] == [at_once[0]] * 4


def test_identifiers_of_requests_are_random_uuids() -> None:
    found = {_new_id() for _ in range(100)}
    assert len(found) == 100
    for each in found:
        assert str(uuid.UUID(each)) == each
        assert (uuid.UUID(each).version, uuid.UUID(each).variant) == (4, uuid.RFC_4122)


@pytest.mark.usefixtures("enforced")
def test_policies_count_as_they_are_when_the_body_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(ministack.app.app, request("PUT", "/bucket"))
    read = direct_route._plain_body

    async def slowly(*arguments: Any) -> Any:
        found = await read(*arguments)
        iam._user_inline_policies["u"] = {}
        return found

    application = with_direct_route(ministack.app.app)
    assert answer(application, REQUESTS["put"])[0] == 200
    monkeypatch.setattr(direct_route, "_plain_body", slowly)
    assert answer(application, REQUESTS["put"])[0] == 403


@pytest.mark.usefixtures("enforced")
@pytest.mark.parametrize("name", ["get", "absent", "head", "list", "put", "delete", "item"])
def test_ministack_decides_nothing_about_allowed_requests(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("ministack has decided about the request")

    answer(ministack.app.app, request("PUT", "/bucket"))
    for module, decides in ((ministack.app, "_dispatch_service_request"), (iam_evaluator, "enforce")):
        monkeypatch.setattr(module, decides, fail)
    answer(with_direct_route(ministack.app.app), REQUESTS[name])


def answers(asked: tuple[dict[str, Any], bytes], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the answers of ministack and of the direct route, without what differs between two requests."""
    found = []
    for application in (ministack.app.app, with_direct_route(ministack.app.app)):
        answer(ministack.app.app, request("PUT", "/bucket"))
        answer(ministack.app.app, request("PUT", "/bucket/a%20b", b"12345"))
        if found:

            async def fail(*_: Any) -> None:
                raise AssertionError("the request has met ministack's other routes")

            monkeypatch.setattr(ministack.app, "_handle_pre_body_request", fail)
        status, headers, body = answer(application, asked)
        assert "date" in headers
        shown = {key: "" if key in IDS else value for key, value in headers.items()}
        body = re.sub(rb"<(RequestId|HostId|LastModified)>.*?</", b"</", body)
        found.append((status, shown, re.sub(rb'"RequestId": ?"[^"]*"', b"", body)))
        s3.reset()
    return found


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


@pytest.mark.usefixtures("enforced")
def test_the_calls_of_roles_are_recorded_as_by_ministack(
    role: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::bucket"}
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "dynamodb:GetItem"], "Resource": "*"},
        {"Effect": "Allow", **bucket, "Condition": {"StringLike": {"s3:prefix": "a"}}},
    ]
    key = role_credentials(role("reader", "lambda.amazonaws.com", *statements), "session").access_key_id
    own = {"Effect": "Deny", "Principal": "*", **bucket, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    monkeypatch.setattr(call_recording, "_recordings", [])
    evaluate = iam_evaluator.evaluate
    recorded = []
    for application in (ministack.app.app, with_direct_route(ministack.app.app)):
        answer(ministack.app.app, request("PUT", "/bucket"))
        s3._bucket_policies["bucket"] = json.dumps({"Statement": [own]})
        folder = tmp_path / str(len(recorded))
        monkeypatch.setattr(iam_evaluator, "evaluate", evaluate)
        call_recording.install_call_recording(folder)
        for asked in (*REQUESTS.values(), *REQUESTS.values()):
            answer(application, asked, key)
        [file] = folder.iterdir()
        recorded.append([json.loads(line) for line in file.read_text().splitlines()])
        s3.reset()
    assert recorded[0] == recorded[1]
    assert {call["decision"] for call in recorded[0]} == {"Allow", "ImplicitDeny"}
    contexts = [call["context"] for call in recorded[0] if call["action"] == "s3:ListBucket"]
    assert any(context.get("s3:prefix") == "a" for context in contexts)
