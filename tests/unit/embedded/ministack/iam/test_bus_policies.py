import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core import iam_evaluator
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from embedded.ministack.iam.bus_policies import install_bus_policies

BUS = "AWS::Events::EventBus"
ACCOUNT = "000000000000"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(provisioners._RESOURCE_HANDLERS, BUS, provisioners._RESOURCE_HANDLERS[BUS])
    monkeypatch.setattr(iam_evaluator, "_resolve_condition_key", iam_evaluator._resolve_condition_key)
    monkeypatch.setattr(iam_evaluator, "_RESOURCE_POLICY_LOOKUPS", {**iam_evaluator._RESOURCE_POLICY_LOOKUPS})
    install_bus_policies()
    yield
    eventbridge.reset()


def policy(role: str) -> dict[str, Any]:
    condition = {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{role}"}}
    denial = {"Effect": "Deny", "Principal": "*", "Action": "events:PutEvents", "Resource": "*", "Condition": condition}
    return {"Version": "2012-10-17", "Statement": [denial]}


def decision(role: str, arn: str) -> str:
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action="events:PutEvents",
        resource_arn=arn,
        region="us-east-1",
    )
    found = iam_evaluator._resource_policy("events", arn)
    allowed = iam_evaluator.EvalResult("Allow")
    if found is None:
        return allowed.decision
    return str(iam_evaluator.combine_resource_policy(allowed, context, *found).decision)


def test_a_bus_policy_is_evaluated_with_the_role_of_a_session() -> None:
    handlers = provisioners._RESOURCE_HANDLERS[BUS]
    name, attributes = handlers["create"]("Bus", {"Name": "b", "Policy": policy("announcer")}, "stack")
    assert decision("announcer", attributes["Arn"]) == "Allow"
    assert decision("somebody", attributes["Arn"]) == "Deny"
    assert json.loads(eventbridge._describe_event_bus({"Name": name})[2])["Policy"]

    handlers["update"](name, {"Name": "b"}, {"Name": "b", "Policy": policy("somebody")}, "stack")
    assert decision("somebody", attributes["Arn"]) == "Allow"
    handlers["update"](name, {"Name": "b"}, {"Name": "b"}, "stack")
    assert decision("anybody", attributes["Arn"]) == "Allow"
