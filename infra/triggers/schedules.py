"""Schedules: EventBridge Scheduler calls a function that starts an execution."""

from collections.abc import Sequence
from datetime import UTC

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from contract import environment
from contract.triggers.schedules import Schedule, target_input
from infra.dead_letters import DeadLetters
from infra.functions.function_factory import FunctionFactory, FunctionSpec
from infra.permissions import allow, allow_data_keys, allow_sending
from infra.stack_outputs import (
    SCHEDULE_DEAD_LETTERS_ARN,
    SCHEDULE_GROUP,
    SCHEDULE_ROLE_ARN,
    SCHEDULE_TARGET_ARN,
    export_name,
)

_DELIVERY = Duration.hours(24)
"""Time for which EventBridge Scheduler retries a delivery."""
_TRIES = 185
"""Largest number of delivery retries, so that the time limit ends them."""


class Schedules(Construct):
    """The stage's schedule group, the schedules of the settings, and the function they call.

    Schedules that `fleetscore schedules add` creates share the group, the function and its role.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        stage: str,
        state_machine_arn: str,
        functions: FunctionFactory,
        schedules: Sequence[Schedule],
    ) -> None:
        super().__init__(scope, id)
        self.group = scheduler.CfnScheduleGroup(self, "Group", name=f"fleetscore-{stage}")
        self.dead_letters = DeadLetters(
            self,
            "DeadLetters",
            key=functions.key,
            alarm_id="NotStarted",
            alarm_description="A scheduled time started no execution: its event is in the dead-letter queue",
        )
        dead_letters_arn = self.dead_letters.queue.queue_arn
        self.starter = functions.create(
            self,
            FunctionSpec(
                name="start_on_schedule",
                memory_mb=256,
                timeout=Duration.minutes(1),
                permissions=[
                    allow(["states:StartExecution"], state_machine_arn),
                    allow_sending(dead_letters_arn),
                    allow_data_keys(functions.key.key_arn, "sqs", "states"),
                ],
                variables={environment.STATE_MACHINE_ARN: state_machine_arn},
            ),
        )
        # EventBridge Scheduler counts an event as delivered once Lambda has queued it. Lambda then
        # retries the function, and keeps the event when all tries fail.
        lambda_.CfnEventInvokeConfig(
            self,
            "Delivery",
            function_name=self.starter.function.function_name,
            qualifier="$LATEST",
            maximum_event_age_in_seconds=Duration.hours(6).to_seconds(),
            maximum_retry_attempts=2,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=dead_letters_arn)
            ),
        )
        self.role = self._role(functions.key)
        for schedule in schedules:
            self._schedule(schedule, functions.key)
        for name, value, description in (
            (SCHEDULE_GROUP, self.group.ref, "Group of the stage's schedules"),
            (SCHEDULE_TARGET_ARN, self.starter.function.function_arn, "Function that schedules call"),
            (SCHEDULE_ROLE_ARN, self.role.role_arn, "Role with which schedules call it"),
            (SCHEDULE_DEAD_LETTERS_ARN, dead_letters_arn, "Queue of events that started nothing"),
        ):
            CfnOutput(Stack.of(self), name, value=value, description=description, export_name=export_name(stage, name))

    def _role(self, key: kms.IKey) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID, "aws:SourceArn": self.group.attr_arn}
                },
            ),
            description="Calls the function that starts an execution on schedule",
        )
        role.add_to_policy(allow(["lambda:InvokeFunction"], self.starter.function.function_arn))
        role.add_to_policy(allow(["sqs:SendMessage"], self.dead_letters.queue.queue_arn))
        role.add_to_policy(allow_data_keys(key.key_arn, "scheduler", "sqs"))
        return role

    def _schedule(self, schedule: Schedule, key: kms.IKey) -> None:
        window = schedule.flexible_window_minutes
        created = scheduler.CfnSchedule(
            self,
            f"Schedule-{schedule.name}",
            name=schedule.name,
            group_name=self.group.ref,
            description="From the settings in cdk.json",
            kms_key_arn=key.key_arn,
            schedule_expression=schedule.expression,
            schedule_expression_timezone=schedule.time_zone,
            start_date=schedule.starts_at.astimezone(UTC).isoformat() if schedule.starts_at else None,
            state="ENABLED" if schedule.enabled else "DISABLED",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                mode="FLEXIBLE" if window else "OFF", maximum_window_in_minutes=window
            ),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.starter.function.function_arn,
                role_arn=self.role.role_arn,
                input=target_input(schedule),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                    arn=self.dead_letters.queue.queue_arn
                ),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=_DELIVERY.to_seconds(), maximum_retry_attempts=_TRIES
                ),
            ),
        )
        # An event that arrives before the role has its policy would go to the dead-letter queue.
        created.node.add_dependency(self.role)
