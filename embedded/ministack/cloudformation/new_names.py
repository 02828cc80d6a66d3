"""New names for the new resources of a stack."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import secrets
from typing import Any


def install_new_names() -> None:
    """Give each new resource of a stack a new name, as AWS does, unless its template names it.

    ministack derives names from stack and logical id. A table that outlived its stack would be
    replaced by the table of the next deployment.
    """
    from ministack.services.cloudformation import provisioners, stacks

    seed = provisioners._NAME_SEED

    def provision(*arguments: Any) -> tuple[Any, str]:
        # CloudFormation keeps the returned seed for the resource's updates.
        token = seed.set(secrets.token_hex(4))
        try:
            return provisioners._provision_resource(*arguments), seed.get()
        finally:
            seed.reset(token)

    stacks._provision_keeping_seed = provision
    kind = "AWS::Logs::LogGroup"
    handlers = provisioners._RESOURCE_HANDLERS[kind]

    def create_log_group(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        named = {"LogGroupName": provisioners._physical_name(stack, logical_id), **properties}
        return handlers["create"](logical_id, named, stack)

    def update_log_group(
        physical_id: str, before: dict[str, Any], properties: dict[str, Any], stack: str, logical_id: str | None = None
    ) -> Any:
        if "LogGroupName" not in before and "LogGroupName" not in properties:
            before, properties = ({"LogGroupName": physical_id, **each} for each in (before, properties))
        return handlers["update"](physical_id, before, properties, stack, logical_id)

    provisioners._RESOURCE_HANDLERS[kind] = {**handlers, "create": create_log_group, "update": update_log_group}
