import json
from collections.abc import Callable

import ministack.app
import pytest
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import resolve_credential, resolve_principal
from ministack.services import iam, kms

from embedded.ministack.iam.identity import authorize, install_policy_cache, may_assume, role_credentials
from tests.unit.embedded.ministack.conftest import Call

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
