"""EventBridge's IAM condition keys, which ministack leaves out when it authorizes PutEvents."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415

import json
from typing import Any


def install_event_conditions() -> None:
    """Give policies the condition keys `events:source` and `events:detail-type` of a PutEvents
    request.
    """
    from ministack.core import iam_actions

    ministack_context = iam_actions.request_tag_context

    def context(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = ministack_context(service, iam_action, body, params)
        if iam_action == "events:PutEvents":
            found = {**found, **_conditions(body)}
        return found

    iam_actions.request_tag_context = context


def _conditions(body: bytes) -> dict[str, Any]:
    try:
        entries = [entry for entry in json.loads(body or b"{}").get("Entries", []) if isinstance(entry, dict)]
    except ValueError:
        return {}
    names = {"events:source": "Source", "events:detail-type": "DetailType"}
    values = {key: sorted({str(entry.get(name, "")) for entry in entries}) for key, name in names.items()}
    return {key: found[0] if len(found) == 1 else found for key, found in values.items() if found}
