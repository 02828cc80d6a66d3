"""IAM roles: their temporary credentials and the permissions of their policies."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import functools
import json
import secrets
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from embedded.ministack.iam.call_recording import is_recording
from embedded.ministack.plain_requests.callers import role_permissions
from embedded.ministack.plain_requests.modules import application
from embedded.ministack.plain_requests.permissions import Call, CallContext, Principal, Situation, is_allowed

SESSION_SECONDS = 12 * 3600
"""Lifetime of a role's temporary credentials, in seconds."""
_CACHED_POLICIES = 1_000
_KNOWN_ACTIONS = 1_000
_TAG_KEYS = "aws:tagkeys"


@dataclass(frozen=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


def role_credentials(role_arn: str, session_name: str) -> Credentials:
    """Return temporary credentials for `role_arn`, as a service gets them when it assumes a role.

    Each call makes a new session. The caller checks the role's trust policy with `may_assume`.
    """
    from ministack.services import sts

    account_id, role_name = _account_and_name(role_arn)
    credentials = Credentials(
        access_key_id=f"ASIA{secrets.token_hex(8).upper()}",
        secret_access_key=secrets.token_hex(20),
        session_token=secrets.token_hex(40),
    )
    session_name = session_name[:64]
    sts.register_session(
        credentials.access_key_id,
        {
            "Arn": f"arn:aws:sts::{account_id}:assumed-role/{role_name}/{session_name}",
            "UserId": f"{role_name}:{session_name}",
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": time.time() + SESSION_SECONDS,
        },
    )
    return credentials


class _PolicyPart(dict[str, Any]):
    """An object of a policy's JSON. A statement keeps what ministack makes of it."""

    parsed: list[Any] | None = None


def install_policy_cache() -> None:
    """Parse each text of a policy once, and compare each of its statements once with an action and a condition key.

    ministack parses all policies of a caller twice per request, and compares all patterns of all statements.
    """
    from ministack.core import iam_evaluator

    parse = iam_evaluator.parse_policy_document
    parse_once = functools.lru_cache(_CACHED_POLICIES)(parse)

    @functools.lru_cache(_CACHED_POLICIES)
    def read_once(text: str) -> Any:
        return json.loads(text, object_hook=_PolicyPart)

    def parse_policy_document(document: str | dict[str, Any]) -> list[Any]:
        if isinstance(document, str):
            return list(parse_once(document))
        statements = document.get("Statement") if isinstance(document, dict) else None
        if not isinstance(statements, list) or not all(isinstance(each, _PolicyPart) for each in statements):
            return list(parse(document))
        # Some statements of a resource's policy, which `read_once` has returned.
        for statement in statements:
            if statement.parsed is None:
                statement.parsed = parse({"Statement": [statement]})
        return [parsed for statement in statements for parsed in statement.parsed]

    def names_action(statement: Any, action: str) -> bool:
        known: dict[str, bool] = statement.__dict__.setdefault("known_actions", {})
        found = known.get(action)
        if found is None:
            if len(known) >= _KNOWN_ACTIONS:
                known.clear()
            found = known[action] = iam_evaluator._action_matches(action, statement.actions, statement.not_actions)
        return found

    def first_match(context: Any, statements: list[Any], effect: str) -> Any:
        for statement in statements:
            if (
                statement.effect == effect
                and names_action(statement, context.action)
                and iam_evaluator._resource_matches(context.resource_arn, statement.resources, statement.not_resources)
                and iam_evaluator._conditions_met(statement.conditions, context)
            ):
                return statement
        return None

    def names_condition_key(policies: list[list[Any]], prefix: str) -> bool:
        return any(prefix_is_named(statement, prefix) for statements in policies for statement in statements)

    def prefix_is_named(statement: Any, prefix: str) -> bool:
        known: dict[str, bool] = statement.__dict__.setdefault("known_prefixes", {})
        if prefix not in known:
            known[prefix] = ministack_names_condition_key([[statement]], prefix)
        return known[prefix]

    ministack_names_condition_key = iam_evaluator._names_condition_key
    iam_evaluator.json = SimpleNamespace(loads=read_once, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError)
    iam_evaluator.parse_policy_document = parse_policy_document
    iam_evaluator._first_match = first_match
    iam_evaluator._names_condition_key = names_condition_key


def authorize(role_arn: str, action: str, resource: str, context: dict[str, Any] | None = None) -> bool:
    """Return whether the role's policies allow `action` on `resource`; True if IAM is not enforced.

    `context` holds condition keys, e.g. `{"iam:PassedToService": "sagemaker.amazonaws.com"}`.
    """
    if not application().AUTH:
        return True
    account_id, role_name = _account_and_name(role_arn)
    principal = Principal(
        f"arn:aws:sts::{account_id}:assumed-role/{role_name}/StepFunctions",
        "AssumedRole",
        account_id,
        {},
        role_permissions(account_id, role_name),
    )
    # AWS services call each other over TLS.
    situation = Situation(action, _region_of(resource), "127.0.0.1", secure_transport=True)
    # An empty list of tags differs from a missing key in conditions.
    call = CallContext(principal, situation, Call(action, resource, lambda: {_TAG_KEYS: [], **(context or {})}))
    if not is_recording() and is_allowed(action.partition(":")[0], call):
        return True
    return _ministack_allows(call)


def _ministack_allows(call: CallContext) -> bool:
    """Return ministack's decision, which a recording of calls notes."""
    from ministack.core import iam_evaluator

    request = iam_evaluator.EvalContext(
        principal_arn=call.principal_arn,
        principal_type=call.principal_type,
        principal_account=call.principal_account,
        action=call.action,
        resource_arn=call.resource_arn,
        region=call.region,
        source_ip=call.source_ip,
        secure_transport=call.secure_transport,
        service_context={key: value for key, value in call.service_context.items() if value != []},
    )
    permissions = call.permissions
    result = iam_evaluator.evaluate(request, permissions.policies, *permissions.limits)
    service = call.action.partition(":")[0]
    found = iam_evaluator._resource_policy(service, call.resource_arn)
    if found is not None:
        required = service in iam_evaluator._POLICY_REQUIRED
        limits = permissions.limits
        result = iam_evaluator.combine_resource_policy(result, request, *found, required=required, limits=limits)
    return bool(result.decision == "Allow")


def may_assume(role_arn: str, service: str) -> bool:
    """Return whether the role exists and trusts `service`, e.g. `sagemaker.amazonaws.com`.

    Conditions are evaluated for a request from the role's own account, without `aws:SourceArn`. The
    result is True if IAM is not enforced.
    """
    import ministack.app
    from ministack.core import iam_evaluator

    if not ministack.app.AUTH:
        return True
    account_id, role_name = _account_and_name(role_arn)
    role = _roles().get_scoped(account_id, None, role_name)
    if role is None:
        return False
    document = role.get("AssumeRolePolicyDocument") or {}
    document = json.loads(document) if isinstance(document, str) else document
    statements = document.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    request = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account_id,
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region="",
        service_context={"aws:sourceaccount": account_id},
    )
    return any(
        statement.get("Effect") == "Allow"
        and iam_evaluator._service_principal_matches(statement.get("Principal"), service)
        and iam_evaluator._conditions_met(_without_source_arn(statement.get("Condition") or {}), request)
        for statement in statements
    )


def _without_source_arn(conditions: dict[str, Any]) -> dict[str, Any]:
    return {
        operator: {key: value for key, value in operands.items() if key.lower() != "aws:sourcearn"}
        for operator, operands in conditions.items()
    }


def _roles() -> Any:
    from ministack.services import iam

    return iam._roles


def _account_and_name(role_arn: str) -> tuple[str, str]:
    parts = role_arn.split(":", 5)
    if len(parts) != 6 or not parts[5].startswith("role/"):
        raise ValueError(f"role_arn: {role_arn!r} is not the ARN of an IAM role (arn:aws:iam::<account>:role/<name>)")
    return parts[4], parts[5].rpartition("/")[2]


def _region_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[3] if len(parts) > 3 else ""


def current_region() -> str:
    """Return the Region of the current request."""
    from ministack.core.responses import get_region

    return str(get_region())


def install_administrator(access_key_id: str, secret_access_key: str) -> None:
    """Create the only administrator key, and disable ministack's root keys.

    ministack accepts `test`, the configured key and every account id as root without checking the
    signature. Any client would get access, and a job with the wrong keys would have all
    permissions.
    """
    from ministack.core import iam_evaluator
    from ministack.services import iam, sts

    name = "administrator"
    iam._create_user({"UserName": [name]})
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam._user_inline_policies[name] = {"AllowAll": json.dumps(policy)}
    iam._access_keys[access_key_id] = {
        "UserName": name,
        "AccessKeyId": access_key_id,
        "SecretAccessKey": secret_access_key,
        "Status": "Active",
        "CreateDate": iam._now(),
    }

    def is_root(key: str) -> bool:
        # A request without a key is anonymous; ministack handles it elsewhere.
        return not key

    iam_evaluator.is_root_access_key = is_root
    sts.is_root_access_key = is_root
