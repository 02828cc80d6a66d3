"""Injection of faults into requests to AWS APIs, after their signature was checked."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from embedded.faults import DelayedListing, Faults, ServerError, SlowRequest
from embedded.faults.request_errors import error_of
from embedded.faults.request_faults import RequestFault, ServiceRequest
from embedded.ministack.http.delayed_index import RecentWrites
from embedded.ministack.http.delayed_listing import lists, with_delay
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
    skip_body,
)
from embedded.requests.operations import HttpRequest, Operation, find_operation, is_read, service_model
from embedded.requests.parameters import UnreadableRequestError, reads_body, request_parameters

_NAMES = ("Name", "Arn", "Id", "Url", "name", "arn")
"""Endings of the parameters that name a resource."""


def with_faults(application: Any, faults: Faults) -> Any:
    """Wrap the application so that requests meet the faults that were added for them."""
    writes = RecentWrites(faults)
    writes.install()

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not faults.scheduled(RequestFault):
            await application(scope, receive, send)
            return
        headers = header_map(scope)
        request = HttpRequest(scope["method"], sent_path(scope, headers), query_map(scope), headers)
        service = signed_service(request)
        model = service_model(service) if is_read(service) else await asyncio.to_thread(service_model, service)
        operation, body = None, b""
        if model is not None:
            if not str(model.metadata["protocol"]).startswith("rest"):
                body, receive = await read_body(receive)
            operation = find_operation(model, request, body)
            if operation is not None and operation.is_rest and reads_body(operation):
                body, receive = await read_body(receive)
        parameters = _parameters(operation, request, body)
        named = "" if operation is None else str(operation.model.name)
        described = ServiceRequest(service, named, tuple(dict.fromkeys(resources(parameters))), _caller(request))
        place = f"{described.service}:{described.operation} of {described.caller}"
        if described.resources:
            place += f" on {described.resources[0]}"
        fault = await asyncio.to_thread(
            faults.strike, RequestFault, place, lambda each: _may_happen(each, described, parameters)
        )
        if fault is None:
            await application(scope, receive, send)
        elif isinstance(fault, SlowRequest):
            await asyncio.sleep(fault.seconds)
            await application(scope, receive, send)
        elif isinstance(fault, DelayedListing):
            delayed = with_delay(application, named, parameters, fault.seconds, writes)
            await delayed(scope, receive, send)
        else:
            if isinstance(fault, ServerError) and fault.when == "after":
                await application(scope, receive, _dropped)
            else:
                await skip_body(receive)
            await _refuse(fault, described, scope, headers, send)

    return serve


def _may_happen(fault: RequestFault, request: ServiceRequest, parameters: dict[str, Any]) -> bool:
    return fault.concerns(request) and (not isinstance(fault, DelayedListing) or lists(request.operation, parameters))


async def _dropped(_message: Message) -> None:
    """Drop the answer of a service that has done its work."""


async def _refuse(
    fault: RequestFault, request: ServiceRequest, scope: Message, headers: Mapping[str, str], send: Send
) -> None:
    resource = request.resources[0] if request.resources else "*"
    error = error_of(fault, request.service, request.operation, principal=principal(request.caller), resource=resource)
    _, sent, text = error_answer((error.code, error.message), scope, headers)
    await answer(send, error.status, sent, b"" if scope["method"] == "HEAD" else text)


def principal(caller: str) -> str:
    """Return the ARN of a caller."""
    from ministack.core.responses import get_account_id

    kind = "assumed-role" if "/" in caller else "user"
    return f"arn:aws:{'sts' if '/' in caller else 'iam'}::{get_account_id()}:{kind}/{caller}"


def _parameters(operation: Operation | None, request: HttpRequest, body: bytes) -> dict[str, Any]:
    if operation is None:
        return {}
    try:
        return request_parameters(operation, request, body)
    except UnreadableRequestError:
        # The service reports the unreadable body.
        return {}


def resources(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names and ARNs in the parameters of a request, the most precise one first."""
    if isinstance(bucket := parameters.get("Bucket"), str):
        key = parameters.get("Key") or parameters.get("Prefix")
        if isinstance(key, str):
            yield f"{bucket}/{key}"
        yield bucket
        return
    for name, value in parameters.items():
        if isinstance(value, str) and name.endswith(_NAMES):
            yield value
            if value.startswith(("arn:", "https://", "http://")):
                yield value.rpartition(":")[2].rpartition("/")[2]
        elif name == "RequestItems" and isinstance(value, dict):
            yield from value
        elif name == "TransactItems" and isinstance(value, list):
            actions = [action for item in value for action in item.values()]
            yield from (str(action["TableName"]) for action in actions if "TableName" in action)


def _caller(request: HttpRequest) -> str:
    """Return role and session, or the user, whose key signed a request."""
    from ministack.services import iam, sts

    credential = "".join(request.query.get("X-Amz-Credential", ()) or request.query.get("AWSAccessKeyId", ()))
    key = (request.headers.get("authorization", "").partition("Credential=")[2] or credential).split("/")[0]
    session = sts._sessions.get(key)
    if session is not None:
        return str(session["Arn"]).partition("assumed-role/")[2]
    return str((iam._access_keys.get(key) or {}).get("UserName", key))
