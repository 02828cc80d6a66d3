"""Simulation of roles' calls by IAM, with policies, boundaries and organization policies."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli.doctor.findings import Finding, Report
from cli.doctor.roles.calls import Call
from cli.doctor.roles.stage_roles import Role
from cli.doctor.stage import DeployedStage

_DEPLOY = "Deploy the stage again with `cdk deploy --all`; if nothing changes, restore the role's policy by hand."


def call_findings(stage: DeployedStage, role: Role) -> Iterator[Finding]:
    """Simulate every call of a role; return one finding, or one per mismatch."""
    iam = stage.client("iam")
    report = Report("roles.calls", f"{role.name}: {role.arn.rpartition('/')[2]}")
    allowed = denied = 0
    wrong = False
    for request, expected in _requests(role):
        for action, decision, why in _simulate(iam, role.arn, request, list(expected)):
            if (decision == "allowed") == expected[action]:
                allowed, denied = allowed + expected[action], denied + (not expected[action])
                continue
            wrong = True
            about = f"{action} on {request.resource}{_with(request.context)}"
            if expected[action]:
                yield report.error(f"may not call {about} ({why or decision})", _remedy(why))
            else:
                yield report.error(f"may call {about}, which it must not", f"Remove it from the role. {_DEPLOY}")
    if not wrong:
        yield report.ok(f"may make {allowed} calls that it needs, and not {denied} that it must not make")


def _requests(role: Role) -> Iterator[tuple[Call, dict[str, bool]]]:
    """Yield requests to IAM, whose size is limited, each with the expected decisions."""
    found: dict[str, tuple[Call, dict[str, bool]]] = {}
    for call in role.calls:
        _, expected = found.setdefault(f"{call.resource} {sorted(call.context.items())}", (call, {}))
        expected |= dict.fromkeys(call.actions, call.is_allowed)
    yield from found.values()


def _simulate(iam: Any, role_arn: str, call: Call, actions: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each action with IAM's decision, and the deciding policy if it is not the role's."""
    entries = [_entry(key, value) for key, value in call.context.items()]
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role_arn,
        ActionNames=actions,
        ResourceArns=[call.resource],
        **({"ContextEntries": entries} if entries else {}),
    )
    for result in answer["EvaluationResults"]:
        why = ""
        if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
            why = "denied by a policy of the organization"
        elif not result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True):
            why = "denied by the role's permissions boundary"
        yield result["EvalActionName"], result["EvalDecision"], why


def _entry(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"ContextKeyName": key, "ContextKeyValues": [str(value).lower()], "ContextKeyType": "boolean"}
    if isinstance(value, list):
        return {"ContextKeyName": key, "ContextKeyValues": value, "ContextKeyType": "stringList"}
    return {"ContextKeyName": key, "ContextKeyValues": [str(value)], "ContextKeyType": "string"}


def _with(context: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key}={value}" for key, value in context.items())
    return f" with {shown}" if shown else ""


def _remedy(why: str) -> str:
    if why.endswith("organization"):
        return "Ask your organization's administrators to allow the action for this role."
    if why.endswith("boundary"):
        return "Allow the action in the policy of the boundary."
    return _DEPLOY
