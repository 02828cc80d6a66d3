"""Evaluation of policies for plain requests: the statements that name an action are found once.

ministack evaluates again what is not allowed here, and answers with its own refusal.
"""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from embedded.ministack.iam.call_recording import is_recording
from embedded.ministack.plain_requests.conditions import Matches, anything, compiled, pattern_match
from embedded.ministack.plain_requests.modules import evaluator

_SITUATIONS = 500
"""Largest number of actions and origins whose statements are kept per identity."""
_SITUATION_KEYS = frozenset({"aws:requestedregion", "aws:securetransport", "aws:sourceip"})
"""Condition keys whose values are part of a situation."""


ConditionKeys = Callable[[], dict[str, Any]]


def _no_quick_key(_key: str) -> Any:
    return ...


class Call(NamedTuple):
    """An action on a resource.

    Args:
        keys: Returns the condition keys of the service.
        quick_key: Returns the value of one key, which is in lower case; None if the call has no such key. It returns an
            ellipsis if `keys` is as fast.
    """

    action: str
    resource: str
    keys: ConditionKeys
    quick_key: Callable[[str], Any] = _no_quick_key


class Situation(NamedTuple):
    """The part of a call by which its statements are cached."""

    action: str
    region: str
    source_ip: str
    secure_transport: bool


class CallContext:
    """A call as ministack's evaluation of conditions reads it. Its condition keys are computed when needed."""

    request_tags: dict[str, str] = {}  # noqa: RUF012 - never changed
    tag_keys: tuple[str, ...] = ()

    def __init__(self, principal: Principal, situation: Situation, call: Call) -> None:
        self._principal, self.situation, self._call = principal, situation, call
        self.resource_arn = call.resource

    principal_arn = property(lambda self: self._principal.arn)
    principal_type = property(lambda self: self._principal.kind)
    principal_account = property(lambda self: self._principal.account_id)
    principal_keys = property(lambda self: self._principal.condition_keys)
    permissions = property(lambda self: self._principal.permissions)
    action = property(lambda self: self.situation.action)
    region = property(lambda self: self.situation.region)
    source_ip = property(lambda self: self.situation.source_ip)
    secure_transport = property(lambda self: self.situation.secure_transport)

    @functools.cached_property
    def service_context(self) -> dict[str, Any]:
        """The condition keys of the service and of its resource, in lower case."""
        from ministack.services.tagging import resource_tags

        found = {key.lower(): value for key, value in self._call.keys().items()}
        found.setdefault("aws:tagkeys", None)
        if self.permissions.name_resource_tags:
            for name, value in (resource_tags(self.resource_arn) or {}).items():
                found.setdefault(f"aws:resourcetag/{name}".lower(), value)
        return found

    def value(self, key: str) -> Any:
        """Return the value of one of the condition keys of services."""
        found = self._call.quick_key(key)
        return self.service_context.get(key) if found is ... else found


@dataclass(frozen=True)
class Principal:
    """A user, or a session of a role. `condition_keys` describe it in conditions."""

    arn: str
    kind: str
    account_id: str
    condition_keys: dict[str, Any]
    permissions: Permissions


class _Statement(NamedTuple):
    """A statement that names the action of a situation. Conditions about the situation alone are met."""

    matches: Matches
    is_met: Callable[[Any], bool] | None
    """Evaluates the conditions for a call; None without any."""

    def applies(self, context: CallContext) -> bool:
        return bool(self.matches(context.resource_arn)) and (self.is_met is None or self.is_met(context))


class _Statements(NamedTuple):
    denying: list[_Statement]
    allowing: list[list[_Statement]]
    """One list for the policies, and one per limit such as a permissions boundary. Each needs one that applies."""


class Permissions:
    """The parsed policies of a user or role, and the limits of what they allow."""

    def __init__(self, policies: list[list[Any]], limits: list[list[list[Any]]]) -> None:
        self.policies, self.limits = policies, limits
        self._statements: dict[Situation, _Statements] = {}

    @functools.cached_property
    def name_resource_tags(self) -> bool:
        return bool(evaluator()._names_condition_key(self.policies, "aws:resourcetag/"))

    def allow(self, context: CallContext) -> bool:
        """Return whether these policies allow a call. The policy of its resource is evaluated elsewhere."""
        found = self._statements.get(context.situation)
        if found is None:
            if len(self._statements) >= _SITUATIONS:
                self._statements.clear()
            found = self._statements[context.situation] = self._find(context.situation)
        # Loops take half the time of any() with a generator.
        for statement in found.denying:
            if statement.applies(context):
                return False
        for layer in found.allowing:
            for statement in layer:
                if statement.applies(context):
                    break
            else:
                return False
        return True

    def _find(self, situation: Situation) -> _Statements:
        layers = [[statement for policy in layer for statement in policy] for layer in (self.policies, *self.limits)]
        return _Statements(
            [found for layer in layers for found in _applicable(layer, "Deny", situation)],
            # Statements without conditions are compared first: they take less time.
            [
                sorted(_applicable(layer, "Allow", situation), key=lambda each: each.is_met is not None)
                for layer in layers
            ],
        )


def _applicable(statements: Iterable[Any], effect: str, situation: Situation) -> Iterator[_Statement]:
    """Yield the statements with an effect that name the action and whose conditions the situation can meet."""
    for each in statements:
        if each.effect != effect:
            continue
        if not evaluator()._action_matches(situation.action, each.actions, each.not_actions):
            continue
        is_met = None
        if each.conditions and not _condition_keys(each.conditions) <= _SITUATION_KEYS:
            is_met = compiled(each.conditions)
        elif not evaluator()._conditions_met(each.conditions, situation):
            continue
        yield _Statement(_resource_match(tuple(each.resources), tuple(each.not_resources)), is_met)


def _condition_keys(conditions: dict[str, Any]) -> set[str]:
    return {key.lower() for block in conditions.values() if isinstance(block, dict) for key in block}


def _resource_match(resources: tuple[str, ...], not_resources: tuple[str, ...]) -> Matches:
    """Return a function that compares a resource with patterns, as ministack does."""
    if resources or not not_resources:
        return pattern_match(resources) if resources else anything
    excluded = pattern_match(not_resources)
    return lambda resource: not excluded(resource)


def is_allowed(service: str, context: CallContext) -> bool:
    """Return whether ministack would allow a call; False if only ministack can tell."""
    permissions = context.permissions
    allowed = permissions.allow(context) and _resource_policy_allows(service, context)
    if allowed and is_recording():
        # ministack's evaluation is what is recorded. It uses the same statements, so that it cannot differ.
        if evaluator().evaluate(context, permissions.policies, *permissions.limits).decision != "Allow":
            raise AssertionError(f"{context.action} on {context.resource_arn} is allowed, but not by ministack")
        found = evaluator()._resource_policy(service, context.resource_arn)
        if found is not None:
            evaluator().evaluate_resource_policy(found[0], context)
    return allowed


def _resource_policy_allows(service: str, context: CallContext) -> bool:
    """Return whether the policy of a resource in the caller's account does not deny a call.

    The policies of some services, such as KMS, must also allow it.
    """
    found = None
    if service in evaluator()._RESOURCE_POLICY_LOOKUPS:
        found = evaluator()._resource_policy(service, context.resource_arn)
    policy, owner = found or ("", None)
    if owner not in (None, context.principal_account):
        return False
    must_allow = found is not None and service in evaluator()._POLICY_REQUIRED
    if policy and not isinstance(policy, str):
        decision = evaluator().evaluate_resource_policy(policy, context).decision
        return bool(decision == "Allow" if must_allow else decision != "Deny")
    return not _names(policy, "Deny", context) and (not must_allow or _names(policy, "Allow", context))


def _names(policy: str, effect: str, context: CallContext) -> bool:
    """Return whether a resource's policy has a statement with an effect that applies to a call and its caller."""
    found = _resource_statements(policy, effect, context.situation) if policy else ()
    return any(each.applies(context) and _is_named(principal, context.principal_arn) for principal, each in found)


@functools.lru_cache(_SITUATIONS)
def _resource_statements(policy: str, effect: str, situation: Situation) -> list[tuple[Any, _Statement]]:
    """Return the statements of a resource's policy that name the action, each with its principals."""
    try:
        document = json.loads(policy)
    except ValueError:
        return []
    statements = document.get("Statement", []) if isinstance(document, dict) else []
    statements = [statements] if isinstance(statements, dict) else statements
    return [
        (each.get("Principal", {}), found)
        for each in (statements if isinstance(statements, list) else [])
        if isinstance(each, dict)
        for found in _applicable(evaluator().parse_policy_document({"Statement": [each]}), effect, situation)
    ]


def _is_named(principal: Any, arn: str) -> bool:
    if isinstance(principal, dict):
        principal = {"AWS": principal.get("AWS", [])}
    return bool(evaluator()._principal_matches(principal, arn))
