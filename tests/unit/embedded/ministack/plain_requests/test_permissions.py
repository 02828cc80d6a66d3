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

ACCOUNT = "000000000000"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/session"
KEYS = {
    "aws:PrincipalArn": [ARN, "arn:aws:sts::*", "other"],
    "aws:PrincipalTag/team": ["a", "b"],
    "aws:RequestedRegion": ["us-east-1", "eu-*"],
    "aws:ResourceAccount": [ACCOUNT, "999999999999"],
    "aws:SecureTransport": ["true", "false"],
    "aws:SourceIp": ["127.0.0.1", "10.0.0.0/8"],
    "aws:TagKeys": ["true", "x"],
    "dynamodb:LeadingKeys": ["a*", "b", "a1", "['a1', 'b']", 1],
    "s3:prefix": ["a/*", "a/b", "b/", "", True],
}
OPERATORS = [
    "StringEquals", "stringequals", "StringNotEquals", "StringLike", "StringLikeIfExists", "ForAllValues:StringLike",
    "ForAllValues:StringEquals", "ForAnyValue:StringNotLike", "ArnLike", "Bool", "IpAddress", "NotIpAddress", "Null",
    "Unknown",
]  # fmt: skip
ACTIONS = ["s3:GetObject", "s3:ListBucket", "dynamodb:PutItem"]
RESOURCES = ["arn:aws:s3:::b/a/x", "arn:aws:s3:::b/é\n", "arn:aws:s3:::b", "arn:aws:dynamodb:us-east-1:0:table/t", "*"]

some = st.sampled_from
texts = st.lists(some(["*", "s3:*", "S3:getobject", "s3:?istBucket", "dynamodb:PutItem", "s3:Get.*"]), max_size=2)
patterns = st.lists(
    some(["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/?/x", "arn:aws:s3:::b", "arn:aws:s3:::B*", "*table/t"]), max_size=2
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 2))):
        key = draw(some(sorted(KEYS)))
        values = draw(st.lists(some(KEYS[key]), min_size=1, max_size=2))
        found[draw(some(OPERATORS))] = {draw(some([key, key.lower()])): values if draw(st.booleans()) else values[0]}
    return found


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "Effect": draw(some(["Allow", "Allow", "Deny"])),
        draw(some(["Action", "Action", "NotAction"])): draw(texts) or "*",
        draw(some(["Resource", "Resource", "NotResource"])): draw(patterns) or "*",
        **({"Condition": found} if (found := draw(conditions())) else {}),
    }


@st.composite
def resource_statements(draw: st.DrawFn) -> dict[str, Any]:
    role = f"arn:aws:iam::{ACCOUNT}:role/reader"
    principals = [
        "*", {"AWS": "*"}, {"AWS": role}, {"AWS": [ACCOUNT]}, {"AWS": "arn:aws:iam::1:root"}, {"Service": "s3.aws"}
    ]  # fmt: skip
    return {**draw(statements()), "Principal": draw(some(principals))}


documents = st.lists(statements(), max_size=3)


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
)
def test_decisions_are_those_of_ministack(
    policies: list[Any], boundary: Any, own: Any, owner: str | None, call: tuple[Situation, str, dict[str, Any]]
) -> None:
    parsed = [iam_evaluator.parse_policy_document({"Statement": each}) for each in policies]
    limits = [] if boundary is None else [[iam_evaluator.parse_policy_document({"Statement": boundary})]]
    principal = Principal(ARN, "AssumedRole", ACCOUNT, {"aws:principaltag/team": "a"}, Permissions(parsed, limits))
    context, by_identity = evaluated(principal, call)
    situation, resource, keys = call
    for document in ({"Statement": own}, json.dumps({"Statement": own})):
        expected = by_identity
        if own is not None:
            expected = iam_evaluator.combine_resource_policy(expected, context, document, owner, limits=tuple(limits))
        with pytest.MonkeyPatch.context() as patched:
            found = None if own is None else (document, owner)
            patched.setattr(iam_evaluator, "_resource_policy", lambda *_, found=found: found)
            allowed = is_allowed(
                "s3", CallContext(principal, situation, Call(situation.action, resource, lambda: keys))
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


def test_a_policy_that_names_an_account_that_must_allow_is_left_to_ministack(monkeypatch: pytest.MonkeyPatch) -> None:
    permissions = Permissions(
        [iam_evaluator.parse_policy_document({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})], []
    )
    principal = Principal(ARN, "AssumedRole", ACCOUNT, {}, permissions)
    situation = Situation("kms:Decrypt", "us-east-1", "127.0.0.1", secure_transport=True)
    context = CallContext(principal, situation, Call("kms:Decrypt", "arn:aws:kms:k", dict))
    monkeypatch.setattr(iam_evaluator, "_resource_policy", lambda *_: ("", ACCOUNT))
    assert not is_allowed("kms", context)
