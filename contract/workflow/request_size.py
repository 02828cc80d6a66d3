"""The size of a request: the one measure of every part that accepts requests."""

import json
from typing import Any

from contract.problems import Problem

STATE_BYTES = 262_144
"""Largest input or output of a state of Step Functions, in bytes of JSON in UTF-8."""
_LONGEST_CAUSE_BYTES = 32_768
"""Longest cause of a failure that Step Functions adds to the request."""
MAX_REQUEST_BYTES = 225_000
"""Largest request, in bytes of compact JSON in UTF-8.

The rest of a state's data is for what the workflow adds to the request: names, times, and the longest cause of a
failure. With more, an execution would end with States.DataLimitExceeded instead of its reason.
"""
MAX_TRAINING_BYTES = MAX_REQUEST_BYTES - _LONGEST_CAUSE_BYTES
"""Largest request that trains first, together with the input of its training, in bytes. It can have two causes."""

_REMEDY = (
    'Select models by their tags ({"models": {"tags": {…}}}) or by fleets instead of naming each one, or split the '
    "request into several executions."
)


def sent_request(request: Any) -> str:
    """Return the JSON text of a request as Fleetscore sends it: compact, without escapes of other letters.

    >>> sent_request({"models": ["größe", "b"]})
    '{"models":["größe","b"]}'
    """
    return json.dumps(request, ensure_ascii=False, separators=(",", ":"))


def request_bytes(request: Any) -> int:
    """Return the size of a request in bytes, as Step Functions counts it.

    >>> request_bytes({"models": ["größe"]})
    22
    """
    # Halves of surrogate pairs are refused elsewhere, by field.
    return len(sent_request(request).encode(errors="surrogatepass"))


def check_request_size(request: Any) -> list[Problem]:
    """Check that a request fits through the workflow, with what the workflow adds to it."""
    size = request_bytes(request)
    if size <= MAX_REQUEST_BYTES:
        return []
    expected = (
        f"at most {MAX_REQUEST_BYTES:,} bytes as JSON, because a state of the workflow has at most {STATE_BYTES:,} "
        "with what is added to the request"
    )
    return [Problem("size", f"{size:,} bytes", expected, _REMEDY)]


def check_training_size(request_size: int, training: Any) -> list[Problem]:
    """Check that a request of `request_size` bytes fits together with the input of the training that it starts."""
    size = request_size + request_bytes(training)
    if size <= MAX_TRAINING_BYTES:
        return []
    expected = f"at most {MAX_TRAINING_BYTES:,} bytes as JSON, the request and the ids of the models to train together"
    remedy = "Train them in separate executions (`fleetscore train`), then score without `train`."
    return [Problem("train", f"{size:,} bytes", expected, remedy)]
