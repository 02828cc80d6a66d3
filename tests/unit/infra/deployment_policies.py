"""The documented policies of CloudFormation's role, and what they allow, by the evaluator of the
embedded AWS.
"""

import json
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator

from embedded.ministack.iam.deployment_calls import Call, DeploymentTarget

POLICIES = Path(__file__).resolve().parents[3] / "docs/operate/policies"
Statements = list[dict[str, Any]]


def statements(policy: str, stage: str, target: DeploymentTarget) -> Statements:
    """Return the statements of a documented policy, with a stage's names."""
    text = (POLICIES / f"{policy}.json").read_text(encoding="utf-8")
    for word, value in (("REGION", target.region), ("ACCOUNT", target.account_id), ("STAGE", stage)):
        text = text.replace(word, value)
    found: Statements = json.loads(text)["Statement"]
    return found


def allows(policy: Statements, call: Call, target: DeploymentTarget) -> bool:
    """Return whether statements let CloudFormation's role make a call."""
    request = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{target.account_id}:assumed-role/cdk-exec/AWSCloudFormation",
        principal_type="AssumedRole",
        principal_account=target.account_id,
        action=call.action,
        resource_arn=call.resource,
        region=target.region,
        secure_transport=True,
        service_context={"aws:tagkeys": None, **call.context},
    )
    document = {"Version": "2012-10-17", "Statement": policy}
    found = iam_evaluator.evaluate(request, [iam_evaluator.parse_policy_document(document)])
    return bool(found.decision == "Allow")
