"""The fast path of a plain request through ministack, to the service that its signature names."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: SLF001

import base64
import functools
import os
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.http.messages import Message, Receive, Send, answer
from embedded.ministack.http.request_memory import SignedRequest, signed_request
from embedded.ministack.plain_requests.callers import Caller, known_caller
from embedded.ministack.plain_requests.calls import JSON_SERVICES, PlainRequest, calls_of, service_and_action
from embedded.ministack.plain_requests.modules import application, evaluator, objects, request_scopes
from embedded.ministack.plain_requests.permissions import CallContext, Principal, Situation, is_allowed
from embedded.ministack.plain_requests.signature import HASH_HEADER

_HOSTS = ("localhost", "127.0.0.1")
"""Services whose requests all have the path `/` and name their operation in a header."""
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
"""Methods of S3."""
_OTHER_ROUTES = ("/iceberg", "/v20180820/")
"""Paths that ministack does not give to S3."""
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, HEAD, OPTIONS, PATCH",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "*",
}
"""Headers that ministack adds to the responses of all services but S3."""
_NEEDED = (
    "_dispatch_service_request", "_read_request_body", "_incomplete_request_body_response", "_request_account_scope",
    "_asgi_header_list", "_send_streaming_response", "_IncompleteRequestBody",
    "_RequestBodyDisconnected", "pin_request_origin", "SERVICE_HANDLERS", "_maybe_record_cloudtrail",
    "fix_error_content_type", "fix_success_content_type",
    "set_request_account_id", "set_request_client_ip", "set_request_region", "pin_signed_request",
)  # fmt: skip

Answer = tuple[int, dict[str, Any], Any]


def with_direct_route(ministack_application: Any) -> Any:
    """Wrap ministack's application so that plain requests skip its routes for hosts and paths of other kinds.

    ministack compares each request with the routes of load balancers, function URLs, distributions, consoles and
    more before it looks for a service. That takes about as long as many an operation.
    """
    if missing := [name for name in _NEEDED if not hasattr(application(), name)]:
        raise MinistackChangedError(f"ministack's application has no {missing[0]}: install the pinned version")

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        request = signed_request()
        if scope["type"] == "http" and request is not None:
            signed_for = _plain_service(scope, request.headers)
            if signed_for is not None:
                await _answer(scope, request, signed_for, receive, send)
                return
        await ministack_application(scope, receive, send)

    return serve


def _plain_service(scope: Message, headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return service and Region in the signature of a request that ministack's other routes cannot match."""
    if headers.get("host", "").partition(":")[0] not in _HOSTS or len(headers) != len(scope["headers"]):
        return None
    signed = headers["authorization"].partition("Credential=")[2].split("/", 5)
    if len(signed) < 5 or len(signed[1]) != 8 or not signed[1].isdecimal() or not signed[4].startswith("aws4_request"):
        return None
    region, service = signed[2:4]
    path = str(scope["path"])
    if service == "s3":
        bucket = path[1:].partition("/")[0]
        is_plain = scope["method"] in _METHODS and bucket in objects()._buckets and not path.startswith(_OTHER_ROUTES)
    else:
        is_plain = service in JSON_SERVICES and "x-amz-target" in headers and scope["method"] == "POST" and path == "/"
    return (service, region) if is_plain and region else None


async def _answer(
    scope: Message, signed: SignedRequest, signed_for: tuple[str, str], receive: Receive, send: Send
) -> None:
    app = application()
    method, path, headers, query = scope["method"], scope["path"], dict(signed.headers), signed.query
    if scope.get("scheme") == "https":
        headers.setdefault("x-forwarded-proto", "https")
    client = (scope.get("client") or ("127.0.0.1",))[0]
    origin = client, headers.get("x-forwarded-proto", "").split(",")[0].strip().lower() == "https"
    app.set_request_client_ip(client)
    app.set_request_region(signed_for[1])
    if app.AUTH:
        app.pin_request_origin(*origin)
        app.pin_signed_request(method, path, query, scope["headers"])
    try:
        body, receive = await _plain_body(receive, headers)
        if body is None:
            body = await app._read_request_body(receive, method, headers)
    except app._RequestBodyDisconnected:
        return
    except app._IncompleteRequestBody as failure:
        refused = app._incomplete_request_body_response(method, path, headers, query)
        if refused is not None:
            await answer(send, *refused)
            return
        body = failure.body
    # After the body was received, which may take its time: policies may have changed.
    caller = known_caller(signed.access_key_id) if app.AUTH else None
    account_id = _pin_account(signed.access_key_id, caller)
    request = PlainRequest(method, path, headers, body, query, signed_for[1], account_id)
    request_id = _new_id()
    service = "" if caller is None else _allowed_service(signed_for[0], request, caller.principal, origin)
    if service:
        answered = await _handled(service, request, request_id)
    else:
        answered = await app._dispatch_service_request(method, path, headers, body, query, request_id)
    await _send(request, answered, receive, send)


async def _plain_body(receive: Receive, headers: Mapping[str, str]) -> tuple[bytes | None, Receive]:
    """Return a body that is sent in one message and not encoded, or None and the channel to receive it from."""
    if "content-length" not in headers:
        return None, receive
    if headers.get(HASH_HEADER, "").startswith("STREAMING-") or "x-amz-decoded-content-length" in headers:
        return None, receive
    if "aws-chunked" in headers.get("content-encoding", ""):
        return None, receive
    message = await receive()
    body: bytes = message.get("body", b"")
    if (
        message["type"] == "http.request"
        and not message.get("more_body")
        and headers["content-length"] == str(len(body))
    ):
        return body, receive
    first = [message]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return None, replay


def _pin_account(access_key_id: str, caller: Caller | None) -> str:
    """Remember the account of a request for ministack, and return it."""
    scopes = request_scopes()
    if caller is not None:
        scopes._request_account_id.set(caller.principal.account_id)
    else:
        app = application()
        app.set_request_account_id(app._request_account_scope(access_key_id) if app.AUTH else access_key_id)
    return str(scopes.get_account_id())


async def _send(request: PlainRequest, answered: Answer, receive: Receive, send: Send) -> None:
    app, s3 = application(), objects()
    method, path, headers, query = request.method, request.path, request.headers, request.query
    # ministack leaves out and adds headers of an object, so that they are those of S3's answers without a body.
    is_head = method == "HEAD" and s3.is_standard_object_request(method, path, headers, query)
    status, fields, content = s3.format_head_response(path, headers, answered) if is_head else answered
    named = {name.lower() for name in fields}
    if "date" not in named:
        fields["Date"] = _http_date(int(time.time()))
    if isinstance(content, request_scopes().StreamingResponse):
        await app._send_streaming_response(send, receive, status, fields, content)
        return
    content = content if isinstance(content, bytes) else content.encode()
    if "content-length" not in named and not is_head:
        fields["Content-Length"] = str(len(content))
    await send({"type": "http.response.start", "status": status, "headers": _encoded(fields)})
    await send({"type": "http.response.body", "body": content})


def _new_id() -> str:
    """Return a random UUID of version 4, in a third of the time of the standard library."""
    drawn = os.urandom(16)
    text = drawn.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[drawn[8] & 3]}{text[17:20]}-{text[20:]}"


def _encoded(fields: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI sends them."""
    try:
        return [(_encoded_name(name), value.encode("latin-1")) for name, value in fields.items()]
    except (AttributeError, UnicodeEncodeError):
        # A list of values, or text that ministack sends in UTF-8.
        encoded: list[tuple[bytes, bytes]] = application()._asgi_header_list(fields)
        return encoded


@functools.lru_cache(1_000)
def _encoded_name(name: str) -> bytes:
    return name.encode("latin-1")


@functools.lru_cache(2)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _allowed_service(signed_service: str, request: PlainRequest, principal: Principal, origin: tuple[str, bool]) -> str:
    """Return the service of a request whose caller may make all its calls; empty if ministack has to decide."""
    service, action = service_and_action(signed_service, request)
    calls = calls_of(service, action, request) if service else []
    if not calls or "origin" in request.headers:
        return ""
    evaluator()._request_caller_arn.set(principal.arn)
    for call in calls:
        situation = Situation(call.action, request.region, *origin)
        if not is_allowed(service, CallContext(principal, situation, call)):
            return ""
    return service


async def _handled(service: str, request: PlainRequest, request_id: str) -> Answer:
    """Return a service's answer to a request that is allowed, with the headers that ministack adds."""
    app = application()
    method, path, headers, body, query = request[:5]
    handler = app.SERVICE_HANDLERS[service]
    try:
        status, answered, content = await handler(method, path, headers, body, query)
    except Exception as error:
        app.logger.exception("Error handling %s request: %s", service, error)
        failure = app.json.dumps({"__type": "InternalError", "message": str(error)}).encode()
        return 500, {"Content-Type": "application/json"}, failure
    app.fix_error_content_type(service, status, answered)
    app.fix_success_content_type(service, status, answered)
    app._maybe_record_cloudtrail(service, method, path, headers, body, query, request_id, request.region)
    own = {"x-amz-request-id": request_id, "x-amz-id-2": base64.b64encode(os.urandom(48)).decode()}
    if service == "s3":
        answered["x-amzn-requestid"] = request_id
        for name, value in own.items():
            answered.setdefault(name, value)
    else:
        answered.update({**_CORS, "x-amzn-requestid": request_id, **own})
    return status, answered, content
