"""The settings and AWS clients of a function, created once per process.

This is the only module that reads the environment and creates AWS clients. A handler calls
`resources()` and passes the objects that its step needs to the step:

    result = verify_output(pointer, resources().deployment)

Each object is created at its first use, because a function has only the variables and permissions
that its own step needs.
"""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.retries.bucket import Clock
from botocore.utils import determine_content_length, parse_timestamp

from contract.job.checksum_comparison import ComparedChecksums
from lambdas.stage.activity import Activity
from lambdas.stage.buckets.listings import read_listings_quickly
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.deployment import Deployment
from lambdas.stage.instance_quotas import InstanceQuotas
from lambdas.stage.messaging.event_bus import EventBus
from lambdas.stage.messaging.execution_reader import ExecutionReader
from lambdas.stage.messaging.execution_starter import ExecutionStarter
from lambdas.stage.messaging.task_tokens import TaskTokens
from lambdas.stage.messaging.upload_queue import UploadQueue
from lambdas.stage.parallel import THREADS
from lambdas.stage.sagemaker_jobs import SageMakerJobs
from lambdas.stage.settings import (
    EventBusSettings,
    PlanDefaults,
    StageSettings,
    UploadSettings,
    read_compared_checksums,
    read_event_bus_settings,
    read_plan_defaults,
    read_settings,
    read_state_machine_arn,
    read_upload_settings,
)
from lambdas.stage.tables.estimate_table import EstimateTable
from lambdas.stage.tables.job_table import JobTable
from lambdas.stage.tables.latest_pointers import LatestPointers
from lambdas.stage.tables.open_executions import OpenExecutions
from lambdas.stage.tables.pool_table import PoolTable
from lambdas.stage.tables.upload_table import UploadTable

_ATTEMPTS = 8
"""Attempts per API call, the first one included."""
_UPLOAD_START_ATTEMPTS = 3
"""Attempts of StartExecution after an upload. The queue delivers the message again after a failure,
so the function does not retry for long.
"""
_SMALL_OBJECT_BYTES = 1 << 20
_USER_AGENT = "fleetscore"
"""botocore builds its user agent twice per request, a sixth of the request's CPU time."""


class Resources:
    """The settings and AWS clients of this process."""

    @cached_property
    def deployment(self) -> Deployment:
        settings, dynamodb = self._settings, _dynamodb_client()
        store = ObjectStore(
            _s3_client(),
            datasets_bucket=settings.datasets_bucket,
            models_bucket=settings.models_bucket,
            results_bucket=settings.results_bucket,
        )
        table = JobTable(dynamodb, settings.table_name, record_days=settings.record_days)
        uploads = UploadTable(dynamodb, settings.table_name, record_days=settings.record_days)
        latest = LatestPointers(dynamodb, settings.table_name, store)
        estimates = EstimateTable(dynamodb, settings.table_name, clock=_now)
        pools = PoolTable(dynamodb, settings.table_name)
        quotas = self._quotas(pools)
        return Deployment(
            settings, table, uploads, store, latest, clock=_now, estimates=estimates, pools=pools, quotas=quotas
        )

    def reading_deployment(self) -> Deployment:
        """Return the deployment for one call of CheckRequest, which writes nothing.

        It remembers the quotas that it reads only itself: they may be raised before the next call.
        """
        return replace(self.deployment, quotas=self._quotas(self.deployment.pools, writes=False))

    @cached_property
    def plan_defaults(self) -> PlanDefaults:
        return read_plan_defaults(os.environ)

    @cached_property
    def compared_checksums(self) -> ComparedChecksums:
        return read_compared_checksums(os.environ)

    @cached_property
    def upload_settings(self) -> UploadSettings:
        return read_upload_settings(os.environ)

    @cached_property
    def event_bus_settings(self) -> EventBusSettings:
        return read_event_bus_settings(os.environ)

    @cached_property
    def event_bus(self) -> EventBus:
        return EventBus(_client("events"), self.event_bus_settings.bus_name)

    @cached_property
    def task_tokens(self) -> TaskTokens:
        return TaskTokens(_client("stepfunctions"))

    @cached_property
    def execution_reader(self) -> ExecutionReader:
        return ExecutionReader(_client("stepfunctions"))

    @cached_property
    def open_executions(self) -> OpenExecutions:
        return OpenExecutions(_dynamodb_client(), self._settings.table_name)

    @cached_property
    def sagemaker_jobs(self) -> SageMakerJobs:
        return SageMakerJobs(_client("sagemaker"))

    @cached_property
    def activity(self) -> Activity:
        return Activity(lambda: self.execution_reader, lambda: self.sagemaker_jobs)

    @cached_property
    def scheduled_starter(self) -> ExecutionStarter:
        return ExecutionStarter(_client("stepfunctions"), read_state_machine_arn(os.environ))

    @cached_property
    def upload_starter(self) -> ExecutionStarter:
        client = _client("stepfunctions", attempts=_UPLOAD_START_ATTEMPTS)
        return ExecutionStarter(client, self.upload_settings.state_machine_arn)

    @cached_property
    def upload_queue(self) -> UploadQueue:
        client = _session().client("sqs", config=Config(max_pool_connections=THREADS, retries={"mode": "standard"}))
        return UploadQueue(client, self.upload_settings.queue_url)

    def _quotas(self, pools: PoolTable, *, writes: bool = True) -> InstanceQuotas:
        declared = self._settings.instance_quotas
        return InstanceQuotas(pools, declared, lambda: _client("service-quotas"), _now, writes=writes)

    @cached_property
    def _settings(self) -> StageSettings:
        return read_settings(os.environ)


@cache
def resources() -> Resources:
    """Return the resources of this process, the same object on each call. Tests call
    `resources.cache_clear()`."""
    return Resources()


def _now() -> datetime:
    return datetime.now(UTC)


def _client(service: str, *, attempts: int = _ATTEMPTS, **config: Any) -> Any:
    retries = {"mode": "standard", "max_attempts": attempts}
    return _session().client(service, config=Config(retries=retries, user_agent=_USER_AGENT, **config))


def _s3_client() -> Any:
    client = _client("s3", max_pool_connections=THREADS)
    # After botocore's own handler of this event, which adds the header.
    client.meta.events.register_last("before-call.s3", _send_small_objects_at_once)
    read_listings_quickly(client, _read_time)
    return client


@cache
def _session() -> boto3.Session:
    """Return the session of all clients, which read times quickly: a listing has one per object."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_read_time)
    return boto3.Session(botocore_session=session)


def _read_time(value: Any) -> datetime:
    """Return a time of an answer.

    Python reads ISO 8601 twenty times as fast as botocore's parser, and the times of HTTP headers ten times.
    """
    if isinstance(value, str) and value[:4].isdigit() and "-" in value[:5]:
        return datetime.fromisoformat(value)
    if isinstance(value, str) and value.endswith(" GMT"):
        return parsedate_to_datetime(value)
    parsed: datetime = parse_timestamp(value)
    return parsed


def _send_small_objects_at_once(params: dict[str, Any], **_: Any) -> None:
    """Disable the `Expect: 100-continue` header, which costs a round trip per small object."""
    if "Expect" in params["headers"] and (determine_content_length(params["body"]) or 0) <= _SMALL_OBJECT_BYTES:
        del params["headers"]["Expect"]


def _dynamodb_client() -> Any:
    # All records of an execution are in one partition, which takes 1,000 writes per second. A large
    # plan is throttled, and only the adaptive mode then slows down instead of using up its retries.
    config = Config(
        max_pool_connections=THREADS, retries={"mode": "adaptive", "max_attempts": 10}, user_agent=_USER_AGENT
    )
    _pace_by_monotonic_clock()
    # The client of a resource takes and returns plain Python values, and is safe to use from
    # threads.
    return _session().resource("dynamodb", config=config).meta.client


def _pace_by_monotonic_clock() -> None:
    """Let botocore's adaptive mode measure its waits with a clock that never goes back.

    It uses the wall clock: when that was set back by 14 minutes, a throttled function waited as long.
    """
    Clock.current_time = lambda _self: time.monotonic()
