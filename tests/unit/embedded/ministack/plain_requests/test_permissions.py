"""Quick decisions are those of ministack's evaluation, for any policies and requests."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.core import iam_evaluator
from ministack.services import tagging

from embedded.ministack.plain_requests.permissions import (
    Call,
    CallContext,
    Permissions,
    Principal,
    Situation,
    is_allowed,
)
from tests.unit.embedded.ministack.plain_requests.random_policies import (
    ACCOUNT,
    ACTIONS,
    ARN,
    RESOURCES,
    documents,
    resource_statements,
)

some = st.sampled_from


@st.composite
def calls(draw: st.DrawFn) -> tuple[Situation, str, dict[str, Any]]:
    origin = draw(some([("127.0.0.1", True), ("10.1.1.1", False)]))
    situation = Situation(draw(some(ACTIONS)), draw(some(["us-east-1", "eu-west-1"])), *origin)
    keys = [{}, {"s3:prefix": "a/b"}, {"s3:prefix": ""}, {"dynamodb:LeadingKeys": ["a1", "b"]}]
    return situation, draw(some(RESOURCES)), draw(some(keys))


def evaluated(principal: Principal, call: tuple[Situation, str, dict[str, Any]]) -> tuple[Any, Any]:
    """Return a call as ministack describes it, and the decision of its evaluation of the caller's policies."""
    situation, resource, keys = call
    context = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.kind,
        principal_account=principal.account_id,
        action=situation.action,
        resource_arn=resource,
        region=situation.region,
        source_ip=situation.source_ip,
        secure_transport=situation.secure_transport,
        service_context={"aws:tagkeys": None, **{key.lower(): value for key, value in keys.items()}},
        principal_keys=principal.condition_keys,
    )
    return context, iam_evaluator.evaluate(context, principal.permissions.policies, *principal.permissions.limits)


@given(
    policies=st.lists(documents, max_size=3),
    boundary=st.none() | documents,
    own=st.none() | st.lists(resource_statements(), max_size=3),
    owner=some([ACCOUNT, None, "999999999999"]),
    call=calls(),
    service=some(["s3", "kms"]),
)
def test_decisions_are_those_of_ministack(
    *,
    policies: list[Any],
    boundary: Any,
    own: Any,
    owner: str | None,
    call: tuple[Situation, str, dict[str, Any]],
    service: str,
) -> None:
    parsed = [iam_evaluator.parse_policy_document({"Statement": each}) for each in policies]
    limits = [] if boundary is None else [[iam_evaluator.parse_policy_document({"Statement": boundary})]]
    principal = Principal(ARN, "AssumedRole", ACCOUNT, {"aws:principaltag/team": "a"}, Permissions(parsed, limits))
    context, by_identity = evaluated(principal, call)
    situation, resource, keys = call
    for document in ({"Statement": own}, json.dumps({"Statement": own})):
        expected = by_identity
        if own is not None:
            expected = iam_evaluator.combine_resource_policy(
                expected, context, document, owner, required=service == "kms", limits=tuple(limits)
            )
        with pytest.MonkeyPatch.context() as patched:
            found = None if own is None else (document, owner)
            patched.setattr(iam_evaluator, "_resource_policy", lambda *_, found=found: found)
            allowed = is_allowed(
                service, CallContext(principal, situation, Call(situation.action, resource, lambda: keys))
            )
        if allowed:
            assert expected.decision == "Allow"
        elif expected.decision == "Allow":
            # Only what the policy of a resource allows, or what another account owns, is left to ministack.
            assert own is not None
            assert by_identity.decision != "Allow" or owner not in (None, ACCOUNT)


def test_tags_of_a_resource_are_read_for_conditions_about_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "resource_tags", lambda arn: {"Team": "a"} if arn.endswith("tagged") else None)
    condition = {"StringEquals": {"aws:ResourceTag/Team": "a"}}
    [statement] = iam_evaluator.parse_policy_document(
        {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}}
    )
    principal = Principal(ARN, "AssumedRole", ACCOUNT, {}, Permissions([[statement]], []))
    situation = Situation("dynamodb:GetItem", "us-east-1", "127.0.0.1", secure_transport=True)
    for resource, allowed in (("arn:tagged", True), ("arn:other", False)):
        assert (
            is_allowed("dynamodb", CallContext(principal, situation, Call(situation.action, resource, dict))) is allowed
        )


def test_a_key_without_a_policy_is_left_to_ministack(monkeypatch: pytest.MonkeyPatch) -> None:
    permissions = Permissions(
        [iam_evaluator.parse_policy_document({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})], []
    )
    principal = Principal(ARN, "AssumedRole", ACCOUNT, {}, permissions)
    situation = Situation("kms:Decrypt", "us-east-1", "127.0.0.1", secure_transport=True)
    context = CallContext(principal, situation, Call("kms:Decrypt", "arn:aws:kms:k", dict))
    monkeypatch.setattr(iam_evaluator, "_resource_policy", lambda *_: ("", ACCOUNT))
    assert not is_allowed("kms", context)
