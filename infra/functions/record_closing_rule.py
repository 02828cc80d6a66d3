"""The rule that closes the records of executions that end abnormally."""

from collections.abc import Sequence
from typing import cast

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.dead_letters import DeadLetters
from infra.permissions import allow_sending


class RecordClosingRule(Construct):
    """A rule that calls SummarizeExecution's function when an execution ends abnormally.

    Abnormal ends are those of executions that were stopped, timed out or failed.
    Such an execution may never reach its SummarizeExecution state. Step Functions reports its end
    to EventBridge, and the same function then closes the records. The call changes nothing when the
    execution closed its records itself.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        state_machines: Sequence[sfn.IStateMachine],
        function: lambda_.IFunction,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, id)
        self.dead_letters = DeadLetters(
            self,
            "DeadLetters",
            key=key,
            alarm_description=(
                "The records of an execution that ended abnormally may still be open: its event is in the dead-letter "
                "queue"
            ),
        )
        function.configure_async_invoke(max_event_age=Duration.hours(6), retry_attempts=2)
        _keep_failed_events(function, self.dead_letters.queue.queue_arn)
        self.rule = events.Rule(
            self,
            "Rule",
            description="Executions that ended without closing their records",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                account=[Aws.ACCOUNT_ID],
                detail_type=["Step Functions Execution Status Change"],
                # Children of a Map do not match: their state machine ARN ends with the Map's label.
                detail={
                    "stateMachineArn": [machine.state_machine_arn for machine in state_machines],
                    "status": ["ABORTED", "FAILED", "TIMED_OUT"],
                },
            ),
            targets=[
                targets.LambdaFunction(
                    function,
                    dead_letter_queue=self.dead_letters.queue,
                    max_event_age=Duration.hours(24),
                    retry_attempts=185,
                )
            ],
        )


def _keep_failed_events(function: lambda_.IFunction, queue_arn: str) -> None:
    """Send the events at which a function fails to a queue.

    EventBridge counts an event as delivered once Lambda has queued it. Without a destination,
    Lambda would try a failing event three times and drop it without a trace. The destination is set
    on the CloudFormation resource, because the construct's own option grants more than sending.
    """
    calls = cast("lambda_.CfnEventInvokeConfig", function.node.find_child("EventInvokeConfig").node.default_child)
    calls.destination_config = lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
        on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=queue_arn)
    )
    function.add_to_role_policy(allow_sending(queue_arn))
