"""Schedules: EventBridge Scheduler calls a function that starts the one execution of each scheduled time."""

from collections.abc import Sequence

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from contract import environment
from contract.triggers.schedules import Schedule, target_input
from infra.dead_letters import dead_letter_queue
from infra.functions.function_permissions import start_statements
from infra.functions.stage_functions import FunctionSize, StageFunctions
from infra.stacks.storage import export_name

FUNCTION = "start_on_schedule"
SCHEDULE_GROUP = "ScheduleGroup"
SCHEDULE_TARGET_ARN = "ScheduleTargetArn"
SCHEDULE_ROLE_ARN = "ScheduleRoleArn"
SCHEDULE_DEAD_LETTERS_ARN = "ScheduleDeadLettersArn"

_DELIVERY = Duration.hours(24)
_TRIES = 185


class Schedules(Construct):
    """The stage's schedule group, what its schedules call, and the schedules of the settings.

    Those that `fleetscore schedules add` makes lie in the same group and call the same function with the same role.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        stage: str,
        state_machine_arn: str,
        functions: StageFunctions,
        schedules: Sequence[Schedule],
    ) -> None:
        super().__init__(scope, id)
        self.group = scheduler.CfnScheduleGroup(self, "Group", name=f"fleetscore-{stage}")
        self.dead_letters = dead_letter_queue(self)
        self.starter = functions.make(
            self,
            FUNCTION,
            FunctionSize(256, Duration.minutes(1)),
            statements=start_statements(state_machine_arn),
            variables={environment.STATE_MACHINE_ARN: state_machine_arn},
        )
        # EventBridge Scheduler hands the event over to Lambda's own queue and is done: what the function cannot start
        # is tried again, and kept, by Lambda.
        lambda_.CfnEventInvokeConfig(
            self,
            "Delivery",
            function_name=self.starter.function.function_name,
            qualifier="$LATEST",
            maximum_event_age_in_seconds=Duration.hours(6).to_seconds(),
            maximum_retry_attempts=2,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.dead_letters.queue_arn)
            ),
        )
        self.dead_letters.grant_send_messages(self.starter.role)
        self.role = self._role()
        self.alarm = cloudwatch.Alarm(
            self,
            "NotStarted",
            alarm_description="A schedule's time has started no execution: its event lies in the dead-letter queue",
            metric=self.dead_letters.metric_approximate_number_of_messages_visible(period=Duration.minutes(1)),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        for schedule in schedules:
            self._schedule(schedule)
        for name, value, description in (
            (SCHEDULE_GROUP, self.group.ref, "Where the stage's schedules lie"),
            (SCHEDULE_TARGET_ARN, self.starter.function.function_arn, "What schedules call"),
            (SCHEDULE_ROLE_ARN, self.role.role_arn, "As whom schedules call it"),
            (SCHEDULE_DEAD_LETTERS_ARN, self.dead_letters.queue_arn, "Where events lie that started nothing"),
        ):
            CfnOutput(Stack.of(self), name, value=value, description=description, export_name=export_name(stage, name))

    def _role(self) -> iam.Role:
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
        role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.starter.function.function_arn])
        )
        role.add_to_policy(iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.dead_letters.queue_arn]))
        return role

    def _schedule(self, schedule: Schedule) -> None:
        window = schedule.flexible_window_minutes
        made = scheduler.CfnSchedule(
            self,
            f"Schedule-{schedule.name}",
            name=schedule.name,
            group_name=self.group.ref,
            description="From the settings in cdk.json",
            schedule_expression=schedule.expression,
            schedule_expression_timezone=schedule.time_zone,
            state="ENABLED" if schedule.enabled else "DISABLED",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                mode="FLEXIBLE" if window else "OFF", maximum_window_in_minutes=window
            ),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.starter.function.function_arn,
                role_arn=self.role.role_arn,
                input=target_input(schedule),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=_DELIVERY.to_seconds(), maximum_retry_attempts=_TRIES
                ),
            ),
        )
        # A schedule that fires before its role may call anything would end in the dead-letter queue.
        made.node.add_dependency(self.role)
