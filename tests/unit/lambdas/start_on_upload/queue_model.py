"""The real function with a model of SQS and Step Functions in their worst documented behaviour."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import ClientError

from contract import codec, environment
from contract.triggers.uploads import ObjectVersion, UploadManifest, UploadRule
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.deployment import Deployment
from lambdas.stage.instance_quotas import InstanceQuotas
from lambdas.stage.settings import read_settings
from lambdas.stage.tables.estimate_table import EstimateTable
from lambdas.stage.tables.job_table import JobTable
from lambdas.stage.tables.latest_pointers import LatestPointers
from lambdas.stage.tables.pool_table import PoolTable
from lambdas.stage.tables.upload_table import UploadTable
from lambdas.start_on_upload.start import start_on_upload
from tests.unit.lambdas.builders import VARIABLES
from tests.unit.lambdas.start_on_upload.storage_model import BucketsModel, TableModel

DATASETS_BUCKET = VARIABLES[environment.DATASETS_BUCKET]
RESULTS_BUCKET = VARIABLES[environment.RESULTS_BUCKET]
BEGIN = datetime(2026, 1, 5, 10, tzinfo=UTC)


class KilledError(BaseException):
    """The function's process was killed. `except Exception` does not catch it."""


def event_of(bucket: str, dataset: str, upload: ObjectVersion) -> str:
    """Return the event as EventBridge sends it to the queue."""
    found = {"key": f"{dataset}/{upload.key}" if dataset else upload.key, "size": upload.size, "etag": upload.etag}
    if upload.version_id:
        found["version-id"] = upload.version_id
    if upload.sequencer:
        found["sequencer"] = upload.sequencer
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-01-05T10:00:00Z",
        "region": "eu-central-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {"version": "0", "bucket": {"name": bucket}, "object": found, "reason": "PutObject"},
    }
    return json.dumps(event)


def sqs_record(message_id: str, body: str, received: int = 1) -> SQSRecord:
    """Return a message as the event source mapping delivers it the n-th time."""
    return SQSRecord(
        {
            "messageId": message_id,
            "receiptHandle": f"receipt-{message_id}",
            "attributes": {"ApproximateReceiveCount": str(received)},
            "body": body,
        }
    )


@dataclass
class Waiting:
    """A message in the queue."""

    body: str
    due: datetime = BEGIN
    received: int = 0


@dataclass
class Trigger:
    """The function with its queue, table, buckets and Step Functions in memory.

    It replaces the ExecutionStarter and the UploadQueue of the function.
    """

    rules: Mapping[str, UploadRule]
    now: datetime = BEGIN
    queue: list[Waiting] = field(default_factory=list)
    executions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    refusal: str = ""
    """Error code with which Step Functions refuses every start; empty means it accepts them."""
    waits: list[int] = field(default_factory=list)
    """Seconds after which failed messages are delivered again."""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    # ---- calls of the function ---------------------------------------------------------------

    def start(self, name: str, request_json: str) -> bool:
        self._step()
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal, "Message": "later"}}, "StartExecution")
        fresh = name not in self.executions
        request = json.loads(request_json)
        assert self.executions.setdefault(name, request) == request
        self._step()
        return fresh

    def send_later(self, body: str, seconds: float) -> None:
        self._step()
        self.queue.append(Waiting(body, self.now + timedelta(seconds=min(seconds, 900))))
        self._step()

    def retry_after(self, receipts: Sequence[tuple[str, int]]) -> None:
        self.waits += [seconds for _, seconds in receipts]

    # ---- the queue ---------------------------------------------------------------------------

    def put(self, dataset: str, *uploads: ObjectVersion) -> None:
        self.queue += [Waiting(event_of(DATASETS_BUCKET, dataset, upload)) for upload in uploads]

    def deployment(self) -> Deployment:
        settings = read_settings(VARIABLES)
        store = ObjectStore(
            self.buckets,
            datasets_bucket=settings.datasets_bucket,
            models_bucket=settings.models_bucket,
            results_bucket=settings.results_bucket,
        )
        jobs = JobTable(self.table, settings.table_name, record_days=1)
        uploads = UploadTable(self.table, settings.table_name, record_days=1)
        latest = LatestPointers(self.table, settings.table_name, store)
        estimates = EstimateTable(self.table, settings.table_name, clock=lambda: self.now)
        pools = PoolTable(self.table, settings.table_name)
        quotas = InstanceQuotas(pools, {}, lambda: None, lambda: self.now)
        return Deployment(settings, jobs, uploads, store, latest, pools, quotas, lambda: self.now, estimates)

    def due(self) -> list[Waiting]:
        return [waiting for waiting in self.queue if waiting.due <= self.now]

    def deliver(self, chosen: Sequence[Waiting], *, doubled: bool = False) -> None:
        """Call the function with these messages.

        Processed messages leave the queue, unless `doubled`.
        """
        batch: dict[str, Waiting] = {}
        messages = []
        for waiting in chosen:
            waiting.received += 1
            number = str(next(self.numbers))
            batch[number] = waiting
            messages.append(sqs_record(number, waiting.body, waiting.received))
        again = set(start_on_upload(messages, self.rules, self.deployment(), self, self))  # type: ignore[arg-type]
        done = {id(waiting) for number, waiting in batch.items() if number not in again}
        if not doubled:
            self.queue = [waiting for waiting in self.queue if id(waiting) not in done]

    def drain(self) -> None:
        """Deliver messages until the queue is empty."""
        for _ in range(100):
            if not self.queue:
                return
            self.now += timedelta(seconds=30)
            self.deliver(self.due())
        raise AssertionError(f"{len(self.queue)} messages stay in the queue: {self.queue[0].body}")

    # ---- interruptions -----------------------------------------------------------------------

    _steps: int = 0
    _interrupt_at: int = -1
    _interruption: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.table = TableModel(self._step)
        self.buckets = BucketsModel(self._step)

    def _step(self) -> None:
        self._steps += 1
        if self._steps == self._interrupt_at and self._interruption is not None:
            interruption, self._interruption = self._interruption, None
            interruption()

    @contextmanager
    def interrupted(self, at_step: int, interruption: Callable[[], None]) -> Iterator[None]:
        """Call `interruption` at the n-th start or end of an AWS call."""
        self._steps, self._interrupt_at, self._interruption = 0, at_step, interruption
        try:
            yield
        finally:
            self._interruption = None

    # ---- results -----------------------------------------------------------------------------

    def manifests(self) -> dict[str, UploadManifest]:
        return {
            name: codec.loads(UploadManifest, self.buckets.objects[RESULTS_BUCKET, str(request["objects_manifest"])])
            for name, request in self.executions.items()
        }


def kill() -> None:
    raise KilledError
