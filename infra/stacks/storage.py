"""The storage stack: the key, buckets and table, which outlive executions."""

from typing import cast

from aws_cdk import Aws, CfnOutput, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from contract import layout, spot_layout
from contract.catalog.spot import LONGEST_WAIT_SECONDS
from contract.table import records
from infra.removal import removal_policy
from infra.settings import AppSettings
from infra.stack_outputs import (
    DATASETS_BUCKET,
    KEY_ARN,
    MODELS_BUCKET,
    RESULTS_BUCKET,
    TABLE_NAME,
    TABLE_STREAM_ARN,
    bus_name,
    export_name,
    log_delivery_arn,
)

_SPOT_LIFETIME = Duration.days(LONGEST_WAIT_SECONDS // 86_400 + 7)
"""Time that checkpoints of spot jobs are kept: the longest that a job may take, and a week to copy them."""


class StorageStack(Stack):
    """The key, four buckets and the table.

    The app never empties a bucket. With `removal: destroy`, CloudFormation deletes an empty bucket
    and fails on any other, so data is only ever deleted by hand.
    """

    def __init__(self, scope: Construct, id: str, *, settings: AppSettings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: key, buckets and table",
        )
        self._settings = settings
        self._removal = removal_policy(settings)
        self.key = self._key()
        self.access_logs = self._access_log_bucket()
        self.datasets = self._bucket("Datasets", [])
        # Set on the CloudFormation resource: the construct's own option adds a function that
        # reconfigures the bucket.
        cast(
            "s3.CfnBucket", self.datasets.node.default_child
        ).notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        self.models = self._bucket("Models", [])
        self.results = self._bucket("Results", self._result_rules())
        self.table = self._table()
        self._output(DATASETS_BUCKET, self.datasets.bucket_name, "Datasets, one prefix each")
        self._output(MODELS_BUCKET, self.models.bucket_name, "Model artifacts")
        self._output(RESULTS_BUCKET, self.results.bucket_name, "Predictions, quarantine and execution records")
        self._output(TABLE_NAME, self.table.table_name, "Catalog, and records of executions and jobs")
        self._output(TABLE_STREAM_ARN, str(self.table.table_stream_arn), "Stream of the table's changes")
        self._output(KEY_ARN, self.key.key_arn, "Key that encrypts data at rest")

    def _key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description=f"Fleetscore {self._settings.stage}: data at rest",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        # CloudWatch Logs may use the key for the log groups of this stage's stacks only.
        groups = [f"fleetscore-{self._settings.stage}-*", f"/aws/vendedlogs/states/fleetscore-{self._settings.stage}-*"]
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.{Aws.URL_SUFFIX}")],
                actions=[
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncryptFrom",
                    "kms:ReEncryptTo",
                    "kms:GenerateDataKey",
                    "kms:GenerateDataKeyWithoutPlaintext",
                    "kms:DescribeKey",
                ],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": [
                            f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:{group}"
                            for group in groups
                        ]
                    }
                },
            )
        )
        for statement in self._service_permissions():
            key.add_to_resource_policy(statement)
        return key

    def _service_permissions(self) -> list[iam.PolicyStatement]:
        """Allow services to use the key without a role, for this stage's resources only."""
        stage, here = self._settings.stage, f"{Aws.REGION}:{Aws.ACCOUNT_ID}"
        bus = f"arn:{Aws.PARTITION}:events:{here}:event-bus/{bus_name(stage)}"
        queues = f"arn:{Aws.PARTITION}:sqs:{here}:fleetscore-{stage}-*"
        uses = ["kms:Decrypt", "kms:GenerateDataKey"]
        events = [iam.ServicePrincipal("events.amazonaws.com")]
        return [
            # Rules send to encrypted queues.
            iam.PolicyStatement(
                principals=events,
                actions=uses,
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:sqs:arn": queues}},
            ),
            iam.PolicyStatement(
                principals=events,
                actions=uses,
                resources=["*"],
                conditions={"StringEquals": {"kms:EncryptionContext:aws:events:event-bus:arn": bus}},
            ),
            iam.PolicyStatement(principals=events, actions=["kms:DescribeKey"], resources=["*"]),
            # Delivers the log events of encrypted state machines.
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("delivery.logs.amazonaws.com")],
                actions=["kms:Decrypt"],
                resources=["*"],
                conditions={"StringEquals": {"kms:EncryptionContext:SourceArn": log_delivery_arn()}},
            ),
        ]

    def _access_log_bucket(self) -> s3.Bucket:
        return s3.Bucket(
            self,
            "AccessLogs",
            # S3 does not deliver access logs to a bucket that is encrypted with a customer-managed
            # key.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="expire",
                    expiration=Duration.days(self._settings.access_log_days),
                    noncurrent_version_expiration=Duration.days(1),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
            removal_policy=self._removal,
        )

    def _bucket(self, name: str, rules: list[s3.LifecycleRule]) -> s3.Bucket:
        return s3.Bucket(
            self,
            name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="tidy",
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                    noncurrent_version_expiration=Duration.days(self._settings.noncurrent_version_days),
                    expired_object_delete_marker=True,
                ),
                *rules,
            ],
            removal_policy=self._removal,
        )

    def _result_rules(self) -> list[s3.LifecycleRule]:
        lifetimes = {
            **dict.fromkeys(layout.OUTPUT_PREFIXES, self._settings.predictions_expiry_days),
            # A manifest is newer than the outputs that it names.
            layout.LATEST_PREFIX: self._settings.predictions_expiry_days,
            layout.EXECUTIONS_PREFIX: self._settings.executions_expiry_days,
            layout.UPLOADS_PREFIX: self._settings.executions_expiry_days,
            # Results of a Map duplicate records and summary, so they expire like logs.
            layout.MAP_RUNS_PREFIX: self._settings.log_retention_days,
        }
        rules = [
            s3.LifecycleRule(id=f"expire-{prefix.rstrip('/')}", prefix=prefix, expiration=Duration.days(days))
            for prefix, days in lifetimes.items()
            if days is not None
        ]
        # What jobs have committed is copied from there, so that nobody recovers these files.
        spot = s3.LifecycleRule(
            id="expire-spot",
            prefix=spot_layout.SPOT_PREFIX,
            expiration=_SPOT_LIFETIME,
            noncurrent_version_expiration=Duration.days(1),
        )
        return [*rules, spot]

    def _table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=_text(records.PARTITION_KEY),
            sort_key=_text(records.SORT_KEY),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=records.TIME_TO_LIVE,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            deletion_protection=self._settings.removal == "retain",
            # Kept even when the first deployment fails: CloudFormation cannot delete a protected
            # table, and the rollback would fail.
            removal_policy=RemovalPolicy.DESTROY if self._settings.removal == "destroy" else RemovalPolicy.RETAIN,
        )
        table.add_global_secondary_index(
            index_name=records.INDEX_NAME,
            partition_key=_text(records.INDEX_PARTITION_KEY),
            sort_key=_text(records.INDEX_SORT_KEY),
        )
        return table

    def _output(self, name: str, value: str, description: str) -> None:
        CfnOutput(self, name, value=value, description=description, export_name=export_name(self._settings.stage, name))


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
