"""The actions and resources that a plain request needs permissions for."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from embedded.ministack.http.request_memory import parsed
from embedded.ministack.iam.conditions import Keyed, leading_keys
from embedded.ministack.plain_requests.modules import actions, objects
from embedded.ministack.plain_requests.permissions import Call, ConditionKeys

JSON_SERVICES = frozenset({"dynamodb", "events", "logs", "sagemaker", "states"})
"""Services whose requests all have the path `/` and name their operation in a header."""
_TAG_ACTIONS = frozenset({"logs:TagResource", "logs:UntagResource", "logs:ListTagsForResource"})
"""Actions for which ministack also checks the form of their ARN."""
_OBJECT_ACTIONS = frozenset(
    {
        "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:GetObjectVersion",
        "s3:ListBucket", "s3:ListBucketVersions", "s3:ListMultipartUploadParts", "s3:PutObject",
    }
)  # fmt: skip
_OTHER_RESOURCES = ("x-amz-copy-source", "x-amz-bypass-governance-retention")
"""Headers of requests that need permissions for another resource or action, too."""
_FORM = "x-www-form-urlencoded"
_LEADING_KEYS = "dynamodb:leadingkeys"
_LISTINGS = frozenset({"s3:ListBucket", "s3:ListBucketVersions"})
_LISTING_KEYS = frozenset({"s3:delimiter", "s3:max-keys", "s3:prefix"})


class PlainRequest(NamedTuple):
    """A request as its service sees it. `region` and `account_id` are the caller's."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, Any]
    region: str
    account_id: str


def service_and_action(signed_service: str, request: PlainRequest) -> tuple[str, str]:
    """Return the service and the IAM action of a request; empty texts if only ministack can tell.

    Args:
        signed_service: The service in the scope of the signature.
    """
    headers, query = request.headers, request.query
    if _FORM in headers.get("content-type", "") or "Action" in query:
        return "", ""
    if signed_service == "s3":
        if "x-amz-target" in headers or any(name.lower().startswith("x-amz-") for name in query):
            return "", ""
        bucket, _, key = request.path[1:].partition("/")
        has_version = bool(query.get("versionId", [""])[0])
        action = _object_action(request.method, tuple(query), has_key=bool(key.strip("/")), has_version=has_version)
        is_plain = action in _OBJECT_ACTIONS and not any(name in headers for name in _OTHER_RESOURCES)
        is_batch = request.method == "POST" and not key
        return ("s3", action) if is_plain and not is_batch and _is_bucket_name(bucket) else ("", "")
    if query or "content-encoding" in headers:
        return "", ""
    service, action = _json_action(signed_service, headers.get("x-amz-target", ""))
    return (service, action) if service in JSON_SERVICES and action not in _TAG_ACTIONS else ("", "")


@functools.lru_cache(1_000)
def _object_action(method: str, query: tuple[str, ...], *, has_key: bool, has_version: bool) -> str:
    given = {name: [""] for name in query}
    if has_version:
        given["versionId"] = ["version"]
    path = "/bucket/key" if has_key else "/bucket"
    return str(actions().extract_iam_action("s3", method, path, {}, b"", given) or "")


@functools.lru_cache(1_000)
def _is_bucket_name(name: str) -> bool:
    aliases = (objects()._ACCESS_POINT_ALIAS_SUFFIX, objects()._OBJECT_LAMBDA_ALIAS_SUFFIX)
    return bool(objects()._validate_bucket_name(name)) and not name.endswith(aliases)


@functools.lru_cache(1_000)
def _json_action(signed_service: str, target: str) -> tuple[str, str]:
    from ministack.core import router

    if "." not in target:
        return "", ""
    scope = f"AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/{signed_service}/aws4_request"
    headers = {"x-amz-target": target, "authorization": scope}
    service = router.detect_service("POST", "/", headers, {})
    return service, str(actions().extract_iam_action(service, "POST", "/", headers, b"", {}) or "")


def calls_of(service: str, action: str, request: PlainRequest) -> list[Call]:
    """Return what a request needs permissions for, in ministack's order; nothing if only ministack can tell."""
    if service == "s3":
        keys, quick_key = partial(_object_keys, action, request), partial(_listing_key, action, request)
        return [Call(action, _object_arn(request.path), keys, quick_key)]
    if service == "dynamodb":
        return _table_calls(action, request)
    return _json_calls(service, action, request)


def _object_arn(path: str) -> str:
    if "//" not in path and not path.endswith("/"):
        return f"arn:aws:s3:::{path[1:]}"
    return "arn:aws:s3:::" + "/".join(part for part in path.split("/") if part)


def _object_keys(action: str, request: PlainRequest) -> dict[str, Any]:
    tags = actions().request_tag_context("s3", action, request.body, request.query)
    keys = actions().s3_service_context(action, request.query, request.path, request.headers)
    return {**tags, **keys}


def _listing_key(action: str, request: PlainRequest, key: str) -> Any:
    if action not in _LISTINGS or key not in _LISTING_KEYS:
        return ...
    return request.query.get(key[3:], [None])[0]


def _table_calls(action: str, request: PlainRequest) -> list[Call]:
    body, region, account_id = request.body, request.region, request.account_id
    if not _is_object(body):
        return []
    keys = partial(_table_keys, action, request)
    if action.startswith("dynamodb:Transact"):
        items = actions().dynamodb_transaction_checks(action, body, region, account_id)
        operation = action.partition(":")[2]
        return [
            Call(each, arn, partial(_item_keys, keys, operation, arn), partial(_item_key, body, arn))
            for each, arn in items
        ]
    quick_key = partial(_leading_key, body)
    return [Call(action, arn, keys, quick_key) for arn in actions().dynamodb_resource_arns(body, region, account_id)]


def _table_keys(action: str, request: PlainRequest) -> dict[str, Any]:
    tags = actions().request_tag_context("dynamodb", action, request.body, request.query)
    return {**tags, **actions().dynamodb_service_context(request.body)}


def _leading_key(body: bytes, key: str) -> Any:
    return leading_keys(parsed(body)) or None if key == _LEADING_KEYS else ...


def _item_keys(keys: ConditionKeys, operation: str, arn: str) -> dict[str, Any]:
    own = arn.condition_keys() if isinstance(arn, Keyed) else {}
    return {**keys(), "dynamodb:EnclosingOperation": [operation], **own}


def _item_key(body: bytes, arn: str, key: str) -> Any:
    own = leading_keys(arn.item) if key == _LEADING_KEYS and isinstance(arn, Keyed) else []
    return own or _leading_key(body, key)


def _json_calls(service: str, action: str, request: PlainRequest) -> list[Call]:
    if not _is_object(request.body):
        return []
    arn = actions().extract_resource_arn(service, *request)
    calls = [Call(action, arn, partial(_json_keys, service, action, arn, request))]
    if service == "events":
        buses = actions().eventbridge_resource_arns(request.body, request.region, request.account_id)
        calls += [Call(action, bus, dict) for bus in buses[1:]]
    return calls


def _json_keys(service: str, action: str, arn: str, request: PlainRequest) -> dict[str, Any]:
    tags = actions().request_tag_context(service, action, request.body, request.query)
    if service != "logs":
        return dict(tags)
    operation = action.partition(":")[2]
    keys = actions().logs_service_context(operation, request.body, arn, request.region, request.account_id)
    return {**tags, **keys}


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(parsed(body or b"{}"), Mapping)
    except ValueError:
        return False
