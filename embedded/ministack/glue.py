"""Corrections to ministack's Glue Data Catalog."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import json
import re
from typing import Any

_TERM = re.compile(r"""\s*(\w+)\s*=\s*(?:'((?:[^']|'')*)'|(-?[0-9]+))\s*""")
_AND = re.compile("and", re.IGNORECASE)


def install_partition_filters() -> None:
    """Let GetPartitions evaluate its Expression, which ministack ignores.

    Only equalities that are joined by AND are supported; others are refused by name.
    """
    from ministack.services import glue

    ministack_get_partitions = glue._get_partitions

    def get_partitions(request: dict[str, Any]) -> Any:
        table = glue._tables.get(f"{request.get('DatabaseName')}/{request.get('TableName')}")
        if table is None:
            name = f"{request.get('DatabaseName')}.{request.get('TableName')}"
            return glue.error_response_json("EntityNotFoundException", f"Table not found: {name}", 400)
        expression = str(request.get("Expression") or "")
        wanted = equalities(expression) if expression else {}
        columns = [str(column["Name"]) for column in table["PartitionKeys"]]
        if wanted is None or not wanted.keys() <= set(columns):
            text = f"The embedded AWS supports equalities of partition columns joined by AND, not {expression!r}"
            return glue.error_response_json("InvalidInputException", text, 400)
        answer = json.loads(ministack_get_partitions(request)[2])
        found = [
            partition
            for partition in answer["Partitions"]
            if all(value == wanted.get(name, value) for name, value in zip(columns, partition["Values"], strict=False))
        ]
        return glue.json_response({**answer, "Partitions": found})

    glue._get_partitions = get_partitions


def equalities(expression: str) -> dict[str, str] | None:
    """Return the values of a filter by column; None if it has anything but equalities joined by AND.

    >>> equalities("day='it''s' AND hour = 7"), equalities("day > '2026'")
    ({'day': "it's", 'hour': '7'}, None)
    """
    found: dict[str, str] = {}
    rest = expression
    while term := _TERM.match(rest):
        found[term[1]] = term[3] if term[2] is None else term[2].replace("''", "'")
        rest = rest[term.end() :]
        if not rest:
            return found
        joined = _AND.match(rest)
        if joined is None:
            return None
        rest = rest[joined.end() :]
    return None


def glue_resource_arn(operation: str, body: bytes, region: str, account_id: str) -> str:
    """Return the ARN of the table that a request reads. ministack names its database only."""
    if operation not in ("GetTable", "GetPartitions"):
        return ""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return ""
    name = request.get("Name") or request.get("TableName")
    return f"arn:aws:glue:{region}:{account_id}:table/{request.get('DatabaseName')}/{name}" if name else ""
