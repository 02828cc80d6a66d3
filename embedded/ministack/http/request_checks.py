"""Checks of every request against botocore's model of its service, which ministack mostly skips."""

import asyncio
from typing import Any

from embedded.ministack.http.messages import (
    Message,
    Receive,
    Send,
    answer,
    error_answer,
    header_map,
    query_map,
    read_body,
    sent_path,
    signed_service,
)
from embedded.requests.operations import HttpRequest
from embedded.requests.parameters import UnreadableRequestError
from embedded.requests.violations import RequestCheck, log_violations, must_read_model, violation_text

_INVALID = "ValidationException"


def with_request_check(application: Any) -> Any:
    """Wrap the application so that requests that violate their model are refused and logged.

    SDKs check types, required members and minimum lengths, but not patterns, enums and ranges.
    """

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        headers = header_map(scope)
        request = HttpRequest(scope["method"], sent_path(scope, headers), query_map(scope), headers)
        service = signed_service(request)
        check = (
            await asyncio.to_thread(RequestCheck, service, request)
            if must_read_model(service)
            else RequestCheck(service, request)
        )
        body = b""
        if check.needs_body() and "content-encoding" not in headers:
            body, receive = await read_body(receive)
        try:
            operation, problems = check.problems(body)
        except UnreadableRequestError:
            # The service reports the unreadable body.
            operation, problems = "", []
        if problems:
            text = violation_text(problems)
            log_violations(operation, problems)
            _, sent, text_sent = error_answer((_INVALID, text), scope, headers)
            await answer(send, 400, sent, text_sent)
            return
        await application(scope, receive, send)

    return serve
