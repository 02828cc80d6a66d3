"""The workflows' functions, CheckRequest and Reconcile: sizes, variables and permissions.

Compare the permissions of a function with its code in `lambdas/<name>`.
"""

import json
from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_iam as iam

from contract import codec, environment, layout, spot_layout, training_layout
from contract.catalog.image_variants import ImageVariant
from contract.pool import pool_records
from contract.table import records
from contract.table.estimate_items import ESTIMATE_PARTITIONS
from contract.table.latest_predictions import LATEST_PARTITIONS
from contract.table.price_items import PRICES_PARTITION
from infra.functions.function_factory import ONE_VCPU_MB, FunctionSpec
from infra.permissions import (
    allow,
    allow_catalog_reading,
    allow_items,
    allow_key,
    allow_listing,
    allow_listing_below,
    via,
)
from infra.settings import AppSettings
from infra.stack_outputs import Storage, any_state_machine_arn, child_executions_arns, executions_arns, jobs_arns

_LONGEST = Duration.minutes(15)
"""The longest timeout that Lambda allows."""
_EXECUTION_RESULTS = (layout.EXECUTIONS_PREFIX, *layout.OUTPUT_PREFIXES)


def workflow_functions(
    settings: AppSettings, storage: Storage, image_uris: Mapping[ImageVariant, str]
) -> list[FunctionSpec]:
    """Return the functions of both state machines, scoring first, CheckRequest and Reconcile."""
    variables = {
        environment.TABLE_NAME: storage.table_name,
        environment.DATASETS_BUCKET: storage.datasets_bucket,
        environment.MODELS_BUCKET: storage.models_bucket,
        environment.RESULTS_BUCKET: storage.results_bucket,
        environment.KEY_ARN: storage.key_arn,
        environment.RECORD_DAYS: str(settings.record_days),
    }
    defaults = {
        environment.DEFAULT_COMPUTE: json.dumps(codec.to_json(settings.compute)),
        environment.INSTANCE_TYPES: json.dumps(settings.instance_types),
        environment.PLANNED_INSTANCE_TYPES: json.dumps(settings.planned_instance_types),
        environment.DEFAULT_MODELS_PER_JOB: str(settings.default_models_per_job),
        environment.DEFAULT_MAX_CONCURRENCY: str(settings.default_max_concurrency),
        environment.DEFAULT_TOLERATED_FAILURE_PERCENTAGE: f"{settings.default_tolerated_failure_percentage:g}",
        environment.DEFAULT_TOLERATED_FAILED_OBJECTS_PERCENTAGE: (
            f"{settings.default_tolerated_failed_objects_percentage:g}"
        ),
        environment.DEFAULT_TOLERATED_QUARANTINED_ROWS_PERCENTAGE: (
            f"{settings.default_tolerated_quarantined_rows_percentage:g}"
        ),
        environment.IMAGE_URIS: json.dumps(dict(image_uris)),
    }
    admission = {
        environment.INSTANCE_QUOTAS: json.dumps(dict(settings.instance_quotas)),
        environment.CAPACITY_WAIT_SECONDS: str(settings.capacity_wait_seconds),
        environment.JOB_STARTS_PER_SECOND: f"{settings.job_starts_per_second:g}",
    }
    quotas = {environment.INSTANCE_QUOTAS: admission[environment.INSTANCE_QUOTAS]}
    planner = {**quotas, environment.JOB_STARTS_PER_SECOND: admission[environment.JOB_STARTS_PER_SECOND]}
    expiry = {environment.PREDICTIONS_EXPIRY_DAYS: str(settings.predictions_expiry_days or "")}
    comparison = {environment.COMPARED_CHECKSUMS: settings.compared_checksums}
    return [
        _plan_execution(settings, storage, {**variables, **defaults, **planner}),
        _record_attempt(storage, {**variables, **comparison, **admission}),
        _verify_output(storage, {**variables, **comparison}),
        _classify_failure(settings, storage, {**variables, **admission}),
        _summarize_execution(storage, {**variables, **expiry}),
        _prepare_training(storage, variables),
        _plan_training(storage, {**variables, **defaults, **quotas}),
        _register_model_version(storage, variables),
        _check_request(settings, storage, {**variables, **defaults, **planner}),
        _reconcile(settings, storage, {**variables, **expiry}),
    ]


def _plan_execution(settings: AppSettings, storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    return FunctionSpec(
        name="plan_execution",
        # Lists whole datasets and writes one spec per job, in parallel.
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            *_allow_reading_for_plans(storage),
            allow(["s3:GetObject", "s3:PutObject"], _executions(storage)),
            allow_items(storage, ["GetItem", "Query", "PutItem"], records.EXECUTION_PARTITIONS),
            *_allow_resuming(settings, storage),
            *_allow_reading_quotas(storage),
            allow_key(storage, "dynamodb", "s3"),
        ],
    )


def _record_attempt(storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    return FunctionSpec(
        name="record_attempt",
        # Reads a ledger with one commit per object and model.
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            allow_listing_below(storage.results_bucket, *_EXECUTION_RESULTS),
            allow(["s3:GetObject", "s3:PutObject"], _executions(storage)),
            _allow_reading_checksums(storage),
            # Copies the outputs that a resumed execution keeps, large ones in parts.
            allow(["s3:PutObject", "s3:AbortMultipartUpload"], *outputs_arns(storage)),
            *_allow_reading_checkpoints(storage),
            # The tally of an execution shows whether a tolerated level is passed, and the index its failed jobs.
            allow_items(
                storage, ["GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem"], records.EXECUTION_PARTITIONS
            ),
            allow(["dynamodb:Query"], storage.index_arn),
            # A lease is written only if its job has not changed, and the next start slot is a counter.
            allow_items(storage, ["ConditionCheckItem"], records.EXECUTION_PARTITIONS),
            _allow_releasing(storage, "UpdateItem"),
            allow_key(storage, "dynamodb", "s3"),
        ],
    )


def _verify_output(storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    return FunctionSpec(
        name="verify_output",
        # Reads a ledger with one commit per object and model.
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            allow_listing(storage.datasets_bucket),
            allow_listing_below(storage.results_bucket, *_EXECUTION_RESULTS),
            allow(["s3:GetObject"], _executions(storage)),
            *_allow_copying_checkpoints(storage),
            allow_items(storage, ["GetItem", "BatchGetItem", "PutItem", "UpdateItem"], records.EXECUTION_PARTITIONS),
            _allow_releasing(storage),
            allow_key(storage, "dynamodb", "s3"),
        ],
    )


def _classify_failure(settings: AppSettings, storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    processing_jobs, training_jobs = jobs_arns(settings.stage)
    return FunctionSpec(
        name="classify_failure",
        # Reads the ledger of a job that has failed for good, to count what is committed.
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            # Stops a job that the workflow no longer waits for.
            allow(["sagemaker:DescribeProcessingJob", "sagemaker:StopProcessingJob"], processing_jobs),
            allow(["sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"], training_jobs),
            allow_listing_below(storage.results_bucket, *_EXECUTION_RESULTS),
            allow(["s3:GetObject"], _executions(storage)),
            *_allow_copying_checkpoints(storage),
            allow_items(storage, ["GetItem", "Query", "PutItem", "UpdateItem"], records.EXECUTION_PARTITIONS),
            _allow_releasing(storage, "GetItem"),
            allow_key(storage, "dynamodb", "s3"),
        ],
    )


def _summarize_execution(storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    return FunctionSpec(
        name="summarize_execution",
        # Reads every job record of an execution.
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[*_allow_closing(storage), allow_key(storage, "dynamodb", "s3", "states")],
    )


def _reconcile(settings: AppSettings, storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    processing_jobs, training_jobs = jobs_arns(settings.stage)
    return FunctionSpec(
        name="reconcile",
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            *_allow_closing(storage),
            *_allow_copying_checkpoints(storage),
            allow_items(storage, ["BatchGetItem"], records.EXECUTION_PARTITIONS),
            allow_items(storage, ["GetItem", "PutItem"], records.RECONCILIATION_PARTITION),
            allow(["dynamodb:Query"], storage.index_arn),
            # Events about encrypted executions have no input, error or cause, and events may be lost.
            allow(["states:DescribeExecution"], *executions_arns(settings.stage)),
            # AWS defines no resources for listing jobs.
            allow(["sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs"], "*"),
            # Describes the jobs of leases, which end with them, and children that may still create one.
            allow(["states:DescribeExecution"], *child_executions_arns(settings.stage)),
            allow(
                ["sagemaker:DescribeProcessingJob", "sagemaker:ListTags", "sagemaker:StopProcessingJob"],
                processing_jobs,
            ),
            allow(["sagemaker:DescribeTrainingJob", "sagemaker:ListTags", "sagemaker:StopTrainingJob"], training_jobs),
            _allow_releasing(storage, "GetItem", "Query"),
            _allow_service_quotas(),
            allow_key(storage, "dynamodb", "s3", "sqs", "states"),
        ],
    )


def _prepare_training(storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    return FunctionSpec(
        name="prepare_training",
        memory_mb=512,
        timeout=Duration.minutes(5),
        variables=variables,
        permissions=[
            allow_items(storage, ["GetItem", "Query", "PutItem"], records.EXECUTION_PARTITIONS),
            *allow_catalog_reading(storage),
            allow_key(storage, "dynamodb"),
        ],
    )


def _plan_training(storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    return FunctionSpec(
        name="plan_training",
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            allow_listing(storage.datasets_bucket),
            allow(
                ["s3:GetObject"],
                # Reads a dataset's columns from the footer of its first object.
                storage.objects_arn(storage.datasets_bucket, "*"),
                storage.objects_arn(storage.models_bucket, training_layout.code_key("*", "*")),
                _executions(storage),
            ),
            # Without this permission, S3 reports a missing code archive as access denied.
            allow_listing_below(storage.models_bucket, training_layout.CODE_PREFIX),
            allow(["s3:PutObject"], _executions(storage)),
            allow_items(storage, ["GetItem", "Query", "PutItem"], records.EXECUTION_PARTITIONS),
            *allow_catalog_reading(storage),
            *_allow_reading_quotas(storage),
            allow_key(storage, "dynamodb", "s3"),
        ],
    )


def _register_model_version(storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    return FunctionSpec(
        name="register_model_version",
        # Reads a whole artifact of any size once, and lets S3 copy it.
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            allow_listing(storage.datasets_bucket),
            allow_listing_below(storage.results_bucket, layout.EXECUTIONS_PREFIX),
            allow(["s3:GetObject"], _executions(storage)),
            allow(
                ["s3:PutObject", "s3:AbortMultipartUpload"],
                storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"),
            ),
            allow_items(storage, ["GetItem", "BatchGetItem", "PutItem"], records.EXECUTION_PARTITIONS),
            allow_items(storage, ["GetItem", "BatchGetItem", "PutItem"], records.MODEL_PARTITIONS),
            _allow_releasing(storage),
            allow_key(storage, "dynamodb", "s3"),
        ],
    )


def _check_request(settings: AppSettings, storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    """Return the function that checks a request as its plan would.

    It has both plans' read permissions.
    """
    return FunctionSpec(
        name="check_request",
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            *_allow_reading_for_plans(storage),
            allow(
                ["s3:GetObject"],
                storage.objects_arn(storage.models_bucket, training_layout.code_key("*", "*")),
                _executions(storage),
            ),
            allow_items(storage, ["GetItem", "Query"], records.EXECUTION_PARTITIONS),
            *_allow_resuming(settings, storage),
            # The quotas that the plan or the reconciler has read, or else those of the account, which it keeps nowhere.
            allow_items(storage, ["GetItem"], pool_records.POOL_PARTITION),
            _allow_service_quotas(),
            allow(["kms:Decrypt"], storage.key_arn, conditions=via("dynamodb", "s3")),
        ],
    )


def latest_arn(storage: Storage) -> str:
    """Return the ARN of all manifests of latest predictions."""
    return storage.objects_arn(storage.results_bucket, f"{layout.LATEST_PREFIX}*")


def outputs_arns(storage: Storage) -> list[str]:
    """Return the ARNs of all outputs of scoring jobs."""
    return [storage.objects_arn(storage.results_bucket, f"{prefix}*") for prefix in layout.OUTPUT_PREFIXES]


def _allow_reading_checksums(storage: Storage) -> iam.PolicyStatement:
    """Allow HeadObject on outputs, for which IAM has no other action than that of reading them."""
    return allow(["s3:GetObject"], *outputs_arns(storage))


def _allow_reading_checkpoints(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow to read what attempts on spot capacity have written."""
    checkpoints = f"{spot_layout.spot_checkpoints_prefix('*', '*', '*')}*"
    return [
        allow_listing_below(storage.results_bucket, spot_layout.SPOT_PREFIX),
        allow(["s3:GetObject"], storage.objects_arn(storage.results_bucket, checkpoints)),
    ]


def _allow_copying_checkpoints(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow to copy what they have committed to the outputs of their jobs, large files in parts."""
    return [
        *_allow_reading_checkpoints(storage),
        _allow_reading_checksums(storage),
        allow(
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            *outputs_arns(storage),
            storage.objects_arn(storage.results_bucket, f"{layout.ledger_prefix('*', '*')}*"),
        ),
    ]


def _allow_reading_for_plans(storage: Storage) -> list[iam.PolicyStatement]:
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


def _allow_closing(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow what closes an execution: its records, accounting and summary, and a waiting task."""
    return [
        # Counts commits of unfinished jobs, and looks for outputs of unknown jobs.
        allow_listing_below(storage.results_bucket, *_EXECUTION_RESULTS),
        allow(["s3:GetObject", "s3:PutObject"], _executions(storage)),
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


def _allow_resuming(settings: AppSettings, storage: Storage) -> list[iam.PolicyStatement]:
    """Allow what a plan reads of earlier executions: which there are, their ledgers, and whether they still run."""
    processing_jobs, training_jobs = jobs_arns(settings.stage)
    scoring_executions, _ = executions_arns(settings.stage)
    return [
        allow_listing_below(storage.results_bucket, *_EXECUTION_RESULTS),
        allow_items(storage, ["Query"], LATEST_PARTITIONS),
        allow(["sagemaker:DescribeProcessingJob"], processing_jobs),
        # Those that score on spot capacity.
        allow(["sagemaker:DescribeTrainingJob"], training_jobs),
        allow(["states:DescribeExecution"], scoring_executions),
    ]


def _allow_reading_quotas(storage: Storage) -> list[iam.PolicyStatement]:
    """Allow what compares a plan with the account's quotas, which the table keeps for a day."""
    return [allow_items(storage, ["GetItem", "PutItem"], pool_records.POOL_PARTITION), _allow_service_quotas()]


def _allow_service_quotas() -> iam.PolicyStatement:
    """Allow reading quotas. AWS defines no resources for it."""
    return allow(["servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"], "*")


def _allow_releasing(storage: Storage, *more: str) -> iam.PolicyStatement:
    """Allow releasing the instances of an attempt, and `more` actions on the pool's items."""
    return allow_items(storage, ["BatchGetItem", "DeleteItem", "PutItem", *more], pool_records.POOL_PARTITION)


def _executions(storage: Storage) -> str:
    return storage.objects_arn(storage.results_bucket, f"{layout.EXECUTIONS_PREFIX}*")
