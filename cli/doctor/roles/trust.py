"""Trust policies: only the right service may assume each role."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli.doctor.findings import Finding, Report, names
from cli.doctor.policies import as_list, statements_of
from cli.doctor.roles.stage_roles import Role
from cli.doctor.stage import DeployedStage
from contract.json_text import parse_json

_DEPLOY = "Deploy the stage again with `cdk deploy --all`; if nothing changes, restore the trust policy by hand."


def trust_findings(stage: DeployedStage, role: Role) -> Iterator[Finding]:
    """Check who may assume a role."""
    iam = stage.client("iam")
    report = Report("roles.trust", f"{role.name}: {role.arn.rpartition('/')[2]}")
    try:
        document = iam.get_role(RoleName=role.arn.rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        yield report.error("the role does not exist", _DEPLOY)
        return
    document = parse_json(document) if isinstance(document, str) else document
    statements = list(statements_of(document, "Allow"))
    trusted = {
        f"{kind}:{principal}" for statement in statements for kind, principal in _principals(statement.get("Principal"))
    }
    if f"Service:{role.service}" not in trusted:
        yield report.error(f"{role.service} may not assume it", _DEPLOY)
    elif others := sorted(trusted - {f"Service:{role.service}"}):
        yield report.error(f"others may assume it too: {names(others)}", f"Remove them from the policy. {_DEPLOY}")
    elif role.needs_source_account and not all(_names_account(found, stage.account_id) for found in statements):
        yield report.warning(f"{role.service} may assume it for other accounts", _DEPLOY)
    else:
        yield report.ok(f"only {role.service} may assume it")


def _principals(principal: Any) -> Iterator[tuple[str, str]]:
    if isinstance(principal, str):
        yield "AWS", principal
        return
    for kind, values in (principal or {}).items():
        for value in as_list(values):
            yield kind, str(value)


def _names_account(statement: Mapping[str, Any], account_id: str) -> bool:
    for operands in (statement.get("Condition") or {}).values():
        for key, value in operands.items():
            if key.lower() == "aws:sourceaccount" and account_id in map(str, as_list(value)):
                return True
    return False
