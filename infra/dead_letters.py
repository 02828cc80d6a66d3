"""A queue for events that could not be delivered or processed, with the alarm that reports them."""

from typing import cast

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

_DATA_KEY_REUSE_SECONDS = 3_600
"""Seconds for which SQS reuses a data key. KMS bills each new one."""


def encrypt_queue(queue: sqs.Queue, key: kms.IKey) -> None:
    """Encrypt a queue with the stage's key.

    The key is set on the CloudFormation resource: with the construct's own option, each grant of
    the queue would add wildcard actions on the key. Roles of senders and receivers need a
    permission of their own, such as `permissions.allow_data_keys`. EventBridge gets one from the
    key's policy.
    """
    resource = cast("sqs.CfnQueue", queue.node.default_child)
    resource.kms_master_key_id = key.key_arn
    resource.kms_data_key_reuse_period_seconds = _DATA_KEY_REUSE_SECONDS


class DeadLetters(Construct):
    """An encrypted dead-letter queue, and an alarm that fires while it holds any message."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        key: kms.IKey,
        alarm_description: str,
        alarm_id: str = "DeadLettersAlarm",
    ) -> None:
        super().__init__(scope, id)
        # A child called Default adds nothing to the logical id, so deployed stages keep their
        # queue.
        self.queue = sqs.Queue(
            self,
            "Default",
            enforce_ssl=True,
            # The maximum of SQS, to leave time to react.
            retention_period=Duration.days(14),
        )
        encrypt_queue(self.queue, key)
        # A child of `scope`, as in earlier releases, so that deployed alarms keep their
        # subscriptions.
        self.alarm = cloudwatch.Alarm(
            scope,
            alarm_id,
            alarm_description=alarm_description,
            metric=self.queue.metric_approximate_number_of_messages_visible(
                period=Duration.minutes(1), statistic=cloudwatch.Stats.MAXIMUM
            ),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
