import json
from collections.abc import Callable
from typing import Any

import ministack.app
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import resolve_credential, resolve_principal
from ministack.services import iam, kms

from embedded.ministack.iam import identity
from embedded.ministack.iam.identity import authorize, install_policy_cache, may_assume, role_credentials
from embedded.ministack.plain_requests import callers
from tests.unit.embedded.ministack.conftest import Call
from tests.unit.embedded.ministack.plain_requests.random_policies import (
    ACTIONS,
    RESOURCES,
    documents,
    resource_statements,
)

Role = Callable[..., str]
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}


@pytest.fixture(autouse=True)
def enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ministack.app, "AUTH", True)


def test_credentials_act_as_their_role(role: Role) -> None:
    credentials = role_credentials(role("reader", "lambda.amazonaws.com", READ), "a-session")
    principal = resolve_principal(credentials.access_key_id, "000000000000")

    assert principal.arn == "arn:aws:sts::000000000000:assumed-role/reader/a-session"
    assert [statement.actions for statements in principal.policies for statement in statements] == [["s3:GetObject"]]


def test_credentials_need_their_secret_and_token(role: Role) -> None:
    credentials = role_credentials(role("reader", "lambda.amazonaws.com", READ), "s")
    resolved = resolve_credential(credentials.access_key_id, "000000000000", credentials.session_token)
    assert resolved.secret_access_key == credentials.secret_access_key
    refused = resolve_credential(credentials.access_key_id, "000000000000", "another token")
    assert not hasattr(refused, "secret_access_key")


def test_role_policies_decide_what_is_allowed(role: Role) -> None:
    arn = role("reader", "states.amazonaws.com", READ)

    assert authorize(arn, "s3:GetObject", "arn:aws:s3:::b/key")
    assert not authorize(arn, "s3:GetObject", "arn:aws:s3:::other/key")
    assert not authorize(arn, "s3:PutObject", "arn:aws:s3:::b/key")


def test_policy_conditions_are_evaluated(role: Role) -> None:
    passing = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    arn = role("p", "states.amazonaws.com", {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": passing})

    assert authorize(arn, "iam:PassRole", "*", {"iam:PassedToService": "sagemaker.amazonaws.com"})
    assert not authorize(arn, "iam:PassRole", "*", {"iam:PassedToService": "lambda.amazonaws.com"})
    assert not authorize(arn, "iam:PassRole", "*")


def test_explicit_deny_overrides_allow(role: Role) -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    assert not authorize(role("d", "states.amazonaws.com", READ, deny), "s3:GetObject", "arn:aws:s3:::b/key")


def test_kms_key_policy_is_evaluated_too(role: Role, call: Call) -> None:
    arn = role("k", "states.amazonaws.com", {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"})

    def key(*principals: str) -> str:
        statement = {"Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": "kms:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        created = call(kms, "CreateKey", Policy=policy, BypassPolicyLockoutSafetyCheck=True)
        return str(created["KeyMetadata"]["Arn"])

    assert authorize(arn, "kms:Decrypt", key("arn:aws:iam::000000000000:root"))
    assert not authorize(arn, "kms:Decrypt", key("arn:aws:iam::000000000000:role/another"))
    kms.reset()


READER = "arn:aws:iam::000000000000:role/reader"
BOUNDARY = "arn:aws:iam::000000000000:policy/boundary"
KEY = "arn:aws:kms:us-east-1:000000000000:key/k"


def managed(statements: Any) -> dict[str, Any]:
    return {"DefaultVersionId": "v1", "Versions": {"v1": {"Document": json.dumps({"Statement": statements})}}}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    policies=st.lists(documents, max_size=2),
    attached=st.none() | documents,
    boundary=st.none() | documents,
    of_key=st.lists(resource_statements(), max_size=2),
    action=st.sampled_from([*ACTIONS, "kms:Decrypt"]),
    resource=st.sampled_from([*RESOURCES, KEY]),
    keys=st.sampled_from([None, {}, {"s3:prefix": "a/b"}, {"dynamodb:LeadingKeys": ["a1", "b"]}, {"aws:TagKeys": "x"}]),
)
def test_quick_decisions_are_those_of_ministack_after_each_change(
    *,
    policies: list[Any],
    attached: Any,
    boundary: Any,
    of_key: list[Any],
    action: str,
    resource: str,
    keys: dict[str, Any] | None,
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        inline = {str(number): json.dumps({"Statement": each}) for number, each in enumerate(policies)}
        iam._roles["reader"] = {"InlinePolicies": inline, "AttachedPolicies": [] if attached is None else ["attached"]}
        iam._policies["attached"] = managed(attached or [])
        if boundary is not None:
            iam._roles["reader"]["PermissionsBoundary"] = BOUNDARY
            iam._policies[BOUNDARY] = managed(boundary)
        key = {"Policy": json.dumps({"Statement": of_key})}
        patched.setattr(kms, "_resolve_key", lambda arn: key if arn == KEY else None)
        quick = authorize(READER, action, resource, keys)
        patched.setattr(identity, "is_allowed", lambda *_: False)
        callers._identities.clear()
        assert authorize(READER, action, resource, keys) is quick
    iam.reset()


def test_an_allowed_call_needs_no_evaluation_by_ministack(
    role: Role, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = role("quick", "states.amazonaws.com", READ, {"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    key = call(kms, "CreateKey", Policy=json.dumps({"Statement": [statement]}), BypassPolicyLockoutSafetyCheck=True)
    monkeypatch.setattr(identity, "_ministack_allows", lambda _call: False)

    assert authorize(arn, "s3:GetObject", "arn:aws:s3:::b/key")
    assert authorize(arn, "kms:GenerateDataKey", key["KeyMetadata"]["Arn"])
    kms.reset()


def test_service_assumes_only_roles_that_trust_it(role: Role) -> None:
    arn = role("job", "sagemaker.amazonaws.com", READ)

    assert may_assume(arn, "sagemaker.amazonaws.com")
    assert not may_assume(arn, "lambda.amazonaws.com")
    assert not may_assume("arn:aws:iam::000000000000:role/missing", "sagemaker.amazonaws.com")


@pytest.mark.parametrize(("account", "allowed"), [("000000000000", True), ("999999999999", False)])
def test_a_trust_policy_limits_the_source_account(account: str, allowed: bool) -> None:
    condition = {"StringEquals": {"aws:SourceAccount": account, "aws:SourceArn": "arn:aws:scheduler:::any"}}
    principal = {"Service": "scheduler.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}
    iam._roles["limited"] = {"AssumeRolePolicyDocument": {"Statement": [trust]}}
    assert may_assume("arn:aws:iam::000000000000:role/limited", "scheduler.amazonaws.com") is allowed
    iam.reset()


def test_everything_is_allowed_without_iam_enforcement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ministack.app, "AUTH", False)
    assert authorize("arn:aws:iam::000000000000:role/missing", "s3:GetObject", "*")


def test_arn_that_is_not_a_role_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="role_arn: 'reader' is not the ARN of an IAM role"):
        role_credentials("reader", "s")


def test_condition_keys_of_statements_are_found_as_by_ministack(monkeypatch: pytest.MonkeyPatch) -> None:
    from_ministack = iam_evaluator._names_condition_key
    for name in ("json", "parse_policy_document", "_first_match", "_names_condition_key"):
        monkeypatch.setattr(iam_evaluator, name, getattr(iam_evaluator, name))
    install_policy_cache()
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    tagged = {**statement, "Condition": {"StringEquals": {"aws:ResourceTag/Team": "a"}}}
    for statements, expected in (([statement], False), ([statement, tagged], True)):
        policies = [iam_evaluator.parse_policy_document(json.dumps({"Statement": statements}))]
        for _ in range(2):
            assert iam_evaluator._names_condition_key(policies, "aws:resourcetag/") is expected
            assert not iam_evaluator._names_condition_key(policies, "aws:principaltag/")
        assert from_ministack(policies, "aws:resourcetag/") is expected
