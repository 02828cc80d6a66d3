"""The rules that reconcile records and SageMaker jobs with what really runs."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.dead_letters import DeadLetters
from infra.permissions import allow_sending

INTERVAL = Duration.minutes(15)
"""Time between two reconciliations by the schedule, for events that were lost."""


class Reconciliation(Construct):
    """Rules that call Reconcile's function: when an execution ends abnormally, when a SageMaker job of
    the stage starts, fails or is stopped, and on a schedule.

    Abnormal ends are those of executions that were stopped, timed out or failed. Such an execution may
    never reach its SummarizeExecution state. A call changes nothing when the records are closed and no
    job is left.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        stage: str,
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
                "Records of executions that have ended may still be open, or their jobs may still run: an event is in "
                "the dead-letter queue"
            ),
        )
        function.configure_async_invoke(max_event_age=Duration.hours(6), retry_attempts=2)
        _keep_failed_events(function, self.dead_letters.queue.queue_arn)
        self._target = targets.LambdaFunction(
            function,
            dead_letter_queue=self.dead_letters.queue,
            max_event_age=Duration.hours(24),
            retry_attempts=185,
        )
        self._rule(
            "Rule",
            "Executions that ended without closing their records",
            "aws.states",
            "Step Functions Execution Status Change",
            {
                # Children of a Map do not match: their state machine ARN ends with the Map's label.
                "stateMachineArn": [machine.state_machine_arn for machine in state_machines],
                "status": ["ABORTED", "FAILED", "TIMED_OUT"],
            },
        )
        for word in ("Processing", "Training"):
            self._rule(
                f"{word}Jobs",
                f"{word} jobs of the stage that start, fail or are stopped",
                "aws.sagemaker",
                f"SageMaker {word} Job State Change",
                {
                    f"{word}JobName": events.Match.prefix(f"{stage}-"),
                    # The workflow waits for a job that completes, and releases its instances.
                    f"{word}JobStatus": ["InProgress", "Failed", "Stopped"],
                },
            )
        events.Rule(
            self,
            "Schedule",
            description="Reconciles what no event has reported",
            schedule=events.Schedule.rate(INTERVAL),
            targets=[self._target],
        )

    def _rule(
        self,
        id: str,  # noqa: A002
        description: str,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any],
    ) -> None:
        events.Rule(
            self,
            id,
            description=description,
            event_pattern=events.EventPattern(
                source=[source], account=[Aws.ACCOUNT_ID], detail_type=[detail_type], detail=detail
            ),
            targets=[self._target],
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
