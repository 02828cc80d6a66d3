"""SimulatePrincipalPolicy with condition keys, all resources, and permissions boundaries.

ministack ignores the context entries and every resource but the first.
"""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

_DECISIONS = {"Allow": "allowed", "Deny": "explicitDeny"}
_REFUSED = ("PolicyInputList", "PermissionsBoundaryPolicyInputList", "ResourcePolicy", "CallerArn", "Marker")


def install_simulation() -> None:
    """Replace ministack's SimulatePrincipalPolicy for roles."""
    from ministack.services import iam

    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = _simulate


def _simulate(parameters: Mapping[str, Any]) -> Any:
    from ministack.core import iam_evaluator
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import iam

    values = {name: value[0] if isinstance(value, list) else value for name, value in parameters.items()}
    refused = [name for name in _REFUSED if any(given.partition(".")[0] == name for given in values)]
    if refused:
        text = f"{', '.join(refused)} is not supported by the embedded AWS: run on AWS"
        return iam._error(400, "InvalidInput", text, ns="iam")
    arn, account_id = str(values.get("PolicySourceArn", "")), get_account_id()
    name = arn.rpartition("/")[2]
    if ":role/" not in arn or iam._roles.get_scoped(account_id, None, name) is None:
        return iam._error(404, "NoSuchEntity", f"The role with name {name} cannot be found.", ns="iam")
    policies = iam_evaluator._gather_role_policies(name, account_id)
    boundary = iam_evaluator._permissions_boundary(iam._roles, name, account_id)
    results = []
    for action in _members(values, "ActionNames"):
        for resource in list(_members(values, "ResourceArns")) or ["*"]:
            request = iam_evaluator.EvalContext(
                principal_arn=arn,
                principal_type="AssumedRole",
                principal_account=account_id,
                action=action,
                resource_arn=resource,
                region=get_region(),
                secure_transport=True,
                service_context=dict(_context(values)),
            )
            decision = iam_evaluator.evaluate(request, policies, *boundary).decision
            within = bool(boundary) and iam_evaluator.evaluate(request, boundary[0]).decision == "Allow"
            results.append(
                f"<member><EvalActionName>{escape(action)}</EvalActionName>"
                f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
                f"<EvalDecision>{_DECISIONS.get(decision, 'implicitDeny')}</EvalDecision>"
                "<MatchedStatements/><MissingContextValues/>"
                + (
                    "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>"
                    f"{str(within).lower()}</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>"
                    if boundary
                    else ""
                )
                + "</member>"
            )
    answer = (
        f"<SimulatePrincipalPolicyResult><EvaluationResults>{''.join(results)}</EvaluationResults>"
        "<IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult>"
    )
    return iam._xml(200, "SimulatePrincipalPolicyResponse", answer, ns="iam")


def _members(values: Mapping[str, Any], name: str) -> Iterator[str]:
    number = 1
    while (value := values.get(f"{name}.member.{number}")) is not None:
        yield str(value)
        number += 1


def _context(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the condition keys of the request in lower case, with lists for list types."""
    number = 1
    while (key := values.get(f"ContextEntries.member.{number}.ContextKeyName")) is not None:
        entry = f"ContextEntries.member.{number}"
        found = list(_members(values, f"{entry}.ContextKeyValues"))
        is_list = str(values.get(f"{entry}.ContextKeyType", "")).endswith("List")
        yield str(key).lower(), found if is_list or len(found) != 1 else found[0]
        number += 1
