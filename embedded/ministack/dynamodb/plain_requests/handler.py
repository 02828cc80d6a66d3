"""The handler of the fast path, which passes all other requests on to ministack."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from embedded.ministack.dynamodb.ministack_module import check_names, dynamodb
from embedded.ministack.dynamodb.plain_requests.changes import Change, plan_put, plan_update
from embedded.ministack.dynamodb.plain_requests.queries import query
from embedded.ministack.dynamodb.plain_requests.reads import batch_get_item, get_item
from embedded.ministack.dynamodb.plain_requests.transactions import transact_write_items
from embedded.ministack.dynamodb.plain_requests.values import UnusualRequestError
from embedded.ministack.dynamodb.rows import Item, pack
from embedded.ministack.http.request_memory import parsed

Answer = bytes | tuple[int, dict[str, str], bytes]

_RETURNED = frozenset({"NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"})
_JSON = "application/x-amz-json-1.0"


def install_fast_path() -> None:
    """Answer plain requests without the checks that ministack makes several times each.

    A request is plain if it has only fields that are used often, and nothing that DynamoDB refuses except a
    condition that is false. ministack answers all others, so that errors are its own.
    """
    check_names(
        "_apply_add", "_apply_delete", "_apply_remove", "_apply_set", "_attribute_value_size",
        "_between_bounds_error", "_check_redundant_parens", "_check_reserved_keyword_usage", "_compare_ddb",
        "_condition_syntax_error", "_conditional_check_failed", "_index_key_lists", "_project_item",
        "_projection_overlap_response", "_ddb_canonicalize_number", "_diff_attributes",
        "_ExprEval", "_get_attr_type", "_item_size_bytes", "_remove_item", "_tables", "_tokenize",
        "_transact_cancel_response", "_validate_expression_attrs", "handle_request",
    )  # fmt: skip
    ministack_handle = dynamodb().handle_request

    async def handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any) -> Any:
        operation = _OPERATIONS.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if operation is not None and body:
            try:
                answer = operation(_request(body), body)
            except UnusualRequestError:
                return await ministack_handle(method, path, headers, body, query_params)
            status, answered, content = answer if isinstance(answer, tuple) else (200, {"Content-Type": _JSON}, answer)
            return status, {**answered, "x-amz-crc32": str(zlib.crc32(content))}, content
        return await ministack_handle(method, path, headers, body, query_params)

    dynamodb().handle_request = handle_request


def _request(body: bytes) -> Item:
    try:
        content = parsed(body)
    except ValueError as error:
        raise UnusualRequestError from error
    if type(content) is not dict:
        raise UnusualRequestError
    return content


def _put_item(request: Item, _body: bytes) -> Answer:
    return _refused_or_made(plan_put(request)) or b"{}"


def _update_item(request: Item, _body: bytes) -> Answer:
    wanted = request.get("ReturnValues", "NONE")
    if wanted not in _RETURNED:
        raise UnusualRequestError
    change = plan_update(request)
    refused = _refused_or_made(change)
    if refused:
        return refused
    return b'{"Attributes":' + attributes + b"}" if (attributes := _attributes(change, wanted)) else b"{}"


def _attributes(change: Change, wanted: str) -> bytes | None:
    """Return the JSON of the attributes that UpdateItem returns; None if it returns none."""
    if wanted == "ALL_NEW":
        return change.after
    if wanted == "UPDATED_NEW":
        found = dynamodb()._diff_attributes(change.old or {}, change.new, change.paths, return_old=False)
        return pack(found) if found else None
    if change.old is None or wanted == "NONE":
        return None
    if wanted == "ALL_OLD":
        return change.before
    return pack(dynamodb()._diff_attributes(change.old, change.new, change.paths, return_old=True))


def _refused_or_made(change: Change) -> Answer | None:
    """Make a change, or return the answer that its condition is false."""
    if change.is_refused:
        refused: Answer = dynamodb()._conditional_check_failed(change.request, change.old)
        return refused
    change.make()
    return None


_OPERATIONS: dict[str, Callable[[Item, bytes], Answer]] = {
    "BatchGetItem": lambda request, _body: batch_get_item(request),
    "GetItem": lambda request, _body: get_item(request),
    "PutItem": _put_item,
    "Query": lambda request, _body: query(request),
    "TransactWriteItems": transact_write_items,
    "UpdateItem": _update_item,
}
