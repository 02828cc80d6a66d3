"""Checks of a state machine's role, as AWS makes them when the state machine is created."""

from collections.abc import Iterator
from typing import Any

from embedded.ministack.iam.identity import authorize, current_region, may_assume
from embedded.step_functions import authorization
from embedded.step_functions.definition.problem import Problem

_DENIED = "AccessDeniedException"


def role_problems(role_arn: str, machine: dict[str, Any], logging: dict[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the role's trust policy and of its permissions."""
    if not may_assume(role_arn, "states.amazonaws.com"):
        text = "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume"
        yield Problem(f"{text} the provided role {role_arn}.", code=_DENIED)
        return
    if logging.get("level", "OFF") != "OFF":
        # These actions have no resource, so policies allow them on `*`.
        for action in ("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "ListLogDeliveries"):
            if not authorize(role_arn, f"logs:{action}", "*"):
                reason = "is not authorized to access the Log Destination"
                yield Problem(f"The state machine IAM Role {reason} (logs:{action})", code=_DENIED)
                break
    account = role_arn.split(":")[4]
    for rule in sorted(set(_managed_rules(machine))):
        for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule"):
            if not authorize(role_arn, action, f"arn:aws:events:{current_region()}:{account}:rule/{rule}"):
                reason = f"is not authorized to create managed-rule ({action} on {rule})"
                yield Problem(f"'{role_arn}' {reason}.", code=_DENIED)
                break


def _managed_rules(machine: dict[str, Any]) -> Iterator[str]:
    for state in machine.get("States", {}).values():
        resource = str(state.get("Resource", ""))
        if ".sync" in resource:
            action = resource.rpartition(":")[2] if ".sync:" not in resource else resource.split(":")[-2]
            action = action.partition(".")[0]
            if action in authorization.SAGEMAKER_EVENT_RULES:
                yield authorization.SAGEMAKER_EVENT_RULES[action]
            elif action == "startExecution":
                yield authorization.EXECUTION_EVENT_RULE
        for inner in [state.get("ItemProcessor"), *state.get("Branches", [])]:
            if inner:
                yield from _managed_rules(inner)
