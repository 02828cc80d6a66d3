"""Policy statements, built in one way for every role of the app."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from contract.table import records
from infra.stack_outputs import Storage


def allow(actions: Sequence[str], *resources: str, conditions: Mapping[str, Any] | None = None) -> iam.PolicyStatement:
    """Allow actions on resources, given as ARNs or `*`."""
    return iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)


def allow_listing(*buckets: str) -> iam.PolicyStatement:
    """Allow listing whole buckets. Without it, S3 reports a missing object as access denied."""
    return allow(["s3:ListBucket"], *[Storage.bucket_arn(bucket) for bucket in buckets])


def allow_listing_below(bucket: str, *prefixes: str) -> iam.PolicyStatement:
    """Allow listing the keys below some prefixes of a bucket."""
    return allow(
        ["s3:ListBucket"],
        Storage.bucket_arn(bucket),
        conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
    )


def allow_items(storage: Storage, actions: Sequence[str], *partitions: str) -> iam.PolicyStatement:
    """Allow table actions, without `dynamodb:`, on items by the prefix of their partition key.

    Every request of these actions names its keys. Scan and PartiQL would not, and must never be
    given here.
    """
    return allow(
        [f"dynamodb:{action}" for action in actions],
        storage.table_arn,
        conditions={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{partition}*" for partition in partitions]}},
    )


def allow_catalog_reading(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow reading models, versions and recipes, one by one, by the list of ids, and through the index."""
    return [
        allow_items(storage, ["BatchGetItem", "Query"], records.MODEL_PARTITIONS),
        allow(["dynamodb:Query"], storage.index_arn),
    ]


def allow_key(storage: Storage, *services: str) -> iam.PolicyStatement:
    """Allow the use of the stage's key, only through services that request it for the caller."""
    return allow(
        [
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ],
        storage.key_arn,
        conditions=via(*services),
    )


def allow_data_keys(key_arn: str, *services: str) -> iam.PolicyStatement:
    """Allow getting and decrypting data keys of the stage's key, only through these services."""
    return allow(["kms:Decrypt", "kms:GenerateDataKey"], key_arn, conditions=via(*services))


def via(*services: str) -> dict[str, Any]:
    """Return the condition that a service of this Region, such as `s3`, uses the key."""
    return {"StringEquals": {"kms:ViaService": [f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}" for service in services]}}


def allow_sending(queue_arn: str) -> iam.PolicyStatement:
    """Allow sending messages to a queue."""
    return allow(["sqs:SendMessage"], queue_arn)
