"""The IAM actions of Lambda requests that ministack authorizes in another way than Lambda."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415

from typing import Any


def install_lambda_actions() -> None:
    """Authorize GetLayerVersionByArn and GetAccountSettings as Lambda does.

    ministack authorizes the first as a listing of all layers, and does not authorize the second.
    """
    from ministack.core import iam_actions

    ministack_action, ministack_arn = iam_actions.extract_iam_action, iam_actions.extract_resource_arn

    def layer_arn(service: str, query: Any) -> str:
        found = query.get("Arn", "") if service == "lambda" and "find" in query else ""
        return str(found[0] if isinstance(found, list) else found)

    def extract_iam_action(service: str, method: str, path: str, *rest: Any) -> Any:
        if service == "lambda" and path.rstrip("/").endswith("/account-settings"):
            return "lambda:GetAccountSettings"
        if layer_arn(service, rest[-1]):
            return "lambda:GetLayerVersion"
        return ministack_action(service, method, path, *rest)

    def extract_resource_arn(service: str, *arguments: Any) -> Any:
        query = arguments[4]
        return layer_arn(service, query) or ministack_arn(service, *arguments)

    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.extract_resource_arn = extract_resource_arn
