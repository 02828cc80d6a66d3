"""Writes and reads the text of a request in an execution's record."""

from typing import Any

from contract.json_text import JsonError, dump_json, parse_json

MAX_REQUEST_BYTES = 300_000
"""Longest text of a request, in bytes.

It leaves 100 KB of DynamoDB's 400 KB per item for the other fields.
"""
_MAX_TOKEN_CHARACTERS = 2_048
_LEFT_OUT = "left_out"
"""Field of a text whose request was too long."""


def request_text(request: Any) -> str:
    r"""Return the request as JSON that fits into a record and is safe to print.

    Step Functions limits a request to 256 KB, but escapes and numbers such as 1e15 can be several times as long in
    this JSON. Of such a request, which no person writes, only the task token is kept.

    >>> print(request_text({"models": ["a\u202eb"]}))
    {"models": ["a\u202eb"]}
    """
    text = dump_json(request)
    if len(text) > MAX_REQUEST_BYTES:
        text = dump_json(request, separators=(",", ":"))
    if len(text.encode()) <= MAX_REQUEST_BYTES:
        return text
    left_out = f"The request has {len(text):,} characters with its escapes, too many for the record."
    token = request.get("task_token") if isinstance(request, dict) else None
    kept = {"task_token": token} if isinstance(token, str) and len(token) <= _MAX_TOKEN_CHARACTERS else {}
    return dump_json({_LEFT_OUT: left_out, **kept})


def recorded_request(text: str) -> dict[str, Any] | None:
    """Return the request of a text; None if it was left out, or is no JSON object.

    >>> recorded_request('{"models": ["a"]}')
    {'models': ['a']}
    """
    try:
        request: Any = parse_json(text, keep_surrogates=True)
    except JsonError:
        return None
    return request if isinstance(request, dict) and _LEFT_OUT not in request else None
