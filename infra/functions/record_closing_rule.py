"""Closes the records of executions that end without their last states."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.dead_letters import dead_letter_queue


class ClosingRule(Construct):
    """An execution that somebody stops, that times out or that fails between its states never reaches
    SummarizeExecution. Step Functions tells EventBridge of its end, and the same function closes its records then.
    For an execution that closed its records itself this changes nothing.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        state_machines: Sequence[sfn.IStateMachine],
        function: lambda_.IFunction,
    ) -> None:
        super().__init__(scope, id)
        self.dead_letters = dead_letter_queue(self)
        # EventBridge has done its part once Lambda has queued the event: what the function then fails at would be tried
        # three times and dropped without a trace.
        function.configure_async_invoke(
            max_event_age=Duration.hours(6),
            retry_attempts=2,
            on_failure=destinations.SqsDestination(self.dead_letters),
        )
        self.rule = events.Rule(
            self,
            "Rule",
            description="Executions that ended without closing their records",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                # Children of a Map have another state machine ARN, with the Map's label behind it.
                detail={
                    "stateMachineArn": [machine.state_machine_arn for machine in state_machines],
                    "status": ["ABORTED", "FAILED", "TIMED_OUT"],
                },
            ),
            targets=[
                targets.LambdaFunction(
                    function,
                    dead_letter_queue=self.dead_letters,
                    max_event_age=Duration.hours(24),
                    retry_attempts=185,
                )
            ],
        )
