"""Uploads start executions: S3 -> EventBridge -> queue -> StartOnUpload -> Step Functions."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from contract import environment
from contract.triggers.uploads import UploadRule, rules_to_text
from infra.functions.function_permissions import statements_of
from infra.functions.stage_functions import FunctionSize, StageFunctions
from infra.stacks.storage import Storage

_TIMEOUT = Duration.minutes(5)


class UploadTrigger(Construct):
    """The rule, the queue with its dead-letter queue and alarm, and the function that reads the queue.

    All of it is there in every stage; the rule is enabled when the setting `uploads` names a dataset, so that taking
    the last one out ends the trigger.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        stage: str,
        record_days: int,
        state_machine_arn: str,
        functions: StageFunctions,
        rules: Sequence[UploadRule],
    ) -> None:
        super().__init__(scope, id)
        storage = Storage.of(stage)
        self.dead_letters = self._queue("DeadLetters", retention_period=Duration.days(14))
        self.queue = self._queue(
            "Queue",
            # Six times the function's timeout, as AWS advises: a batch may wait for its turn while it is invisible.
            visibility_timeout=Duration.minutes(6 * 5),
            retention_period=Duration.days(14),
            # Refused messages wait up to an hour each time, so these are more than half a day.
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=20),
        )
        self.rule = self._rule(storage, enabled=bool(rules))
        self.starter = functions.make(
            self,
            "start_on_upload",
            # A whole vCPU: thousands of claims are written at once.
            FunctionSize(1_769, _TIMEOUT),
            statements=[*statements_of("start_on_upload", storage), *self._statements(state_machine_arn)],
            variables={
                environment.TABLE_NAME: storage.table_name,
                environment.DATASETS_BUCKET: storage.datasets_bucket,
                environment.MODELS_BUCKET: storage.models_bucket,
                environment.RESULTS_BUCKET: storage.results_bucket,
                environment.RECORD_DAYS: str(record_days),
                environment.UPLOADS: rules_to_text(tuple(rules)),
                environment.UPLOADS_QUEUE_URL: self.queue.queue_url,
                environment.STATE_MACHINE_ARN: state_machine_arn,
            },
        )
        mapping = lambda_.EventSourceMapping(
            self,
            "Messages",
            target=self.starter.function,
            event_source_arn=self.queue.queue_arn,
            # As many as Lambda gives: 6 MB of events, some thousands. Windows are kept in the table, so how the
            # messages are cut into batches changes nothing but the number of calls.
            batch_size=10_000,
            max_batching_window=Duration.seconds(5),
            report_batch_item_failures=True,
            max_concurrency=5,
        )
        # The mapping is refused while the role may not read the queue.
        mapping.node.add_dependency(self.starter.role)
        self.alarm = self.dead_letters.metric_approximate_number_of_messages_visible(
            period=Duration.minutes(1), statistic=cloudwatch.Stats.MAXIMUM
        ).create_alarm(
            self,
            "DeadLettersAlarm",
            alarm_description="Messages about uploads that nothing was started for: see docs/operate/failures.md",
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _queue(
        self,
        id: str,  # noqa: A002
        *,
        retention_period: Duration,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=retention_period,
            visibility_timeout=visibility_timeout,
            dead_letter_queue=dead_letter_queue,
        )

    def _rule(self, storage: Storage, *, enabled: bool) -> events.Rule:
        return events.Rule(
            self,
            "Rule",
            description="Objects put into the datasets bucket",
            enabled=enabled,
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [storage.datasets_bucket]}},
            ),
            targets=[
                targets.SqsQueue(
                    self.queue,
                    dead_letter_queue=self.dead_letters,
                    max_event_age=Duration.hours(24),
                    retry_attempts=185,
                )
            ],
        )

    def _statements(self, state_machine_arn: str) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                actions=[
                    "sqs:ReceiveMessage",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ChangeMessageVisibility",
                    "sqs:SendMessage",
                ],
                resources=[self.queue.queue_arn],
            ),
            iam.PolicyStatement(actions=["states:StartExecution"], resources=[state_machine_arn]),
        ]
