"""Registration of our own services, in addition to the AWS APIs that ministack serves."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Response = tuple[int, dict[str, str], bytes]
ServiceHandler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]
ResourceArn = Callable[[str, bytes, str, str], str]


def add_service(
    name: str, target_prefix: str, handler: ServiceHandler, resource_arn: ResourceArn | None = None
) -> None:
    """Route requests with `X-Amz-Target: <target_prefix>*` to `handler`.

    The IAM action of a request is `<name>:<operation>`. Policies are matched against the ARN that
    `resource_arn(operation, body, region, account_id)` returns, or against `*` without it.
    """
    import ministack.app
    from ministack.core import iam_actions, router

    router.SERVICE_PATTERNS[name] = {"target_prefixes": [target_prefix]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[name] = name
    ministack.app.SERVICE_REGISTRY[name] = {"module": f"embedded_{name}"}
    ministack.app.SERVICE_HANDLERS[name] = handler
    if resource_arn is not None:
        name_resources(name, resource_arn)


def name_resources(service: str, resource_arn: ResourceArn) -> None:
    """Use `resource_arn` to name the resource of `service`'s requests.

    An empty ARN leaves the decision to ministack.
    """
    from ministack.core import iam_actions

    ministack_resource_arn = iam_actions.extract_resource_arn

    def extract_resource_arn(requested: str, method: str, path: str, headers: dict[str, str], *rest: Any) -> str:
        body, _query, region, account_id = rest
        if requested == service:
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            if named := resource_arn(operation, body, region, account_id):
                return named
        return str(ministack_resource_arn(requested, method, path, headers, *rest))

    iam_actions.extract_resource_arn = extract_resource_arn


def ecr_resource_arn(_operation: str, body: bytes, region: str, account_id: str) -> str:
    """Return the ARN of the repository in an ECR request's list.

    ministack authorizes such a list against `*`, which no role of the project allows.
    """
    try:
        names = json.loads(body or b"{}").get("repositoryNames") or []
    except ValueError:
        return ""
    return f"arn:aws:ecr:{region}:{account_id}:repository/{names[0]}" if names else ""


def iam_resource_arn(_operation: str, body: bytes, _region: str, _account_id: str) -> str:
    """Return the ARN whose policies a request simulates.

    ministack authorizes the request against `*`.
    """
    return parse_qs(body.decode("utf-8", "replace")).get("PolicySourceArn", [""])[0]


def events_resource_arn(operation: str, body: bytes, region: str, account_id: str) -> str:
    """Return the ARN of a rule of the default bus, without the bus name that ministack adds."""
    if not operation.endswith(("Rule", "Targets", "TargetsByRule")):
        return ""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return ""
    name = request.get("Rule") or request.get("Name")
    if not name or request.get("EventBusName", "default") != "default":
        return ""
    return f"arn:aws:events:{region}:{account_id}:rule/{name}"
