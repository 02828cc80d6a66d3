"""Answers of services that speak the JSON 1.1 protocol."""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from embedded.ministack.http.services import Response
from embedded.sagemaker.errors import ApiError


def answer_json(
    call: Callable[[str, dict[str, Any]], dict[str, Any]], prefix: str, headers: Mapping[str, str], body: bytes
) -> Response:
    """Run the operation that a request names after `prefix`, and return status, headers and body."""
    named = {name.lower(): value for name, value in headers.items()}
    common = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": str(uuid.uuid4())}
    try:
        answer = call(named.get("x-amz-target", "").removeprefix(prefix), json.loads(body or b"{}"))
    except ApiError as error:
        return error.status, common, error.body()
    return 200, common, json.dumps(answer).encode()
