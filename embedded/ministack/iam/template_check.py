"""Refusal of templates whose policies use a condition key that the embedded AWS does not evaluate.

Such a condition would silently deny every request or, with some operators, none.
"""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from collections.abc import Callable, Iterator
from typing import Any

_KINDS = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role")
_EVALUATED = (
    "aws:currenttime", "aws:epochtime", "aws:multifactorauthpresent", "aws:principal", "aws:requestedregion",
    "aws:requesttag/", "aws:resourceaccount", "aws:resourcetag/", "aws:securetransport", "aws:sourceaccount",
    "aws:sourceip", "aws:tagkeys", "aws:tokenissuetime", "aws:userid", "aws:username", "dynamodb:attributes",
    "dynamodb:enclosingoperation", "dynamodb:leadingkeys", "dynamodb:select", "events:detail-type", "events:source",
    "iam:passedtoservice", "kms:grantisforawsresource", "kms:viaservice", "s3:delimiter", "s3:existingobjecttag/",
    "s3:max-keys", "s3:prefix", "s3:resourceaccount", "s3:x-amz-acl", "s3:x-amz-grant-",
    "s3:x-amz-server-side-encryption", "sagemaker:instancetypes", "sagemaker:intercontainertrafficencryption",
    "sagemaker:maxruntimeinseconds", "sagemaker:networkisolation", "sagemaker:outputkmskey", "sagemaker:volumekmskey",
    "sagemaker:vpcsecuritygroupids", "sagemaker:vpcsubnets", "sts:externalid",
)  # fmt: skip
"""Prefixes of the keys that ministack or a module of this package evaluates."""
_NOT_EVALUATED = ("aws:sourcearn", "cloudwatch:namespace", "kms:encryptioncontext:")
"""Prefixes of keys that are accepted but not evaluated.

A service that assumes a role names no source here, jobs have no network, and services other than S3
and SageMaker use no KMS key.
"""


def install_condition_check() -> None:
    """Fail CloudFormation resources whose policy has an unknown condition key, and name the key."""
    from ministack.services.cloudformation import provisioners

    for kind in _KINDS:
        handlers = provisioners._RESOURCE_HANDLERS[kind]
        checked = {name: _checked(kind, handlers[name]) for name in ("create", "update") if name in handlers}
        provisioners._RESOURCE_HANDLERS[kind] = {**handlers, **checked}


def _checked(kind: str, provision: Callable[..., Any]) -> Callable[..., Any]:
    def check_and_provision(*arguments: Any, **named: Any) -> Any:
        # The last dictionary holds the new properties; an update gets the old ones before it.
        properties = [value for value in arguments if isinstance(value, dict)][-1]
        if unknown := sorted({key for key in _condition_keys(properties) if not _is_known(key)}):
            raise ValueError(
                f"{kind}: condition key {', '.join(unknown)} is not evaluated by the embedded AWS: remove it, or run "
                "on AWS"
            )
        return provision(*arguments, **named)

    return check_and_provision


def _is_known(key: str) -> bool:
    return key.lower().startswith((*_EVALUATED, *_NOT_EVALUATED))


def _condition_keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        conditions = value.get("Condition")
        for operands in conditions.values() if isinstance(conditions, dict) else ():
            yield from operands if isinstance(operands, dict) else ()
        for inner in value.values():
            yield from _condition_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _condition_keys(inner)
