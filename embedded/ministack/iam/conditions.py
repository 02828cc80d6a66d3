"""IAM condition keys that ministack leaves out: those of EventBridge, SageMaker and DynamoDB."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import re
from collections.abc import Callable, Mapping
from typing import Any

from embedded.ministack.http.request_memory import parsed

ConditionKeys = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Returns the condition keys of a request."""

_EQUALS = re.compile(r"(#?[\w.]+)\s*=\s*(:\w+)")
_ITEM_MEMBERS = ("Put", "Update", "Delete", "Get", "ConditionCheck")


def install_conditions(keys_of_actions: Mapping[str, ConditionKeys]) -> None:
    """Give policies the condition keys of PutEvents, of DynamoDB's items, and of the given actions.

    Args:
        keys_of_actions: by action, such as `sagemaker:CreateProcessingJob`.
    """
    from ministack.core import iam_actions, iam_evaluator

    ministack_context = iam_actions.request_tag_context
    ministack_table_context = iam_actions.dynamodb_service_context
    ministack_transaction_checks = iam_actions.dynamodb_transaction_checks
    ministack_enforce = iam_evaluator.enforce
    known = {"events:PutEvents": _event_keys, **keys_of_actions}

    def context(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = ministack_context(service, iam_action, body, params)
        return {**found, **known[iam_action](_request(body))} if iam_action in known else found

    def table_context(body: bytes) -> dict[str, Any]:
        found: dict[str, Any] = ministack_table_context(body)
        return {**found, **_named(leading_keys(_request(body)))}

    def transaction_checks(action: str, body: bytes, region: str, account_id: str) -> list[tuple[str, str]]:
        checks = ministack_transaction_checks(action, body, region, account_id)
        items = [item for item in _request(body).get("TransactItems", []) if isinstance(item, dict)]
        details = [item[member] for item in items for member in _ITEM_MEMBERS if member in item]
        if len(details) != len(checks):
            return list(checks)
        keyed = [Keyed(arn, detail) for (_, arn), detail in zip(checks, details, strict=True)]
        return [(item_action, arn) for (item_action, _), arn in zip(checks, keyed, strict=True)]

    def enforce(*arguments: Any, **named: Any) -> Any:
        resource = named.get("resource_arn")
        if isinstance(resource, Keyed):
            # Each item of a transaction is authorized with its own key.
            named["service_context"] = {**(named.get("service_context") or {}), **resource.condition_keys()}
        return ministack_enforce(*arguments, **named)

    iam_actions.request_tag_context = context
    iam_actions.dynamodb_service_context = table_context
    iam_actions.dynamodb_transaction_checks = transaction_checks
    iam_evaluator.enforce = enforce


class Keyed(str):
    """The ARN of a table, with an item of a transaction."""

    item: Mapping[str, Any]

    def __new__(cls, arn: str, item: Mapping[str, Any]) -> "Keyed":
        made = super().__new__(cls, arn)
        made.item = item
        return made

    def condition_keys(self) -> dict[str, Any]:
        """Return the condition keys that the item has."""
        return _named(leading_keys(self.item))


def _request(body: bytes) -> dict[str, Any]:
    try:
        found = parsed(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _event_keys(request: Mapping[str, Any]) -> dict[str, Any]:
    entries = [entry for entry in request.get("Entries", []) if isinstance(entry, dict)]
    names = {"events:source": "Source", "events:detail-type": "DetailType"}
    values = {key: sorted({str(entry.get(name, "")) for entry in entries}) for key, name in names.items()}
    # The Service Authorization Reference lists events:source as an ArrayOfString, which
    # StringEquals without ForAllValues does not match.
    return {
        key: found[0] if len(found) == 1 and key != "events:source" else found for key, found in values.items() if found
    }


def _named(partitions: list[str]) -> dict[str, Any]:
    return {"dynamodb:LeadingKeys": partitions} if partitions else {}


def leading_keys(request: Mapping[str, Any]) -> list[str]:
    """Return the partition keys that a request names: of an item, a key, a query, or a batch."""
    found = []
    for table, batch in (request.get("RequestItems") or {}).items():
        requests = [{"Key": key} for key in batch.get("Keys", [])] if isinstance(batch, dict) else batch
        name = _partition_attribute(table, None)
        for single in requests if name else ():
            found += _of_item(single if "Key" in single else next(iter(single.values())), name)
    name = _partition_attribute(str(request.get("TableName", "")), request.get("IndexName"))
    if not name:
        return found
    found += _of_item(request, name)
    if condition := request.get("KeyConditionExpression"):
        names, values = request.get("ExpressionAttributeNames") or {}, request.get("ExpressionAttributeValues") or {}
        for attribute, value in _EQUALS.findall(condition):
            if names.get(attribute, attribute) == name and value in values:
                found.append(_text(values[value]))
    return found


def _of_item(request: Mapping[str, Any], partition: str) -> list[str]:
    items = (request.get("Key"), request.get("Item"))
    return [_text(item[partition]) for item in items if isinstance(item, dict) and partition in item]


def _partition_attribute(table_name: str, index_name: Any) -> str:
    from ministack.services import dynamodb

    table = dynamodb._tables.get(table_name.rpartition("table/")[2])
    if table is None:
        return ""
    if not index_name:
        return str(table["pk_name"])
    indexes = [*(table.get("GlobalSecondaryIndexes") or []), *(table.get("LocalSecondaryIndexes") or [])]
    schema: list[dict[str, Any]] = next(
        (index["KeySchema"] for index in indexes if index["IndexName"] == index_name), []
    )
    return next((str(key["AttributeName"]) for key in schema if key["KeyType"] == "HASH"), "")


def _text(value: Any) -> str:
    return str(next(iter(value.values()))) if isinstance(value, dict) and value else ""
