"""What is known of the current request, so that ministack does not find it out several times."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import functools
import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from embedded.http.in_process import CALLER
from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.http.messages import Message, Receive, Send, header_map, query_map

_CONTENT_TYPES = 1_000
_UNREAD = object()


@dataclass
class SignedRequest:
    """A request whose signature in its headers is valid, or that this process makes, until it is answered."""

    access_key_id: str
    headers: dict[str, str]
    query: dict[str, list[str]]
    principals: dict[tuple[str, str], Any] = field(default_factory=dict)
    body: bytes = b""
    content: Any = _UNREAD
    """The JSON of `body`, which all readers share and do not change."""
    is_answered: bool = False


_current: ContextVar[SignedRequest | None] = ContextVar("signed_request", default=None)


class remembered:  # noqa: N801 - used as a function; a generator takes twice as long
    """Cache the parsed parts of a request, whose access key is known, until the block ends."""

    def __init__(self, access_key_id: str, headers: dict[str, str], query: dict[str, list[str]]) -> None:
        self._request = SignedRequest(access_key_id, headers, query)

    def __enter__(self) -> None:
        self._token = _current.set(self._request)

    def __exit__(self, *_: object) -> None:
        # Threads that the request has started have a copy of the context, in which policies must be read again.
        self._request.is_answered = True
        _current.reset(self._token)


def signed_request() -> SignedRequest | None:
    """Return the current request; None if it is answered, or is not signed in its headers."""
    request = _current.get()
    return None if request is None or request.is_answered else request


def with_known_caller(application: Any) -> Any:
    """Wrap an application so that it serves the requests of `InProcessCalls`."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        with remembered(scope[CALLER], header_map(scope), query_map(scope)):
            await application(scope, receive, send)

    return serve


def parsed(body: bytes | str) -> Any:
    """Return the JSON of a text, which is parsed once if it is the body of the current request.

    Raises:
        ValueError: The text is not JSON.
    """
    request = signed_request()
    if request is None or not isinstance(body, bytes):
        return json.loads(body)
    if request.content is _UNREAD or request.body is not body:
        request.content, request.body = json.loads(body), body
    return request.content


def install_request_memory() -> None:
    """Let ministack use what is known: the valid signature, the caller with its policies, and the parsed body."""
    import ministack.app
    from ministack.core import iam_actions, iam_evaluator, responses
    from ministack.services import dynamodb

    changed = {
        ministack.app: ("pin_signed_request",),
        iam_evaluator: ("resolve_principal", "_verified_key", "_signed_request", "_anonymous"),
        responses: ("expected_success_content_type", "expected_error_content_type"),
    }
    for module, names in changed.items():
        if missing := [name for name in names if not hasattr(module, name)]:
            raise MinistackChangedError(f"{module.__name__} has no {missing[0]}: install the pinned version")
    pin, resolve = ministack.app.pin_signed_request, iam_evaluator.resolve_principal

    def pin_signed_request(*arguments: Any, **named: Any) -> None:
        request = signed_request()
        if request is None:
            pin(*arguments, **named)
            return
        iam_evaluator._verified_key.set(request.access_key_id)
        iam_evaluator._signed_request.set(None)
        iam_evaluator._anonymous.set(False)

    def resolve_principal(access_key_id: str, account_id: str, credential: Any = None) -> Any:
        request = signed_request()
        if request is None or credential is not None:
            return resolve(access_key_id, account_id, credential)
        key = (access_key_id, account_id)
        if key not in request.principals:
            request.principals[key] = resolve(access_key_id, account_id)
        return request.principals[key]

    ministack.app.pin_signed_request = pin_signed_request
    iam_evaluator.resolve_principal = resolve_principal
    for name in changed[responses]:
        setattr(responses, name, functools.lru_cache(_CONTENT_TYPES)(getattr(responses, name)))
    for module in (iam_actions, dynamodb):
        module.json = SimpleNamespace(
            loads=parsed, load=json.load, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError
        )
