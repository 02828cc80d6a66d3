"""Where events lie that could not be delivered or worked on."""

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct


def dead_letter_queue(scope: Construct) -> sqs.Queue:
    """An encrypted queue that keeps them as long as SQS can, so that a holiday loses nothing."""
    return sqs.Queue(
        scope,
        "DeadLetters",
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
    )
