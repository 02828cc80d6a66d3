"""A hook for the properties of a stack's resource that ministack ignores."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def after_deployment(resource_type: str, complete: Callable[[str, dict[str, Any]], None]) -> None:
    """Call `complete(physical id, properties)` after each creation and update."""
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS[resource_type]
    make, change = handlers["create"], handlers["update"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        made = make(logical_id, properties, stack_name)
        complete(made[0], properties)
        return made

    def update(physical_id: str, before: dict[str, Any], properties: dict[str, Any], stack_name: str) -> Any:
        changed = change(physical_id, before, properties, stack_name)
        complete(changed[0], properties)
        return changed

    provisioners._RESOURCE_HANDLERS[resource_type] = {**handlers, "create": create, "update": update}
