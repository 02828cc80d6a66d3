"""An event for every change of status: the table's stream, a function, and the stage's event bus."""

from aws_cdk import CfnOutput, Duration, Fn, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from contract import environment
from contract.table import records
from infra.dead_letters import dead_letter_queue
from infra.functions.function_permissions import announce_statements
from infra.functions.stage_functions import FunctionSize, StageFunctions
from infra.stacks.storage import TABLE_STREAM_ARN, Storage, export_name

EVENT_BUS_NAME = "EventBusName"
EVENT_BUS_ARN = "EventBusArn"
FUNCTION = "announce_status"
_TRIES = 20


class Announcements(Construct):
    """Events follow from what was written, not from who wrote it: whatever the functions record is announced, at
    least once and in the order of each record, and no function can fail for an event that cannot be sent.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        stage: str,
        storage: Storage,
        functions: StageFunctions,
    ) -> None:
        super().__init__(scope, id)
        stream_arn = Fn.import_value(export_name(stage, TABLE_STREAM_ARN))
        self.bus = events.EventBus(self, "Bus", event_bus_name=f"fleetscore-{stage}")
        self.dead_letters = dead_letter_queue(self)
        self.announcer = functions.make(
            self,
            FUNCTION,
            FunctionSize(256, Duration.minutes(2)),
            statements=announce_statements(stream_arn, self.bus.event_bus_arn, storage),
            variables={environment.EVENT_BUS_NAME: self.bus.event_bus_name},
        )
        self.dead_letters.grant_send_messages(self.announcer.role)
        source = lambda_.CfnEventSourceMapping(
            self,
            "Stream",
            function_name=self.announcer.function.function_name,
            event_source_arn=stream_arn,
            # Nothing that is written between the deployment of the table and this one is lost.
            starting_position="TRIM_HORIZON",
            batch_size=100,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=_TRIES,
            filter_criteria=lambda_.CfnEventSourceMapping.FilterCriteriaProperty(
                filters=[lambda_.CfnEventSourceMapping.FilterProperty(pattern=Stack.of(self).to_json_string(_PATTERN))]
            ),
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=self.dead_letters.queue_arn)
            ),
        )
        source.node.add_dependency(self.announcer.role)
        for name, value in ((EVENT_BUS_NAME, self.bus.event_bus_name), (EVENT_BUS_ARN, self.bus.event_bus_arn)):
            CfnOutput(
                Stack.of(self),
                name,
                value=value,
                description="Where changes of status are announced",
                export_name=export_name(stage, name),
            )


_PATTERN = {
    # Records that expire are not news.
    "eventName": ["INSERT", "MODIFY"],
    "dynamodb": {
        "Keys": {records.SORT_KEY: {"S": [{"prefix": records.JOB_SORT_PREFIX}, {"prefix": records.EXECUTION_SORT_KEY}]}}
    },
}
