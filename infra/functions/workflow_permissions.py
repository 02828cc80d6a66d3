"""Permissions that several of the workflows' functions have."""

from aws_cdk import aws_iam as iam

from contract import layout, spot_layout
from contract.pool import pool_records
from contract.table import records
from contract.table.estimate_items import ESTIMATE_PARTITIONS
from contract.table.latest_predictions import LATEST_PARTITIONS
from contract.table.price_items import PRICES_PARTITION
from infra.permissions import (
    allow,
    allow_catalog_reading,
    allow_items,
    allow_listing,
    allow_listing_below,
)
from infra.settings import AppSettings
from infra.stack_outputs import Storage, any_state_machine_arn, executions_arns, jobs_arns

EXECUTION_RESULTS = (layout.EXECUTIONS_PREFIX, *layout.OUTPUT_PREFIXES)
"""Prefixes of what executions write to the results bucket."""


def latest_arn(storage: Storage) -> str:
    """Return the ARN of all manifests of latest predictions."""
    return storage.objects_arn(storage.results_bucket, f"{layout.LATEST_PREFIX}*")


def outputs_arns(storage: Storage) -> list[str]:
    """Return the ARNs of all outputs of scoring jobs."""
    return [storage.objects_arn(storage.results_bucket, f"{prefix}*") for prefix in layout.OUTPUT_PREFIXES]


def allow_reading_checksums(storage: Storage) -> iam.PolicyStatement:
    """Allow HeadObject on outputs, for which IAM has no other action than that of reading them."""
    return allow(["s3:GetObject"], *outputs_arns(storage))


def allow_reading_checkpoints(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow to read what attempts on spot capacity have written."""
    checkpoints = f"{spot_layout.spot_checkpoints_prefix('*', '*', '*')}*"
    return [
        allow_listing_below(storage.results_bucket, spot_layout.SPOT_PREFIX),
        allow(["s3:GetObject"], storage.objects_arn(storage.results_bucket, checkpoints)),
    ]


def allow_copying_checkpoints(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow to copy what they have committed to the outputs of their jobs, large files in parts."""
    return [
        *allow_reading_checkpoints(storage),
        allow_reading_checksums(storage),
        allow(
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            *outputs_arns(storage),
            storage.objects_arn(storage.results_bucket, f"{layout.ledger_prefix('*', '*')}*"),
        ),
    ]


def allow_reading_for_plans(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow what a scoring plan reads: datasets, models, fleets, upload manifests and prices."""
    return [
        allow_listing(storage.datasets_bucket, storage.models_bucket),
        allow(
            ["s3:GetObject"],
            # Reads a dataset's columns from the beginning or end of its first object.
            storage.objects_arn(storage.datasets_bucket, "*"),
            storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"),
            storage.objects_arn(storage.results_bucket, f"{layout.UPLOADS_PREFIX}*"),
        ),
        # Without this permission, S3 reports a missing upload manifest as access denied.
        allow_listing_below(storage.results_bucket, layout.UPLOADS_PREFIX),
        *allow_catalog_reading(storage),
        allow_items(storage, ["BatchGetItem"], records.FLEET_PARTITIONS),
        allow_items(storage, ["GetItem"], PRICES_PARTITION),
        allow_items(storage, ["BatchGetItem", "Query"], ESTIMATE_PARTITIONS),
    ]


def allow_closing(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow what closes an execution: its records, accounting and summary, and a waiting task."""
    return [
        # Counts commits of unfinished jobs, and looks for outputs of unknown jobs.
        allow_listing_below(storage.results_bucket, *EXECUTION_RESULTS),
        allow(["s3:GetObject", "s3:PutObject"], executions_objects_arn(storage)),
        allow_items(storage, ["GetItem", "Query", "PutItem", "UpdateItem"], records.EXECUTION_PARTITIONS),
        # Moves the pointers to the latest predictions. Without listing, S3 reports a missing manifest as
        # access denied.
        allow_items(storage, ["BatchGetItem", "PutItem"], LATEST_PARTITIONS),
        # Learns how long things take.
        allow_items(storage, ["BatchGetItem", "PutItem"], ESTIMATE_PARTITIONS),
        allow(["s3:GetObject", "s3:PutObject"], latest_arn(storage)),
        allow_listing_below(storage.results_bucket, layout.LATEST_PREFIX),
        # The waiting task may belong to any state machine of the account; only its token identifies it.
        allow(["states:SendTaskSuccess", "states:SendTaskFailure"], any_state_machine_arn()),
    ]


def allow_resuming(settings: AppSettings, storage: Storage) -> list[iam.PolicyStatement]:
    """Allow what a plan reads of earlier executions: which there are, their ledgers, and whether they still run."""
    processing_jobs, training_jobs = jobs_arns(settings.stage)
    scoring_executions, _ = executions_arns(settings.stage)
    return [
        allow_listing_below(storage.results_bucket, *EXECUTION_RESULTS),
        allow_items(storage, ["Query"], LATEST_PARTITIONS),
        allow(["sagemaker:DescribeProcessingJob"], processing_jobs),
        # Those that score on spot capacity.
        allow(["sagemaker:DescribeTrainingJob"], training_jobs),
        allow(["states:DescribeExecution"], scoring_executions),
    ]


def allow_reading_quotas(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow what compares a plan with the account's quotas, which the table keeps for a day."""
    return [allow_items(storage, ["GetItem", "PutItem"], pool_records.POOL_PARTITION), allow_service_quotas()]


def allow_service_quotas() -> iam.PolicyStatement:
    """Allow reading quotas. AWS defines no resources for it."""
    return allow(["servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"], "*")


def allow_releasing(storage: Storage, *more: str) -> iam.PolicyStatement:
    """Allow releasing the instances of an attempt, and `more` actions on the pool's items."""
    return allow_items(storage, ["BatchGetItem", "DeleteItem", "PutItem", *more], pool_records.POOL_PARTITION)


def allow_releasing_with_records(storage: Storage, *more: str) -> list[iam.PolicyStatement]:
    """Allow what `allow_releasing` does, with reads of the pool and of an execution's records in one request."""
    return [
        allow_items(storage, ["BatchGetItem"], records.EXECUTION_PARTITIONS, pool_records.POOL_PARTITION),
        allow_items(storage, ["DeleteItem", "PutItem", *more], pool_records.POOL_PARTITION),
    ]


def executions_objects_arn(storage: Storage) -> str:
    """Return the ARN of all files of executions, besides their outputs."""
    return storage.objects_arn(storage.results_bucket, f"{layout.EXECUTIONS_PREFIX}*")
