"""A known caller is forgotten as soon as a record about him changes."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from ministack.core import iam_evaluator
from ministack.services import iam, sts

from embedded.ministack.iam.identity import role_credentials
from embedded.ministack.plain_requests import callers
from embedded.ministack.plain_requests.callers import known_caller
from embedded.ministack.plain_requests.permissions import Call, CallContext, Situation, is_allowed

pytestmark = pytest.mark.usefixtures("no_callers")

ACCOUNT = "000000000000"
ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
DENY = {**ALLOW, "Effect": "Deny"}
KEY = "AKIAUSER000000000000"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def session(role: Any) -> str:
    arn = role("reader", "lambda.amazonaws.com", ALLOW)
    iam._policies["arn:aws:iam::000000000000:policy/m"] = {
        "DefaultVersionId": "v1", "Versions": {"v1": {"Document": policy(ALLOW)}, "v2": {"Document": policy(DENY)}}
    }  # fmt: skip
    return role_credentials(arn, "session").access_key_id


@pytest.fixture
def user() -> str:
    iam._create_user({"UserName": ["u"]})
    iam._user_inline_policies["u"] = {"p": policy(ALLOW)}
    iam._access_keys[KEY] = {"UserName": "u", "AccessKeyId": KEY, "SecretAccessKey": "s", "Status": "Active"}
    return KEY


def may_read(access_key_id: str) -> bool | None:
    """Return whether a caller may read, or None if he is unknown. The answer must be that of ministack."""
    resolved = iam_evaluator.resolve_principal(access_key_id, ACCOUNT)
    caller = known_caller(access_key_id)
    if caller is None:
        return None
    principal = caller.principal
    assert caller.secret_access_key == iam_evaluator.resolve_credential(access_key_id, ACCOUNT).secret_access_key
    assert (principal.arn, principal.kind, principal.account_id) == (resolved.arn, resolved.type, resolved.account)
    assert principal.condition_keys == resolved.keys
    assert [*principal.permissions.policies] == resolved.policies
    assert [*principal.permissions.limits] == resolved.limits
    situation = Situation("s3:GetObject", "us-east-1", "127.0.0.1", secure_transport=True)
    return is_allowed("dynamodb", CallContext(principal, situation, Call("s3:GetObject", "arn:aws:s3:::b/k", dict)))


def role_record() -> Any:
    return iam._roles["reader"]


MANAGED = "arn:aws:iam::000000000000:policy/m"
ROLE_CHANGES: dict[str, tuple[Callable[[], Any], bool | None]] = {
    "other-policy": (lambda: role_record()["InlinePolicies"].update(p=policy(DENY)), False),
    "no-policy": (lambda: role_record().update(InlinePolicies={}), False),
    "one-more-policy": (lambda: role_record()["InlinePolicies"].update(q=policy(DENY)), False),
    "policy-as-object": (lambda: role_record()["InlinePolicies"].update(p=json.loads(policy(DENY))), False),
    "attached-policy": (lambda: role_record()["AttachedPolicies"].append(MANAGED), True),
    "boundary": (lambda: role_record().update(PermissionsBoundary="arn:aws:iam::000000000000:policy/none"), False),
    "tags": (lambda: role_record().update(Tags=[{"Key": "a", "Value": "b"}]), True),
    "deleted-role": (lambda: iam._roles.pop("reader"), False),
    "new-role": (lambda: iam._roles.update({"reader": {"InlinePolicies": {}, "AttachedPolicies": []}}), False),
}


@pytest.mark.parametrize("name", ROLE_CHANGES)
def test_changes_of_a_role_count_at_once(session: str, name: str) -> None:
    assert may_read(session) is True
    assert known_caller(session) is known_caller(session)
    change, expected = ROLE_CHANGES[name]
    change()
    assert may_read(session) is expected


def test_a_new_version_of_an_attached_policy_counts_at_once(session: str) -> None:
    role_record()["AttachedPolicies"].append(MANAGED)
    assert may_read(session) is True
    iam._policies[MANAGED]["DefaultVersionId"] = "v2"
    assert may_read(session) is False
    iam._policies[MANAGED]["Versions"]["v2"]["Document"] = policy()
    assert may_read(session) is True


def test_a_policy_that_is_changed_in_place_counts_at_once(session: str) -> None:
    document = json.loads(policy(ALLOW))
    role_record()["InlinePolicies"]["p"] = document
    assert may_read(session) is True
    document["Statement"][0]["Effect"] = "Deny"
    assert may_read(session) is False


def test_sessions_of_a_role_share_its_policies(session: str) -> None:
    other = role_credentials("arn:aws:iam::000000000000:role/reader", "other").access_key_id
    first, second = known_caller(session), known_caller(other)
    assert first is not None
    assert second is not None
    assert first.principal.permissions is second.principal.permissions
    assert first.principal.arn != second.principal.arn


SESSION_CHANGES = {"expired": {"Expiration": 1.0}, "narrowed": {"SessionPolicies": {"Policy": policy(DENY)}}}


@pytest.mark.parametrize("name", SESSION_CHANGES)
def test_a_session_that_is_over_or_narrowed_is_left_to_ministack(session: str, name: str) -> None:
    assert may_read(session) is True
    sts._sessions[session].update(SESSION_CHANGES[name])
    assert may_read(session) is None


def test_a_known_session_expires(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_read(session) is True
    ended = sts._sessions[session]["Expiration"] + 1
    monkeypatch.setattr(time, "time", lambda: ended)
    assert may_read(session) is None
    monkeypatch.undo()
    assert may_read(session) is True
    del sts._sessions[session]
    assert may_read(session) is None


USER_CHANGES: dict[str, tuple[Callable[[], Any], bool | None]] = {
    "inactive-key": (lambda: iam._access_keys[KEY].update(Status="Inactive"), None),
    "deleted-key": (lambda: iam._access_keys.pop(KEY), None),
    "key-of-two-accounts": (lambda: iam._access_keys.set_scoped("999999999999", None, KEY, {}), None),
    "other-secret": (lambda: iam._access_keys[KEY].update(SecretAccessKey="t"), True),
    "other-policy": (lambda: iam._user_inline_policies["u"].update(p=policy(DENY)), False),
    "member-of-group": (lambda: iam._groups.update({"g": {"Users": ["u"]}}), None),
    "other-group": (lambda: iam._groups.update({"g": {"Users": ["v"]}}), True),
    "tags": (lambda: iam._users["u"].update(Tags=[{"Key": "a", "Value": "b"}]), True),
    "boundary": (lambda: iam._users["u"].update(PermissionsBoundary="arn:aws:iam::000000000000:policy/none"), False),
}


@pytest.mark.parametrize("name", USER_CHANGES)
def test_changes_of_a_user_count_at_once(user: str, name: str) -> None:
    assert may_read(user) is True
    change, expected = USER_CHANGES[name]
    change()
    if name == "key-of-two-accounts":
        assert known_caller(user) is expected
    else:
        assert may_read(user) is expected


def test_unknown_keys_and_root_are_left_to_ministack() -> None:
    assert known_caller("AKIAUNKNOWN") is None
    assert known_caller("test") is None
    assert callers._callers == {}


def test_only_so_many_callers_are_kept(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_CALLERS", 2)
    keys = [role_credentials("arn:aws:iam::000000000000:role/reader", str(i)).access_key_id for i in range(3)]
    assert all(may_read(key) for key in (session, *keys))
    assert list(callers._callers) == keys[1:]


def test_a_record_may_change_while_it_is_copied(user: str) -> None:
    record = iam._users["u"]

    class Changing:
        def __deepcopy__(self, memo: Any) -> "Changing":
            record.setdefault("Added", "by another thread")
            return self

    record["First"] = Changing()
    assert may_read(user)
