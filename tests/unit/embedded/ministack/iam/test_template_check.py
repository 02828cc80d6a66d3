from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import iam
from ministack.services.cloudformation import provisioners

from embedded.ministack.iam.template_check import install_condition_check
from tests.unit.infra.assembly import Assembly

ROLE = "AWS::IAM::Role"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(provisioners, "_RESOURCE_HANDLERS", {**provisioners._RESOURCE_HANDLERS})
    install_condition_check()
    yield
    iam.reset()


def role_with(conditions: dict[str, Any]) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*", "Condition": conditions}
    return {
        "RoleName": "r",
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        },
        "Policies": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}],
    }


def test_a_condition_key_that_nothing_supplies_is_refused_by_name() -> None:
    create = provisioners._RESOURCE_HANDLERS[ROLE]["create"]
    with pytest.raises(ValueError, match=r"AWS::IAM::Role: condition key sqs:Color is not evaluated"):
        create("R", role_with({"StringNotEquals": {"sqs:Color": "red"}}), "stack")
    assert create("R", role_with({"StringEquals": {"aws:PrincipalArn": "a"}}), "stack")


def test_an_update_is_checked_by_its_new_policy() -> None:
    handlers = provisioners._RESOURCE_HANDLERS[ROLE]
    good, bad = role_with({}), role_with({"Bool": {"sqs:Color": "true"}})
    name = handlers["create"]("R", good, "stack")[0]
    with pytest.raises(ValueError, match="sqs:Color"):
        handlers["update"](name, good, bad, "stack", logical_id="R")


def test_every_condition_of_the_app_is_evaluated(assembly: Assembly, prod: Assembly) -> None:
    create = provisioners._RESOURCE_HANDLERS["AWS::IAM::Policy"]["create"]
    for found in (assembly, prod):
        for name, statement in found.statements():
            document = {"PolicyDocument": {"Statement": [statement]}, "PolicyName": name, "Roles": []}
            create(name, document, "stack")
