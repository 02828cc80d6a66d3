"""Sends an event to the stage's event bus for every status change in the table."""

from typing import cast

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from contract import environment
from contract.table import records
from contract.table.events import DEADLINE_DETAIL_TYPE, EXECUTION_DETAIL_TYPE, JOB_DETAIL_TYPE, SOURCE
from infra.dead_letters import DeadLetters
from infra.functions.function_factory import FunctionFactory, FunctionSpec
from infra.permissions import allow, allow_data_keys, allow_sending
from infra.stack_outputs import (
    EVENT_BUS_ARN,
    EVENT_BUS_NAME,
    TABLE_STREAM_ARN,
    Storage,
    bus_name,
    export_name,
    imported,
)

_TRIES = 20
"""Retries of a batch of stream records before it goes to the dead-letter queue."""
_BATCHING_SECONDS = 1
"""Time in which changes are collected for one call. A job has about five changes, and thousands of jobs may run."""
_STREAM_PATTERN = {
    # Without REMOVE: a record that expires is not a status change.
    "eventName": ["INSERT", "MODIFY"],
    "dynamodb": {
        "Keys": {records.SORT_KEY: {"S": [{"prefix": records.JOB_SORT_PREFIX}, {"prefix": records.EXECUTION_SORT_KEY}]}}
    },
}
_EVENT_KEYS = {
    "events:source": SOURCE,
    "events:detail-type": [EXECUTION_DETAIL_TYPE, JOB_DETAIL_TYPE, DEADLINE_DETAIL_TYPE],
}
"""The source and types of the stage's events."""


class StatusEvents(Construct):
    """The event bus, and the function that sends an event for each status change in the table.

    Events are derived from the table's stream, whichever function made the change. Each change is
    announced at least once, and the changes of one record in order. A workflow function never fails
    because an event could not be sent.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        stage: str,
        storage: Storage,
        functions: FunctionFactory,
    ) -> None:
        super().__init__(scope, id)
        stream_arn = imported(stage, TABLE_STREAM_ARN)
        self.bus = events.EventBus(self, "Bus", event_bus_name=bus_name(stage))
        self.dead_letters = DeadLetters(
            self,
            "DeadLetters",
            key=functions.key,
            alarm_description="Status changes could not be announced: their stream positions are in the dead-letter "
            "queue",
        )
        self.announcer = functions.create(
            self,
            FunctionSpec(
                name="announce_status",
                memory_mb=256,
                timeout=Duration.minutes(2),
                permissions=[
                    allow(["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"], stream_arn),
                    allow(["dynamodb:ListStreams"], "*"),
                    allow_data_keys(storage.key_arn, "dynamodb", "sqs"),
                    allow(
                        ["events:PutEvents"],
                        self.bus.event_bus_arn,
                        # The form of AWS's managed policies: events:source may have several
                        # values. "For all values" is also true without any.
                        conditions={
                            "ForAllValues:StringEquals": _EVENT_KEYS,
                            "Null": dict.fromkeys(_EVENT_KEYS, "false"),
                        },
                    ),
                    allow_sending(self.dead_letters.queue.queue_arn),
                ],
                variables={environment.EVENT_BUS_NAME: self.bus.event_bus_name},
            ),
        )
        self._protect_bus(stage, functions.key)
        source = lambda_.CfnEventSourceMapping(
            self,
            "Stream",
            function_name=self.announcer.function.function_name,
            event_source_arn=stream_arn,
            # Includes changes made between the deployment of the table and of this mapping.
            starting_position="TRIM_HORIZON",
            batch_size=100,
            maximum_batching_window_in_seconds=_BATCHING_SECONDS,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=_TRIES,
            filter_criteria=lambda_.CfnEventSourceMapping.FilterCriteriaProperty(
                filters=[
                    lambda_.CfnEventSourceMapping.FilterProperty(pattern=Stack.of(self).to_json_string(_STREAM_PATTERN))
                ]
            ),
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                    destination=self.dead_letters.queue.queue_arn
                )
            ),
        )
        # Lambda refuses the mapping while the role may not read the stream.
        source.node.add_dependency(self.announcer.role)
        for name, value in ((EVENT_BUS_NAME, self.bus.event_bus_name), (EVENT_BUS_ARN, self.bus.event_bus_arn)):
            CfnOutput(
                Stack.of(self),
                name,
                value=value,
                description="Event bus of the stage's status changes",
                export_name=export_name(stage, name),
            )

    def _protect_bus(self, stage: str, key: kms.IKey) -> None:
        """Encrypt the bus, and refuse events of everyone but the announcer.

        An identity's own policy is enough to put events on a bus of its account, unless the bus
        denies them.
        """
        bus = cast("events.CfnEventBus", self.bus.node.default_child)
        bus.kms_key_identifier = key.key_arn
        # The bus is named, because a policy cannot refer to the resource that it is a part of.
        bus_arn = Stack.of(self).format_arn(service="events", resource="event-bus", resource_name=bus_name(stage))
        bus.policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "OnlyAnnounceStatusPutsEvents",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "events:PutEvents",
                    "Resource": bus_arn,
                    "Condition": {"ArnNotEquals": {"aws:PrincipalArn": self.announcer.role.role_arn}},
                }
            ],
        }
