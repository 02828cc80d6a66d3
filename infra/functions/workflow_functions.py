"""The workflows' functions, CheckRequest and Reconcile: sizes, variables and permissions.

Compare the permissions of a function with its code in `lambdas/<name>`.
"""

import json
from collections.abc import Mapping

from aws_cdk import Duration

from contract import codec, environment, layout, training_layout
from contract.catalog.image_variants import ImageVariant
from contract.pool import pool_records
from contract.table import records
from infra.functions.function_factory import ONE_VCPU_MB, FunctionSpec
from infra.functions.workflow_permissions import (
    EXECUTION_RESULTS,
    allow_closing,
    allow_copying_checkpoints,
    allow_reading_checkpoints,
    allow_reading_checksums,
    allow_reading_for_plans,
    allow_reading_quotas,
    allow_releasing,
    allow_releasing_with_records,
    allow_resuming,
    allow_service_quotas,
    executions_objects_arn,
    outputs_arns,
)
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
from infra.stack_outputs import Storage, child_executions_arns, executions_arns, jobs_arns

_LONGEST = Duration.minutes(15)
"""The longest timeout that Lambda allows."""


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
            *allow_reading_for_plans(storage),
            allow(["s3:GetObject", "s3:PutObject"], executions_objects_arn(storage)),
            allow_items(storage, ["GetItem", "Query", "PutItem"], records.EXECUTION_PARTITIONS),
            *allow_resuming(settings, storage),
            *allow_reading_quotas(storage),
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
            allow_listing_below(storage.results_bucket, *EXECUTION_RESULTS),
            allow(["s3:GetObject", "s3:PutObject"], executions_objects_arn(storage)),
            allow_reading_checksums(storage),
            # Copies the outputs that a resumed execution keeps, large ones in parts.
            allow(["s3:PutObject", "s3:AbortMultipartUpload"], *outputs_arns(storage)),
            *allow_reading_checkpoints(storage),
            # The tally of an execution shows whether a tolerated level is passed, and the index its failed jobs.
            allow_items(storage, ["GetItem", "Query", "PutItem", "UpdateItem"], records.EXECUTION_PARTITIONS),
            allow(["dynamodb:Query"], storage.index_arn),
            # A lease is written only if its job has not changed, and the next start slot is a counter.
            allow_items(storage, ["ConditionCheckItem"], records.EXECUTION_PARTITIONS),
            *allow_releasing_with_records(storage, "UpdateItem"),
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
            allow_listing_below(storage.results_bucket, *EXECUTION_RESULTS),
            allow(["s3:GetObject"], executions_objects_arn(storage)),
            *allow_copying_checkpoints(storage),
            allow_items(storage, ["GetItem", "PutItem", "UpdateItem"], records.EXECUTION_PARTITIONS),
            *allow_releasing_with_records(storage),
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
            allow_listing_below(storage.results_bucket, *EXECUTION_RESULTS),
            allow(["s3:GetObject"], executions_objects_arn(storage)),
            *allow_copying_checkpoints(storage),
            allow_items(storage, ["GetItem", "Query", "PutItem", "UpdateItem"], records.EXECUTION_PARTITIONS),
            allow_releasing(storage, "GetItem"),
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
        permissions=[*allow_closing(storage), allow_key(storage, "dynamodb", "s3", "states")],
    )


def _reconcile(settings: AppSettings, storage: Storage, variables: Mapping[str, str]) -> FunctionSpec:
    processing_jobs, training_jobs = jobs_arns(settings.stage)
    return FunctionSpec(
        name="reconcile",
        memory_mb=ONE_VCPU_MB,
        timeout=_LONGEST,
        variables=variables,
        permissions=[
            *allow_closing(storage),
            *allow_copying_checkpoints(storage),
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
            allow_releasing(storage, "GetItem", "Query"),
            allow_service_quotas(),
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
                executions_objects_arn(storage),
            ),
            # Without this permission, S3 reports a missing code archive as access denied.
            allow_listing_below(storage.models_bucket, training_layout.CODE_PREFIX),
            allow(["s3:PutObject"], executions_objects_arn(storage)),
            allow_items(storage, ["GetItem", "Query", "PutItem"], records.EXECUTION_PARTITIONS),
            *allow_catalog_reading(storage),
            *allow_reading_quotas(storage),
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
            allow(["s3:GetObject"], executions_objects_arn(storage)),
            allow(
                ["s3:PutObject", "s3:AbortMultipartUpload"],
                storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"),
            ),
            allow_items(storage, ["GetItem", "BatchGetItem", "PutItem"], records.EXECUTION_PARTITIONS),
            allow_items(storage, ["GetItem", "BatchGetItem", "PutItem"], records.MODEL_PARTITIONS),
            allow_releasing(storage),
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
            *allow_reading_for_plans(storage),
            allow(
                ["s3:GetObject"],
                storage.objects_arn(storage.models_bucket, training_layout.code_key("*", "*")),
                executions_objects_arn(storage),
            ),
            allow_items(storage, ["GetItem", "Query"], records.EXECUTION_PARTITIONS),
            *allow_resuming(settings, storage),
            # The quotas that the plan or the reconciler has read, or else those of the account, which it keeps nowhere.
            allow_items(storage, ["GetItem"], pool_records.POOL_PARTITION),
            allow_service_quotas(),
            allow(["kms:Decrypt"], storage.key_arn, conditions=via("dynamodb", "s3")),
        ],
    )
