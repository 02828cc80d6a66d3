"""A queue for events that could not be delivered or processed, with the alarm that reports them."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class DeadLetters(Construct):
    """An encrypted dead-letter queue and an alarm that fires while it holds any message."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        alarm_description: str,
        alarm_id: str = "DeadLettersAlarm",
    ) -> None:
        super().__init__(scope, id)
        # A child called Default adds nothing to the logical id, so deployed stages keep their
        # queue.
        self.queue = sqs.Queue(
            self,
            "Default",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            # The maximum of SQS, so that people have time to react.
            retention_period=Duration.days(14),
        )
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
