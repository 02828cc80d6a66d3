"""Reading of HTTP requests from the ASGI server, and sending of responses."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import functools
import uuid
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, quote

from embedded.requests.operations import HttpRequest

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Failure = tuple[str, str]
"""Code and message of an error."""


def error_answer(failure: Failure, scope: Message, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Return the failure in the error format of the service that the request is for."""
    import ministack.app
    from ministack.core.iam_evaluator import AuthError
    from ministack.core.router import detect_service

    service = detect_service(scope["method"], scope["path"], headers, query_map(scope))
    answered: tuple[int, dict[str, str], bytes] = ministack.app._credential_failure(
        service, "", str(uuid.uuid4()), AuthError(*failure), headers
    )
    return answered


async def read_body(receive: Receive) -> tuple[bytes, Receive]:
    """Return the body, and a channel from which the application receives the same body."""
    messages: list[Message] = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    body = b"".join(message.get("body", b"") for message in messages)
    messages.reverse()

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return body, replay


async def skip_body(receive: Receive) -> None:
    """Receive the rest of a body and drop it: clients send all of it before they read the answer."""
    message = await receive()
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()


async def answer(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    sent = {name.lower(): value for name, value in headers.items()} | {"content-length": str(len(body))}
    sent.setdefault("date", formatdate(usegmt=True))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def header_map(scope: Message) -> dict[str, str]:
    """Return the headers as they are signed, with the values of repeated ones joined."""
    fields: list[tuple[bytes, bytes]] = scope["headers"]
    try:
        headers = {_name(name): value.decode() for name, value in fields}
    except UnicodeDecodeError:
        headers = {}
    if len(headers) == len(fields):
        return headers
    return _joined_headers(fields)


def _joined_headers(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    from ministack.core.sigv4 import decode_header_value

    headers: dict[str, str] = {}
    for name, value in fields:
        key, text = _name(name), decode_header_value(value)
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


@functools.lru_cache(1_000)
def _name(name: bytes) -> str:
    """Return the name of a header in lower case. Requests have few different ones."""
    return name.decode("latin-1").lower()


def query_map(scope: Message) -> dict[str, list[str]]:
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("utf-8", "replace"), keep_blank_values=True) if query else {}


def raw_path(scope: Message) -> str:
    return str((scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1"))


def signed_service(request: HttpRequest) -> str:
    """Return the service in the scope of the request's signature, such as `states`."""
    signed = request.headers.get("authorization", "") or "".join(request.query.get("X-Amz-Credential", ()))
    parts = signed.partition("Credential=")[2] or signed
    return (parts.split(",")[0].split("/") + [""] * 4)[3]


def sent_path(scope: Message, headers: dict[str, str]) -> str:
    """Return the path, including the bucket that some clients put into the host name."""
    host = headers.get("host", "").partition(":")[0]
    bucket = host.removesuffix(".localhost")
    return raw_path(scope) if bucket == host else f"/{bucket}{raw_path(scope)}"
