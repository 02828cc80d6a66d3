"""Policy statements, built in one way for every role of the app."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam

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


def allow_table(storage: Storage, actions: Sequence[str], *, query_index: bool = False) -> iam.PolicyStatement:
    """Allow table actions, given without `dynamodb:`, and on request queries of the index."""
    resources = [storage.table_arn]
    actions = [f"dynamodb:{action}" for action in actions]
    if query_index:
        resources.append(storage.index_arn)
        actions.append("dynamodb:Query")
    return allow(actions, *resources)


def allow_key(storage: Storage) -> iam.PolicyStatement:
    """Allow the use of the stage's key, which DynamoDB and S3 request on the caller's behalf."""
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
    )


def allow_sending(queue_arn: str) -> iam.PolicyStatement:
    """Allow sending messages to a queue."""
    return allow(["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"], queue_arn)
