"""A fast check of ordinary signatures. ministack checks the others again, and answers with the reason."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: SLF001

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from embedded.ministack.plain_requests.callers import Caller
from embedded.ministack.plain_requests.modules import signing
from embedded.requests.operations import HttpRequest

HASH_HEADER = "x-amz-content-sha256"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
    re.ASCII,
)
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SURE_SECONDS = 240
"""Largest difference between the clocks that all services accept, in seconds."""


class Signature(NamedTuple):
    """A signature in a request's headers."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: str
    value: str


def read_signature(headers: Mapping[str, str]) -> Signature | None:
    """Return the signature of a request that was signed in the usual way and not long ago."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        return None
    signature, signed_at, body_hash = (
        Signature(*found.groups()),
        headers.get("x-amz-date", ""),
        headers.get(HASH_HEADER),
    )
    if not signed_at.startswith(signature.date) or abs(_seconds(signed_at) - time.time()) > _SURE_SECONDS:
        return None
    # An empty hash is no hash. Signatures of chunks are in the body.
    if body_hash is not None and (not body_hash or body_hash.startswith("STREAMING-AWS4")):
        return None
    return signature


def has_token(caller: Caller, headers: Mapping[str, str]) -> bool:
    """Return whether a request has the token of its caller's session, or none if the caller has no session."""
    token = headers.get("x-amz-security-token", "")
    return hmac.compare_digest(token.encode(), (caller.session_token or "").encode())


def is_signed_by(caller: Caller, signature: Signature, request: HttpRequest, body: bytes) -> bool:
    """Return whether a caller has signed a request. False leaves the answer to ministack.

    `body` may be empty if the headers have its hash.
    """
    headers = request.headers
    if signature.service != "s3" and request.path != "/":
        return False
    query = signing().build_canonical_query_string(request.query, exclude=()) if request.query else ""
    names = [name for name in signature.signed_headers.split(";") if name]
    signed = "".join([f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names])
    body_hash = headers.get(HASH_HEADER) or hashlib.sha256(body).hexdigest()
    canonical = f"{request.method}\n{request.path}\n{query}\n{signed}\n{signature.signed_headers}\n{body_hash}"
    scope = f"{signature.date}/{signature.region}/{signature.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    key = signing()._cached_signing_key(caller.secret_access_key, signature.date, signature.region, signature.service)
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature.value)


@functools.lru_cache(100)
def _seconds(signed_at: str) -> float:
    """Return the seconds since 1970 of the time of a signature, or infinity if it is none."""
    if not _TIME.fullmatch(signed_at):
        return float("inf")
    try:
        return datetime.fromisoformat(signed_at).timestamp()
    except ValueError:
        return float("inf")
