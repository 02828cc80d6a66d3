"""The documented policies let CloudFormation deploy a stage, and have nothing that it does not
need.

The calls of a template come from the lists by which the embedded AWS checks a deployment, and its
evaluator decides about them. `tests/e2e/clients/test_cdk_cli.py` compares the same policies with
the calls of a real deployment.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from embedded.ministack.iam.deployment_calls import TYPES, Call, DeploymentTarget, bootstrap_calls, resource_calls
from tests.unit.infra import deployment_policies
from tests.unit.infra.assembly import Assembly, Template, flat
from tests.unit.infra.deployment_policies import Statements

TARGET = DeploymentTarget("eu-central-1", "123456789012")
LARGEST = 6_144
"""Largest managed policy, in characters besides white space."""
NAMES = ("Name", "BucketName", "FunctionName", "LogGroupName", "QueueName", "RoleName", "StateMachineName", "TableName")


def statements(policy: str, stage: str) -> Statements:
    return deployment_policies.statements(policy, stage, TARGET)


def allowed(call: Call, policy: Statements) -> bool:
    return deployment_policies.allows(policy, call, TARGET)


def needed(assembly: Assembly) -> list[Call]:
    """Return every call that creates, updates and deletes the resources of a stage."""
    calls = bootstrap_calls(TARGET)
    for stack, template in assembly.templates.items():
        name = f"fleetscore-{assembly.stage}-{stack}"
        for logical_id, resource in template["Resources"].items():
            assert resource["Type"] in {*TYPES, "AWS::CDK::Metadata"}, f"{resource['Type']} has no list of actions"
            properties = resolved(resource.get("Properties", {}), template)
            for operation in ("create", "update", "delete"):
                calls += resource_calls(
                    resource["Type"], operation, properties, TARGET, f"{name}-{logical_id}-XXXXXXXXXXXX"
                )
    # The key that another resource refers to is the stage's, and has its tag.
    tag = {"aws:resourcetag/fleetscore:stage": assembly.stage}
    return [replace(call, context={**tag, **call.context}) if "/key" in call.resource else call for call in calls]


def resolved(properties: dict[str, Any], template: Template) -> dict[str, Any]:
    """Replace names by what CloudFormation makes of them."""
    return {**properties, **dict(_texts(properties, template))}


def _texts(properties: dict[str, Any], template: Template) -> Iterator[tuple[str, str]]:
    for name in NAMES:
        if isinstance(properties.get(name), dict) and "Fn::Join" in properties[name]:
            yield name, flat(properties[name])
    if "GroupName" in properties:
        yield "GroupName", template["Resources"][properties["GroupName"]["Ref"]]["Properties"]["Name"]


@pytest.fixture(scope="module")
def calls(automated: Assembly) -> list[Call]:
    return needed(automated)


@pytest.fixture(scope="module")
def policy() -> Statements:
    return [*statements("deploy-data", "dev"), *statements("deploy-workflow", "dev")]


def test_the_policies_allow_everything_that_deploying_needs(calls: list[Call], policy: Statements) -> None:
    assert [f"{call.action} on {call.resource}" for call in calls if not allowed(call, policy)] == []


def test_a_stage_with_all_settings_needs_no_more(prod: Assembly) -> None:
    policy = [*statements("deploy-data", "prod"), *statements("deploy-workflow", "prod")]
    assert [f"{call.action} on {call.resource}" for call in needed(prod) if not allowed(call, policy)] == []


def test_each_statement_action_and_resource_is_needed(calls: list[Call], policy: Statements) -> None:
    unneeded = []
    for number, statement in enumerate(policy):
        others = [*policy[:number], *policy[number + 1 :]]
        own = [call for call in calls if allowed(call, [statement])]
        assert any(not allowed(call, others) for call in own), f"nothing needs {statement}"
        unneeded += [
            f"{member} {value}"
            for member in ("Action", "Resource")
            for value in listed(statement[member])
            if not any(allowed(call, [{**statement, member: value}]) for call in own)
        ]
    assert unneeded == []


def test_the_policies_of_one_stage_do_not_reach_another(prod: Assembly, policy: Statements) -> None:
    reached = {call.action for call in needed(prod) if allowed(call, policy)}
    assert reached == {
        # Resources that all stages share: the bootstrap's parameter and assets, and AWS's layer.
        "ssm:GetParameters", "s3:GetObject", "lambda:GetLayerVersion",
        # Their ARNs have no name, or no ARN is authorized.
        "cloudwatch:DescribeAlarms", "logs:DescribeLogGroups",
        "lambda:GetEventSourceMapping", "lambda:TagResource", "lambda:UntagResource",
    }  # fmt: skip


def test_wildcards_stand_only_where_aws_knows_no_resource(policy: Statements) -> None:
    assert not [action for statement in policy for action in listed(statement["Action"]) if "*" in action]
    everywhere = {
        action for statement in policy if statement["Resource"] == "*" for action in listed(statement["Action"])
    }
    assert everywhere == {
        "cloudwatch:DescribeAlarms", "kms:CreateKey", "kms:TagResource", "lambda:CreateEventSourceMapping",
        "lambda:DeleteEventSourceMapping", "lambda:UpdateEventSourceMapping", "logs:DescribeLogGroups",
    }  # fmt: skip


def test_each_policy_fits_into_a_managed_policy() -> None:
    for name in ("deploy-data", "deploy-workflow", "deployer"):
        text = json.dumps({"Version": "2012-10-17", "Statement": statements(name, "s" * 16)}, separators=(",", ":"))
        assert len(text) <= LARGEST, name


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
