"""Everything that an execution left behind, read from the table, S3, SageMaker, Step Functions and the logs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from boto3.dynamodb.conditions import Key

from contract import layout
from contract.job.ledger import Commit, Segment, read_segment
from contract.table import records
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from tests.e2e.stage import Stage
from tests.unit.checksums import crc64nvme

_OPEN_JOBS = ("InProgress", "Stopping")


@dataclass(frozen=True)
class StoredFile:
    """A file of an execution's output as it is in S3."""

    size: int
    crc64nvme: str
    rows: tuple[Mapping[str, Any], ...]
    """Rows of a Parquet file; empty for others."""


@dataclass(frozen=True)
class JobEvidence:
    """What one job, or one part of a split job, left behind."""

    record: JobRecord
    models: Mapping[str, str]
    """Version of each model that scores rows, by id. Those of a fleet are its members."""
    pinned: Mapping[str, str]
    """ETag of each object by key."""
    attempts: tuple[AttemptRecord, ...] = ()
    segments: tuple[tuple[Segment, tuple[Commit, ...]], ...] = ()
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    """Files below the job's output prefixes, by folder and key below the job's prefix."""
    scored: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Objects that the container's log says were scored, by attempt."""

    @property
    def commits(self) -> list[Commit]:
        return [commit for _, commits in self.segments for commit in commits]

    @property
    def is_joined(self) -> bool:
        return self.record.output_layout == "joined"

    @property
    def committing_models(self) -> tuple[str, ...]:
        return self.record.model_ids


@dataclass(frozen=True)
class Evidence:
    """What one execution left behind."""

    execution_id: str
    workflow: str
    """Status in Step Functions."""
    record: ExecutionRecord | None
    jobs: tuple[JobEvidence, ...]
    open_sagemaker_jobs: tuple[str, ...]
    """SageMaker jobs of the stage that have not ended."""
    summary: Mapping[str, Any] | None


_clients: dict[tuple[str, str], Any] = {}


def client(stage: Stage, service: str) -> Any:
    """Return a client of the stage, the same each time: making one takes as long as many requests."""
    key = (str(stage.aws.root), service)
    if key not in _clients:
        _clients[key] = stage.client(service)
    return _clients[key]


def collect(stage: Stage, execution_id: str) -> Evidence:
    """Read all evidence of an ended execution."""
    table = stage.connection.resource("dynamodb").Table(stage.deployment.table_name)
    key = records.execution_key(execution_id)
    items = table.query(
        KeyConditionExpression=Key(records.PARTITION_KEY).eq(key[records.PARTITION_KEY]), ConsistentRead=True
    )["Items"]

    def read(cls: type[Any], start: str) -> list[Any]:
        return [records.read_item(cls, item) for item in items if item[records.SORT_KEY].startswith(start)]

    attempts: list[AttemptRecord] = read(AttemptRecord, records.ATTEMPT_SORT_PREFIX)
    jobs: list[JobRecord] = read(JobRecord, records.JOB_SORT_PREFIX)
    found = [item for item in items if item[records.SORT_KEY] == records.EXECUTION_SORT_KEY]
    workflow = client(stage, "stepfunctions").describe_execution(
        executionArn=stage.executions.execution_arn(execution_id)
    )
    return Evidence(
        execution_id=execution_id,
        workflow=workflow["status"],
        record=records.read_item(ExecutionRecord, found[0]) if found else None,
        jobs=tuple(
            _read_job(stage, job, tuple(item for item in attempts if item.job_id == job.job_id)) for job in jobs
        ),
        open_sagemaker_jobs=tuple(open_jobs(stage)),
        summary=_json(stage, layout.summary_key(execution_id)),
    )


def open_jobs(stage: Stage) -> Iterator[str]:
    """Yield the SageMaker jobs of the stage that have not ended."""
    sagemaker = client(stage, "sagemaker")
    for status in _OPEN_JOBS:
        for job in sagemaker.list_processing_jobs(StatusEquals=status, MaxResults=100)["ProcessingJobSummaries"]:
            yield job["ProcessingJobName"]
        for job in sagemaker.list_training_jobs(StatusEquals=status, MaxResults=100)["TrainingJobSummaries"]:
            yield job["TrainingJobName"]


def _read_job(stage: Stage, job: JobRecord, attempts: tuple[AttemptRecord, ...]) -> JobEvidence:
    spec = _json(stage, layout.job_spec_key(job.execution_id, job.job_id)) or {}
    snapshot = spec["snapshot"]["uri"].removeprefix(f"s3://{stage.deployment.results_bucket}/")
    _, *objects = _bytes(stage, snapshot).splitlines()
    ledger = layout.ledger_prefix(job.execution_id, job.job_id)
    segments = [read_segment(key.removeprefix(ledger), _bytes(stage, key)) for key in stage.result_keys(ledger)]
    files = {}
    for kind in ("predictions", "quarantine"):
        prefix = layout.job_outputs_prefix(kind, job.dataset, job.execution_id, job.job_id, job.output_layout)
        for key in stage.result_keys(prefix):
            body = _bytes(stage, key)
            rows = _rows(body) if key.endswith(".parquet") else ()
            files[f"{kind}/{key.removeprefix(prefix)}"] = StoredFile(len(body), crc64nvme(body), rows)
    return JobEvidence(
        record=job,
        models={model["model_id"]: model["version"] for model in spec["models"]},
        pinned={key: etag for key, _, etag in map(json.loads, objects)},
        attempts=attempts,
        segments=tuple((segment, tuple(segment.commits())) for segment in segments),
        files=files,
        scored={item.attempt: _scored(stage, item) for item in attempts},
    )


def _rows(body: bytes) -> tuple[dict[str, Any], ...]:
    """Return the rows of an output; none if a fault has damaged it, which its checksum tells."""
    try:
        return tuple(pq.read_table(pa.BufferReader(body)).to_pylist())
    except Exception:
        return ()


def _scored(stage: Stage, attempt: AttemptRecord) -> tuple[str, ...]:
    """Return the objects that an attempt has scored, by its container's log."""
    if not attempt.sagemaker_job_name:
        return ()
    logs = client(stage, "logs")
    group = f"/aws/sagemaker/{'Training' if attempt.spot else 'Processing'}Jobs"
    try:
        events = logs.filter_log_events(
            logGroupName=group, logStreamNamePrefix=f"{attempt.sagemaker_job_name}/", limit=10_000
        )["events"]
    except logs.exceptions.ResourceNotFoundException:  # no job of the stage has printed anything
        return ()
    lines = [json.loads(event["message"]) for event in events if event["message"].startswith("{")]
    return tuple(line["object"] for line in lines if line.get("event") == "object_scored")


def _bytes(stage: Stage, key: str) -> bytes:
    body: bytes = client(stage, "s3").get_object(Bucket=stage.deployment.results_bucket, Key=key)["Body"].read()
    return body


def _json(stage: Stage, key: str) -> dict[str, Any] | None:
    if key not in stage.result_keys(key):
        return None
    read: dict[str, Any] = json.loads(_bytes(stage, key))
    return read


def progress(stage: Stage, execution_id: str) -> list[str]:
    """Return the newest events of an execution and of its running children, to tell what it waits for."""
    workflow = client(stage, "stepfunctions")
    arn = stage.executions.execution_arn(execution_id)
    lines = _newest_events(workflow, execution_id, arn)
    for run in workflow.list_map_runs(executionArn=arn)["mapRuns"]:
        for child in workflow.list_executions(mapRunArn=run["mapRunArn"], statusFilter="RUNNING")["executions"]:
            lines += _newest_events(workflow, child["name"], child["executionArn"])
    return [*lines, *(f"SageMaker job {name}: has not ended" for name in open_jobs(stage))]


def _newest_events(workflow: Any, name: str, arn: str) -> list[str]:
    events = workflow.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=12)["events"]
    lines = [f"newest events of {name}:"]
    for event in reversed(events):
        details = [
            f"{key}={value[:200]}"
            for found in event.values()
            if isinstance(found, dict)
            for key, value in found.items()
            if key in ("name", "error", "cause", "resource")
        ]
        lines.append(f"  {event['timestamp']:%H:%M:%S} {event['type']} {' '.join(details)}")
    return lines
