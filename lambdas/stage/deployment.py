"""What a function works with: the deployment's settings, table and buckets, made once a process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import boto3
from botocore.config import Config

from contract.table.records import record_time
from lambdas.stage.job_table import JobTable
from lambdas.stage.object_store import ObjectStore
from lambdas.stage.parallel import THREADS
from lambdas.stage.settings import PlanDefaults, StageSettings, read_plan_defaults, read_settings
from lambdas.stage.upload_table import UploadTable


@dataclass(frozen=True)
class Deployment:
    """The functions' view of their stage. `clock` gives the time in UTC."""

    settings: StageSettings
    table: JobTable
    uploads: UploadTable
    store: ObjectStore
    clock: Callable[[], datetime]

    def now(self) -> str:
        """The time as records write it: ISO 8601 in UTC with milliseconds, which sorts as text."""
        return record_time(self.clock())


@cache
def this_deployment() -> Deployment:
    """The deployment that the environment names; its connections are kept for the life of the process."""
    settings = read_settings(os.environ)
    # All records of an execution lie in one partition, which takes 1,000 writes a second: a large plan is throttled,
    # and only the adaptive mode then slows down instead of using up its retries.
    patient = Config(max_pool_connections=THREADS, retries={"mode": "adaptive", "max_attempts": 10})
    # The resource's own client takes and gives plain Python values, and is safe to use from threads.
    dynamodb = boto3.resource("dynamodb", config=patient).meta.client
    store = ObjectStore(
        boto3.client(
            "s3", config=Config(max_pool_connections=THREADS, retries={"mode": "standard", "max_attempts": 8})
        ),
        datasets_bucket=settings.datasets_bucket,
        models_bucket=settings.models_bucket,
        results_bucket=settings.results_bucket,
    )
    table = JobTable(dynamodb, settings.table_name, record_days=settings.record_days)
    uploads = UploadTable(dynamodb, settings.table_name, record_days=settings.record_days)
    return Deployment(settings, table, uploads, store, clock=lambda: datetime.now(UTC))


@cache
def this_deployments_defaults() -> PlanDefaults:
    """What PlanExecution falls back to, as the environment says."""
    return read_plan_defaults(os.environ)
