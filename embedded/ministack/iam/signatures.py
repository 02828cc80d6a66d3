"""Access to the server: only signed requests to AWS APIs, sent to a local name, reach ministack.

ministack serves its own routes (`/_ministack/reset`, functions' code, queues' messages, …) and many
AWS operations without credentials. Every user and every browser of this machine could call them.
"""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from embedded.faults.request_errors import ServiceError, max_skew_seconds, skewed_error
from embedded.ministack.http.messages import (
    Failure,
    Message,
    Receive,
    Send,
    answer,
    error_answer,
    header_map,
    query_map,
    raw_path,
    read_body,
)
from embedded.ministack.http.request_memory import remembered
from embedded.ministack.plain_requests.callers import Caller, known_caller
from embedded.ministack.plain_requests.signature import HASH_HEADER, has_token, is_signed_by, read_signature
from embedded.requests.operations import HttpRequest

_LOCAL_HOST = re.compile(r"(?:localhost|127\.0\.0\.1|[a-z0-9-]+\.localhost)(?::\d{1,5})?", re.IGNORECASE)
"""Names in the server's certificate.

Other names may come from DNS rebinding: a web page whose name resolves to this machine.
"""
_OWN_ROUTES = "/_"
_SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
"""Value of the header when each chunk of the body is signed.

Without it, the body's hash is signed.
"""
_UNSIGNED = ("MissingAuthenticationToken", "Missing Authentication Token")
_UNKNOWN_KEY = ("InvalidClientTokenId", "The security token included in the request is invalid.")


def with_access_check(application: Any, account_id: str) -> Any:
    """Wrap the application with a check of every request.

    A request needs a valid AWS signature in its headers or query, a local name in `Host`, and no
    `Origin`, which browsers add. ministack's own routes are never served.
    """

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            headers = header_map(scope)
            if refusal := _refusal(scope["path"], headers):
                await answer(send, 403, {"content-type": "text/plain; charset=utf-8"}, refusal.encode())
                return
            query = query_map(scope)
            caller, receive = await _confirmed_caller(scope, headers, query, receive)
            if caller is not None:
                with remembered(caller.access_key_id, headers, query):
                    await application(scope, receive, send)
                return
            failure, access_key_id, receive = await _check_signature(scope, headers, query, receive, account_id)
            if isinstance(failure, ServiceError):
                _, sent, text = error_answer((failure.code, failure.message), scope, headers)
                await answer(send, failure.status, sent, b"" if scope["method"] == "HEAD" else text)
                return
            if failure is not None:
                await answer(send, *error_answer(failure, scope, headers))
                return
            if access_key_id:
                with remembered(access_key_id, headers, query):
                    await application(scope, receive, send)
                return
        await application(scope, receive, send)

    return serve


def _refusal(path: str, headers: Mapping[str, str]) -> str:
    """Return why a request is refused regardless of its signature; empty if it is accepted."""
    if not _LOCAL_HOST.fullmatch(headers.get("host", "")):
        return "The embedded AWS answers only to the names localhost, *.localhost and 127.0.0.1.\n"
    if "origin" in headers or "sec-fetch-site" in headers:
        return "The embedded AWS does not answer browsers.\n"
    if path.startswith(_OWN_ROUTES):
        return "The embedded AWS has only AWS APIs, and no routes for administration.\n"
    if "cbor" in headers.get("smithy-protocol", ""):
        return (
            "The embedded AWS does not read CBOR, which the SDKs for Go, Java, JavaScript and Rust send to CloudWatch. "
            "Use boto3 or the AWS CLI.\n"
        )
    return ""


async def _confirmed_caller(
    scope: Message, headers: Mapping[str, str], query: dict[str, list[str]], receive: Receive
) -> tuple[Caller | None, Receive]:
    """Return who has signed a request in the usual way, and the channel to receive from.

    That is nearly every request. `_check_signature` finds out what is wrong with the others.
    """
    signature = read_signature(headers)
    caller = None if signature is None else known_caller(signature.access_key_id)
    if signature is None or caller is None or not has_token(caller, headers):
        return None, receive
    body = b""
    if HASH_HEADER not in headers:
        # Only requests with a known access key have their body read into memory.
        body, receive = await read_body(receive)
    request = HttpRequest(scope["method"], raw_path(scope), query, headers)
    return (caller if is_signed_by(caller, signature, request, body) else None), receive


async def _check_signature(
    scope: Message, headers: Mapping[str, str], query: dict[str, list[str]], receive: Receive, account_id: str
) -> tuple[Failure | ServiceError | None, str, Receive]:
    """Return the signature's failure, the access key of a signature in the headers, and the channel to receive from."""
    from ministack.core import sigv4

    presigned = "authorization" not in headers
    if presigned and "AWSAccessKeyId" in query and "X-Amz-Signature" not in query:
        return _legacy_url_failure(scope, query, account_id), "", receive
    if not (presigned and "X-Amz-Signature" in query) and not _is_signed(headers):
        return _UNSIGNED, "", receive
    signature = sigv4.parse_query_signature(query) if presigned else sigv4.parse_header_signature(headers)
    early = (
        signature if isinstance(signature, tuple) else _early_failure(signature, query, headers, presigned=presigned)
    )
    if early is not None:
        return early, "", receive
    token = query.get("X-Amz-Security-Token", [""])[0] if presigned else headers.get("x-amz-security-token", "")
    secret = _secret_of(signature.access_key_id, token, account_id)
    if isinstance(secret, tuple):
        return secret, "", receive
    body = b""
    if not presigned and headers.get(HASH_HEADER, _SIGNED_CHUNKS).startswith(_SIGNED_CHUNKS):
        # Only requests with a known access key have their body read into memory.
        body, receive = await read_body(receive)
    failure = sigv4.header_signature_failure(
        signature, secret, scope["method"], raw_path(scope), query, headers, body, presigned=presigned
    )
    return failure, "" if presigned else signature.access_key_id, receive


def _secret_of(access_key_id: str, token: str, account_id: str) -> str | Failure:
    """Return the secret of an access key, or what is wrong with the key or its session token."""
    from ministack.core import iam_evaluator
    from ministack.core.responses import _account_from_sts_session

    if not access_key_id:
        return _UNKNOWN_KEY
    try:
        owner = _account_from_sts_session(access_key_id) or iam_evaluator.find_iam_access_key_account(access_key_id)
    except iam_evaluator.AmbiguousAccessKeyError:
        return _UNKNOWN_KEY
    credential = iam_evaluator.resolve_credential(access_key_id, owner or account_id, token)
    if isinstance(credential, iam_evaluator.CredentialResolutionError):
        return credential.code, credential.message
    return str(credential.secret_access_key)


def _is_signed(headers: Mapping[str, str]) -> bool:
    return headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 ")


def _legacy_url_failure(scope: Message, query: dict[str, list[str]], account_id: str) -> Failure | None:
    """Return what is wrong with a presigned URL of Signature Version 2.

    It is boto3's default for S3 in us-east-1.
    """
    from ministack.core import iam_evaluator

    iam_evaluator.pin_signed_request(scope["method"], raw_path(scope), query, scope["headers"])
    try:
        checked = iam_evaluator.authenticate(query["AWSAccessKeyId"][0], account_id)
    except iam_evaluator.AmbiguousAccessKeyError:
        return _UNKNOWN_KEY
    if isinstance(checked, iam_evaluator.AuthError):
        return checked.code, checked.message
    return None if checked is not None else _UNSIGNED


def _header_failure(signature: Any, headers: Mapping[str, str]) -> Failure | None:
    """Return the failure of a presigned request with unsigned `x-amz-` headers."""
    added = {name for name in headers if name.startswith("x-amz-")} - {
        *signature.signed_headers.split(";"),
        HASH_HEADER,
    }
    if not added:
        return None
    return (
        "AccessDenied",
        f"There were headers present in the request which were not signed: {', '.join(sorted(added))}",
    )


def _early_failure(
    signature: Any, query: Mapping[str, list[str]], headers: Mapping[str, str], *, presigned: bool
) -> Failure | ServiceError | None:
    """Return what is wrong with a signature apart from its value."""
    if signature.region_set is not None:
        return _UNSIGNED
    if presigned:
        return _expiry_failure(signature, query) or _header_failure(signature, headers)
    return _skew_error(signature)


def _expiry_failure(signature: Any, query: Mapping[str, list[str]]) -> Failure | None:
    """Return the failure of a presigned URL that has expired."""
    from ministack.core import sigv4

    try:
        expired = sigv4.presigned_request_is_expired(signature.amz_date, query.get("X-Amz-Expires", ["900"])[0])
    except ValueError:
        expired = True
    return ("AccessDenied", "Request has expired") if expired else None


def _skew_error(signature: Any) -> ServiceError | None:
    """Return the service's error if the time of a signature is too far from now."""
    try:
        # A tenth of the time of strptime. The signature covers the text, so its form needs no check.
        signed_at = datetime.fromisoformat(signature.amz_date)
    except ValueError:
        return None  # the comparison of the signature fails
    if signed_at.tzinfo is None:
        return None
    seconds = (signed_at - datetime.now(UTC)).total_seconds()
    # Signatures have whole seconds.
    off = abs(seconds) > max_skew_seconds(signature.service) + 1
    return skewed_error(signature.service, seconds) if off else None
