"""The short way of a plain request through ministack: to the service that its signature names."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import uuid
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.http.messages import Message, Receive, Send, answer
from embedded.ministack.http.request_memory import SignedRequest, signed_request

_HOSTS = ("localhost", "127.0.0.1")
_JSON_SERVICES = frozenset({"dynamodb", "events", "logs", "sagemaker", "states"})
"""Services whose requests all have the path `/` and name their operation in a header."""
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
"""Methods of S3."""
_OTHER_ROUTES = ("/iceberg", "/v20180820/")
"""Paths that ministack does not give to S3."""
_NEEDED = (
    "_dispatch_service_request", "_read_request_body", "_incomplete_request_body_response", "_request_account_scope",
    "_asgi_header_list", "_send_streaming_response", "_IncompleteRequestBody",
    "_RequestBodyDisconnected", "pin_request_origin",
    "set_request_account_id", "set_request_client_ip", "set_request_region", "extract_region",
)  # fmt: skip


def with_direct_route(application: Any) -> Any:
    """Wrap ministack's application so that plain requests skip its routes for hosts and paths of other kinds.

    ministack compares each request with the routes of load balancers, function URLs, distributions, consoles and
    more before it looks for a service. That takes about as long as many an operation.
    """
    import ministack.app

    if missing := [name for name in _NEEDED if not hasattr(ministack.app, name)]:
        raise MinistackChangedError(f"ministack's application has no {missing[0]}: install the pinned version")

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        request = signed_request()
        if scope["type"] == "http" and request is not None and _is_plain(scope, request.headers):
            await _answer(scope, request, receive, send)
            return
        await application(scope, receive, send)

    return serve


def _is_plain(scope: Message, headers: Mapping[str, str]) -> bool:
    """Return whether ministack's other routes cannot match a request that is signed in its headers."""
    from ministack.services import s3

    if headers.get("host", "").partition(":")[0] not in _HOSTS or len(headers) != len(scope["headers"]):
        return False
    service = headers["authorization"].partition("Credential=")[2].split("/", 4)[3:4]
    path = str(scope["path"])
    if service == ["s3"]:
        bucket = path[1:].partition("/")[0]
        return scope["method"] in _METHODS and bucket in s3._buckets and not path.startswith(_OTHER_ROUTES)
    is_json = bool(service) and service[0] in _JSON_SERVICES and "x-amz-target" in headers
    return is_json and scope["method"] == "POST" and path == "/"


async def _answer(scope: Message, request: SignedRequest, receive: Receive, send: Send) -> None:
    from ministack import app
    from ministack.core.responses import StreamingResponse
    from ministack.services import s3

    method, path, headers, query = scope["method"], scope["path"], dict(request.headers), request.query
    client = (scope.get("client") or ("127.0.0.1",))[0]
    if scope.get("scheme") == "https":
        headers.setdefault("x-forwarded-proto", "https")
    app.set_request_client_ip(client)
    if app.AUTH:
        is_secure = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower() == "https"
        app.pin_request_origin(client, is_secure)
    key = request.access_key_id
    app.set_request_account_id(app._request_account_scope(key) if app.AUTH else key)
    app.set_request_region(app.extract_region(headers, query))
    if app.AUTH:
        app.pin_signed_request(method, path, query, scope["headers"])
    try:
        body = await app._read_request_body(receive, method, headers)
    except app._RequestBodyDisconnected:
        return
    except app._IncompleteRequestBody as failure:
        refused = app._incomplete_request_body_response(method, path, headers, query)
        if refused is not None:
            await answer(send, *refused)
            return
        body = failure.body
    status, answered, content = await app._dispatch_service_request(
        method, path, headers, body, query, str(uuid.uuid4())
    )
    # ministack leaves out and adds headers of an object, so that they are those of S3's answers without a body.
    is_head = method == "HEAD" and s3.is_standard_object_request(method, path, headers, query)
    if is_head:
        status, answered, content = s3.format_head_response(path, headers, (status, answered, content))
    named = {name.lower() for name in answered}
    if "date" not in named:
        answered["Date"] = formatdate(usegmt=True)
    if isinstance(content, StreamingResponse):
        await app._send_streaming_response(send, receive, status, answered, content)
        return
    content = content if isinstance(content, bytes) else content.encode()
    if "content-length" not in named and not is_head:
        answered["Content-Length"] = str(len(content))
    sent = app._asgi_header_list(answered)
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})
