"""A cache of callers with their credentials and policies, which is valid until one of the records changes."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: SLF001

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from embedded.ministack.plain_requests.modules import evaluator, identities, request_scopes, sessions
from embedded.ministack.plain_requests.permissions import Permissions, Principal

_CALLERS = 500
"""Largest number of callers that are kept. The oldest one is dropped."""
_KINDS = ("AssumedRole", "User")


@dataclass(eq=False)
class Caller:
    """The owner of an access key, with the secrets and the expiration of the key.

    `session_token` is None for a key without one.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    expiration: float | None
    principal: Principal
    identity: Identity
    record: Any
    """A copy of ministack's records of the key or the session."""

    def is_current(self) -> bool:
        """Return whether the records still have what this object was made of."""
        if self.expiration is not None and time.time() > self.expiration:
            return False
        return _key_record(self.access_key_id) == self.record and self.identity.is_current()


class Identity:
    """A user or a role with its policies."""

    permissions: Permissions

    def __init__(self, kind: str, account_id: str, name: str) -> None:
        self._kind, self._account_id, self._name = kind, account_id, name
        # Copied before the policies are read, so that a change in between is noticed.
        self._records: tuple[Any, ...] = _copied(self._read)

    def is_current(self) -> bool:
        """Return whether the user or role, and all policies, are still the same."""
        return self._read() == self._records

    def is_in_group(self) -> bool:
        return bool(self._records[2])

    def _read(self) -> tuple[Any, ...]:
        """Return all records that decide about permissions, and the tags."""
        iam = identities()
        store, inline, groups = iam._roles, None, None
        if self._kind == "User":
            store = iam._users
            inline = iam._user_inline_policies.get_scoped(self._account_id, None, self._name)
            if iam._groups._data:
                groups = [key for key, group in list(iam._groups._data.items()) if self._name in group.get("Users", [])]
        entity = store.get_scoped(self._account_id, None, self._name)
        if entity is None:
            return None, inline, groups, ()
        boundary, attached = entity.get("PermissionsBoundary"), entity.get("AttachedPolicies") or ()
        read = evaluator()._resolve_managed_policy_document
        documents = tuple([read(arn, self._account_id) for arn in (*attached, boundary) if arn])
        return entity, inline, groups, documents


_callers: dict[str, Caller] = {}
_identities: dict[tuple[str, str, str], Identity] = {}
_keeping = threading.Lock()


def known_caller(access_key_id: str) -> Caller | None:
    """Return the owner of a valid access key, or None if only ministack can tell who it is."""
    known = _callers.get(access_key_id)
    if known is not None:
        if known.is_current():
            return known
        del _callers[access_key_id]
    made = _find(access_key_id)
    if made is not None:
        _keep(_callers, access_key_id, made)
    return made


def role_permissions(account_id: str, name: str) -> Permissions:
    """Return what the policies of a role allow, and nothing without the role. Any thread may call it."""
    key = ("AssumedRole", account_id, name)
    known = _identities.get(key)
    if known is not None and known.is_current():
        return known.permissions
    iam, identity = evaluator(), Identity(*key)
    boundary = iam._permissions_boundary(identities()._roles, name, account_id)
    identity.permissions = Permissions(iam._gather_role_policies(name, account_id), boundary)
    _keep(_identities, key, identity)
    return identity.permissions


def _find(access_key_id: str) -> Caller | None:
    iam, responses = evaluator(), request_scopes()
    # Copied first, so that a change from now on is noticed.
    record = _copied(lambda: _key_record(access_key_id))
    try:
        owner = responses._account_from_sts_session(access_key_id) or iam.find_iam_access_key_account(access_key_id)
    except iam.AmbiguousAccessKeyError:
        return None
    account_id = owner or os.environ.get("MINISTACK_ACCOUNT_ID", "000000000000")
    credential = iam.resolve_credential(access_key_id, account_id)
    if isinstance(credential, iam.CredentialResolutionError) or credential.principal_type not in _KINDS:
        return None
    # Policies of a session narrow those of its role, and policies of groups widen those of a user. They are rare.
    if (record[0] or {}).get("SessionPolicies") is not None:
        return None
    is_user = credential.principal_type == "User"
    name = credential.principal_name if is_user else iam._role_name_from_assumed_arn(credential.principal_arn)
    key = (credential.principal_type, account_id, name)
    identity = _identities.get(key)
    is_known = identity is not None and identity.is_current()
    if identity is None or not is_known:
        identity = Identity(*key)
    if identity.is_in_group():
        return None
    with responses.request_scope(account_id, responses.get_region()):
        principal = iam.resolve_principal(access_key_id, account_id, credential)
    if isinstance(principal, iam.AuthError):
        return None
    if not is_known:
        identity.permissions = Permissions(principal.policies, principal.limits)
        _keep(_identities, key, identity)
    known = Principal(principal.arn, principal.type, principal.account, principal.keys, identity.permissions)
    secret, token = credential.secret_access_key, credential.session_token
    return Caller(access_key_id, secret, token, credential.expiration, known, identity, record)


def _copied(read: Callable[[], Any]) -> Any:
    """Return a copy of records that other threads may change."""
    while True:
        # A dictionary that gets another key while it is copied raises RuntimeError.
        with contextlib.suppress(RuntimeError):
            return deepcopy(read())


def _key_record(access_key_id: str) -> tuple[Any, list[Any]]:
    """Return ministack's record of a session, or those of the users' keys with this id."""
    session = sessions()._sessions.get(access_key_id)
    if session is not None:
        return session, []
    return None, [each for each in list(identities()._access_keys._data.items()) if each[0][1] == access_key_id]


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    with _keeping:
        if len(kept) >= _CALLERS:
            del kept[next(iter(kept))]
        kept[key] = value
