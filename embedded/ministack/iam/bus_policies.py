"""Policies of event buses, which ministack neither reads from a template nor evaluates."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from typing import Any

from embedded.ministack.cloudformation.stack_resources import after_deployment

_BUS = "AWS::Events::EventBus"


def install_bus_policies() -> None:
    """Store the policy of a bus that CloudFormation creates or updates, and evaluate it.

    `aws:PrincipalArn` becomes the ARN of a session's role, as on AWS; ministack has the session's.
    """
    from ministack.core import iam_evaluator
    from ministack.services import eventbridge

    resolve = iam_evaluator._resolve_condition_key

    def bus_policy_for_arn(arn: str) -> tuple[Any, str] | None:
        name = arn.partition(":event-bus/")[2]
        policy = eventbridge._event_bus_policies.get(name)
        return None if policy is None else (policy, arn.split(":")[4])

    def resolve_condition_key(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn" and ":assumed-role/" in context.principal_arn:
            return _role_arn(context)
        return resolve(key, context)

    after_deployment(_BUS, _store)
    eventbridge.bus_policy_for_arn = bus_policy_for_arn
    iam_evaluator._RESOURCE_POLICY_LOOKUPS["events"] = ("eventbridge", "bus_policy_for_arn")
    iam_evaluator._resolve_condition_key = resolve_condition_key


def _store(name: str, properties: dict[str, Any]) -> None:
    from ministack.services import eventbridge

    if policy := properties.get("Policy"):
        eventbridge._event_bus_policies[name] = policy
    else:
        eventbridge._event_bus_policies.pop(name, None)


def _role_arn(context: Any) -> str:
    from ministack.services import iam

    name = context.principal_arn.split("/")[1]
    role = iam._roles.get_scoped(context.principal_account, None, name) or {}
    return str(role.get("Arn") or f"arn:aws:iam::{context.principal_account}:role/{name}")
