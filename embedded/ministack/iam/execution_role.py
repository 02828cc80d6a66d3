"""CloudFormation's service role: a stack's resources are changed with the permissions of its role.

ministack accepts a stack's `RoleARN` and ignores it.
"""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import secrets
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from embedded.ministack.iam.deployment_calls import TYPES, Call, DeploymentTarget, bootstrap_calls, resource_calls
from embedded.ministack.iam.identity import authorize, may_assume

_WITH_ROLE = ("CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet")
_SERVICE = "cloudformation.amazonaws.com"
_role: ContextVar[str] = ContextVar("cloudformation_role", default="")
"""Role of the stack that is being deployed; empty for a stack without one."""


def install_execution_role() -> None:
    """Refuse what the policies of a stack's role do not allow.

    Stacks without a role are not checked.
    """
    from ministack.core.responses import AccountRegionScopedDict
    from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

    # As on AWS, a stack keeps its role for operations that name none.
    roles = AccountRegionScopedDict()
    ministack_start = stacks._create_stack_task_in_region

    def start(task: Any, stack: dict[str, Any] | None, stack_id: str | None = None) -> None:
        # The asyncio task that deploys the stack copies this context.
        token = _role.set(roles.get((stack or {}).get("StackName", ""), ""))
        try:
            ministack_start(task, stack, stack_id)
        finally:
            _role.reset(token)

    for module in (changesets, handlers, stacks):
        module._create_stack_task_in_region = start
    for action in _WITH_ROLE:
        handler = handlers._ACTION_HANDLERS[action]
        handlers._ACTION_HANDLERS[action] = partial(_remember_role, roles, handler)
    for kind in TYPES:
        made = provisioners._RESOURCE_HANDLERS[kind]
        checks = {"create": _checked_create, "update": _checked_update, "delete": _checked_delete}
        checked = {name: check(kind, made[name]) for name, check in checks.items() if name in made}
        provisioners._RESOURCE_HANDLERS[kind] = {**made, **checked}


def _remember_role(roles: Any, handler: Callable[[Any], Any], parameters: Mapping[str, Any]) -> Any:
    from ministack.services.cloudformation.helpers import _error, _p

    name = str(_p(parameters, "StackName")).rpartition("stack/")[2].partition("/")[0]
    given = str(_p(parameters, "RoleARN"))
    if given:
        if not may_assume(given, _SERVICE):
            return _error("ValidationError", f"Role {given} is invalid or cannot be assumed")
        roles[name] = given
        if _p(parameters, "Action") != "DeleteStack" and (refused := _refused(given, bootstrap_calls(_target(given)))):
            return _error("AccessDenied", refused, 403)
    return handler(parameters)


def _checked_create(kind: str, create: Callable[..., Any]) -> Callable[..., Any]:
    def checked(logical_id: str, properties: Mapping[str, Any], stack: str, *rest: Any, **named: Any) -> Any:
        made = f"{stack}-{logical_id}-{secrets.token_hex(6).upper()}"
        _check(kind, "create", properties, made)
        return create(logical_id, properties, stack, *rest, **named)

    return checked


def _checked_update(kind: str, update: Callable[..., Any]) -> Callable[..., Any]:
    def checked(
        physical_id: str, old: Mapping[str, Any], new: Mapping[str, Any], stack: str, *rest: Any, **named: Any
    ) -> Any:
        _check(kind, "update", new, _last_part(physical_id))
        return update(physical_id, old, new, stack, *rest, **named)

    return checked


def _checked_delete(kind: str, delete: Callable[..., Any]) -> Callable[..., Any]:
    def checked(physical_id: str, properties: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        _check(kind, "delete", properties or {}, _last_part(physical_id))
        return delete(physical_id, properties, *rest, **named)

    return checked


def _last_part(physical_id: str) -> str:
    """Return the name in a resource's physical id, which may be an ARN or a queue's URL."""
    return physical_id.rpartition("/")[2].rpartition(":")[2]


def _check(kind: str, operation: str, properties: Mapping[str, Any], made: str) -> None:
    role = _role.get()
    if not role:
        return
    if refused := _refused(role, resource_calls(kind, operation, properties, _target(role), made)):
        raise ValueError(refused)


def _refused(role: str, calls: Iterable[Call]) -> str:
    """Return the message about the first refused call; empty if all are allowed."""
    for call in calls:
        if not authorize(role, call.action, call.resource, dict(call.context)):
            session = role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/AWSCloudFormation"
            return (
                f"User: {session} is not authorized to perform: {call.action} on resource: {call.resource} because no "
                f"identity-based policy allows the {call.action} action"
            )
    return ""


def _target(role: str) -> DeploymentTarget:
    from ministack.core.responses import get_region

    _, partition, _, _, account_id, _ = role.split(":", 5)
    return DeploymentTarget(str(get_region()), account_id, partition)
