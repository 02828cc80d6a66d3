"""The templates of several settings and the documented policies, as cfn-lint reads them without a
network.

Its rules E3510, W3037 and I3510 analyse IAM policies: their form and operators, unknown actions,
and actions on resources that they do not apply to, which AWS ignores.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint_by_config
from cfnlint.config import ManualArgs

from tests.unit.infra.assembly import Assembly

POLICIES = Path(__file__).parents[4] / "docs/operate/policies"
IGNORED_RULES = [
    # The CDK adds DependsOn for a role and its policy, in addition to the reference to the role.
    "W3005",
]
TEMPLATES = {
    "assembly": ("storage", "compute", "workflow", "triggers"),
    "automated": ("triggers",),
    "variants": ("compute",),
    "prod": ("storage", "compute", "workflow"),
}
"""Stacks per fixture. The others of these settings have the templates of other fixtures."""


@pytest.mark.parametrize("settings", TEMPLATES)
def test_cfn_lint_accepts_the_templates(request: pytest.FixtureRequest, settings: str) -> None:
    found: Assembly = request.getfixturevalue(settings)
    stacks = TEMPLATES[settings]
    assert lint(*(found.directory / f"fleetscore-{found.stage}-{stack}.template.json" for stack in stacks)) == []


def test_cfn_lint_accepts_the_documented_policies(tmp_path: Path) -> None:
    documents = {file.stem: json.loads(with_arns(file.read_text(encoding="utf-8"))) for file in POLICIES.glob("*.json")}
    assert len(documents) > 5
    assert lint(template(tmp_path, documents)) == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("W3037", {"Action": "dynamodb:GetItems"}),
        ("I3510", {"Resource": "arn:aws:s3:::bucket/*"}),
        ("E3510", {"Condition": {"StringIs": {"dynamodb:LeadingKeys": "a"}}}),
    ],
)
def test_cfn_lint_refuses_what_aws_refuses_or_ignores(tmp_path: Path, rule: str, change: dict[str, Any]) -> None:
    table = "arn:aws:dynamodb:eu-central-1:123456789012:table/records"
    statement = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": table, **change}
    found = lint(template(tmp_path, {"faulty": {"Version": "2012-10-17", "Statement": [statement]}}))
    assert [rule in text for text in found] == [True]


def lint(*files: Path) -> Sequence[str]:
    names = [str(file) for file in files]
    matches = lint_by_config(ManualArgs(templates=names, ignore_checks=IGNORED_RULES, include_checks=["I3510"]))
    return [
        f"{Path(str(match.filename)).name}:{match.linenumber}: {match.rule.id} {match.message}" for match in matches
    ]


def template(folder: Path, documents: dict[str, Any]) -> Path:
    """Write a template that has nothing but policies."""
    kind = "AWS::IAM::ManagedPolicy"
    resources = {
        "".join(word.title() for word in name.split("-")): {"Type": kind, "Properties": {"PolicyDocument": document}}
        for name, document in documents.items()
    }
    path = folder / "policies.template.json"
    path.write_text(json.dumps({"Resources": resources}), encoding="utf-8")
    return path


def with_arns(text: str) -> str:
    """Return a documented policy with ARNs and ids in place of its words in capital letters."""
    here = "eu-central-1:123456789012"
    values = {
        "KEY_ARN": f"arn:aws:kms:{here}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "CHECK_FUNCTION_ARN": f"arn:aws:lambda:{here}:function:check",
        "JOB_ROLE_ARN": "arn:aws:iam::123456789012:role/job",
        "TRAINING_ROLE_ARN": "arn:aws:iam::123456789012:role/training",
        "REGION": "eu-central-1",
        "ACCOUNT": "123456789012",
    }
    for word, value in values.items():
        text = text.replace(word, value)
    return text
