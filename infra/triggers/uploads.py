"""Uploads: S3 -> EventBridge -> queue -> function -> Step Functions."""

from collections.abc import Sequence

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from contract import environment, layout
from contract.table import upload_records
from contract.triggers.uploads import MARKER_NAME, UploadRule, modes_to_text, rules_to_text
from infra.dead_letters import DeadLetters, encrypt_queue
from infra.functions.function_factory import ONE_VCPU_MB, FunctionFactory, FunctionSpec
from infra.permissions import allow, allow_items, allow_key, allow_listing, allow_listing_below
from infra.stack_outputs import UPLOAD_RULES, Storage

_TIMEOUT_MINUTES = 5


class UploadTrigger(Construct):
    """The rule, the queue with its dead letters, and the function that reads the queue.

    Every stage has these resources. The rule is enabled only while the setting `uploads` names a
    dataset, so removing the last dataset turns the trigger off.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        stage: str,
        record_days: int,
        state_machine_arn: str,
        functions: FunctionFactory,
        rules: Sequence[UploadRule],
    ) -> None:
        super().__init__(scope, id)
        storage = Storage.of(stage)
        self.dead_letters = DeadLetters(
            self,
            "DeadLetters",
            key=functions.key,
            alarm_description="Messages about uploads that started nothing: see docs/operate/dead-letters.md",
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            enforce_ssl=True,
            # Six times the function's timeout, as AWS recommends: messages are already invisible
            # while their batch waits for a free function.
            visibility_timeout=Duration.minutes(6 * _TIMEOUT_MINUTES),
            retention_period=Duration.days(14),
            # A refused message waits up to an hour each time, so 20 tries span more than half a
            # day.
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters.queue, max_receive_count=20),
        )
        encrypt_queue(self.queue, functions.key)
        self.rule = self._rule(storage, enabled=bool(rules))
        self.starter = functions.create(self, self._function(storage, state_machine_arn, record_days, rules))
        mapping = lambda_.EventSourceMapping(
            self,
            "Messages",
            target=self.starter.function,
            event_source_arn=self.queue.queue_arn,
            # Lambda's payload of 6 MB limits a batch to several thousand messages. The table holds
            # the windows, so the size of batches only changes the number of calls.
            batch_size=10_000,
            max_batching_window=Duration.seconds(5),
            report_batch_item_failures=True,
            max_concurrency=5,
        )
        # Lambda refuses the mapping while the role may not read the queue.
        mapping.node.add_dependency(self.starter.role)
        description = "Datasets whose uploads start executions, for `fleetscore upload`"
        CfnOutput(Stack.of(self), UPLOAD_RULES, value=modes_to_text(rules), description=description)

    def _rule(self, storage: Storage, *, enabled: bool) -> events.Rule:
        return events.Rule(
            self,
            "Rule",
            description="New objects in the datasets bucket",
            enabled=enabled,
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                account=[Aws.ACCOUNT_ID],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [storage.datasets_bucket]}},
            ),
            targets=[
                targets.SqsQueue(
                    self.queue,
                    dead_letter_queue=self.dead_letters.queue,
                    max_event_age=Duration.hours(24),
                    retry_attempts=185,
                )
            ],
        )

    def _function(
        self, storage: Storage, state_machine_arn: str, record_days: int, rules: Sequence[UploadRule]
    ) -> FunctionSpec:
        upload_manifests = storage.objects_arn(storage.results_bucket, f"{layout.UPLOADS_PREFIX}*")
        return FunctionSpec(
            name="start_on_upload",
            # A whole vCPU, because it may write thousands of claims at a time.
            memory_mb=ONE_VCPU_MB,
            timeout=Duration.minutes(_TIMEOUT_MINUTES),
            permissions=[
                allow_listing(storage.datasets_bucket),
                allow_listing_below(storage.results_bucket, layout.UPLOADS_PREFIX),
                # The bucket keeps versions, and the version of the event is read.
                allow(["s3:GetObjectVersion"], storage.objects_arn(storage.datasets_bucket, f"*/{MARKER_NAME}")),
                allow(["s3:GetObject", "s3:PutObject"], upload_manifests),
                allow_items(
                    storage,
                    ["GetItem", "BatchGetItem", "Query", "PutItem", "ConditionCheckItem"],
                    upload_records.UPLOAD_PARTITIONS,
                    upload_records.UPLOADS_PARTITIONS,
                ),
                allow_key(storage, "dynamodb", "s3", "sqs", "states"),
                allow(
                    [
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
                        "sqs:ChangeMessageVisibility",
                        "sqs:SendMessage",
                    ],
                    self.queue.queue_arn,
                ),
                allow(["states:StartExecution"], state_machine_arn),
            ],
            variables={
                environment.TABLE_NAME: storage.table_name,
                environment.DATASETS_BUCKET: storage.datasets_bucket,
                environment.MODELS_BUCKET: storage.models_bucket,
                environment.RESULTS_BUCKET: storage.results_bucket,
                environment.KEY_ARN: storage.key_arn,
                environment.RECORD_DAYS: str(record_days),
                environment.UPLOADS: rules_to_text(tuple(rules)),
                environment.UPLOADS_QUEUE_URL: self.queue.queue_url,
                environment.STATE_MACHINE_ARN: state_machine_arn,
            },
        )
