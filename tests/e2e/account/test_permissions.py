"""The documented policies allow what `fleetscore doctor` calls, and it simulates every permission of the roles."""

import json
from fnmatch import fnmatchcase
from typing import Any

from cli.doctor.checks import stage_checks
from cli.doctor.findings import Level, run_checks
from cli.doctor.roles.stage_roles import stage_roles
from cli.doctor.stage import DeployedStage, read_stage
from tests.e2e.account.documented_policy import FIRST_READ, POLICY, connection_of, person
from tests.e2e.account.faults import role_name
from tests.e2e.stage import Stage


def test_each_denied_check_names_its_action(stage: Stage, deployed: DeployedStage) -> None:
    statements = json.loads(POLICY.read_text())["Statement"]
    denied = read_stage(connection_of(person(stage, deployed, "nobody", statements[:FIRST_READ]), deployed), "dev")
    found = list(run_checks(list(stage_checks(denied))))
    refused = [finding for finding in found if "not checked: your credentials may not call" in finding.found]
    assert {finding.level for finding in refused} == {Level.ERROR}
    named = {finding.found.rpartition(" ")[2] for finding in refused}
    assert all(finding.found.rpartition(" ")[2] in finding.remedy for finding in refused)
    wanted = {action for item in statements[FIRST_READ:] for action in as_list(item["Action"])}
    # A check stops at its first refused call, and this stage has no VPC, no image of another account, and no
    # schedules in cdk.json.
    later = {"kms:GetKeyRotationStatus", "events:ListTargetsByRule", "ecr:GetRepositoryPolicy"}
    later |= {"servicequotas:ListServiceQuotas", "lambda:GetLayerVersion", "scheduler:ListSchedules"}
    assert named == {action for action in wanted if not action.startswith("ec2:")} - later
    # Lambda answers in the same way for a version that does not exist.
    assert any("you may not call lambda:GetLayerVersion" in finding.found for finding in found)


NOT_SIMULATED = {
    # Granted by the CDK for maps, tracing and sampling, and not called in every case.
    "states:RedriveExecution", "xray:GetSamplingRules", "xray:GetSamplingTargets",
    # Granted as AWS documents them for tables with a key; which of them a call needs is not documented.
    "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo",
}  # fmt: skip


def test_every_permission_of_a_role_is_simulated(stage: Stage, deployed: DeployedStage) -> None:
    """When this fails, add the call that needs the permission to cli/doctor/roles/."""
    iam = stage.client("iam")
    missing = []
    for role in stage_roles(deployed):
        name = role_name(role.arn)
        for policy_name in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=name, PolicyName=policy_name)["PolicyDocument"]
            for statement in document["Statement"]:
                for action in as_list(statement["Action"]):
                    simulated = any(
                        action in call.actions
                        and any(fnmatchcase(call.resource, pattern) for pattern in as_list(statement["Resource"]))
                        for call in role.calls
                        if call.is_allowed
                    )
                    if not simulated and action not in NOT_SIMULATED:
                        missing.append(f"{role.name}: {action} on {statement['Resource']}")
    assert missing == []


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
