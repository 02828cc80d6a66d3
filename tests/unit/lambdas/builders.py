"""Build a stage in moto, and models, datasets, records and events for it, with matching defaults."""

import hashlib
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from contract import codec, environment, layout
from contract.catalog.fleets import FleetRecord
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, Model, ModelVersion
from contract.job.ledger import (
    Commit,
    KeyReport,
    OutputFile,
    SegmentHeader,
    commit_line,
    read_segment,
    segment_content,
)
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.job.snapshot import Snapshot
from contract.status import ExecutionStatus, JobStatus
from contract.table import catalog_items, records
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.messages import AttemptFailure, JobPointer, PlanInput, SummaryInput
from lambdas.planning.scoring.assignments import Assignment
from lambdas.stage.deployment import Deployment
from lambdas.stage.resources import resources
from tests.unit.checksums import crc64nvme
from tests.unit.moto_state import made_once_in_moto

REGION = "eu-central-1"
STARTED_AT = "2026-01-05T10:00:00.123Z"
ARTIFACT = b"not read by the functions"
STAGE_COMPUTE = Compute(
    instance_type="ml.m5.large",
    instance_count=2,
    volume_size_gb=30,
    max_runtime_seconds=3_600,
    larger_instance_types=(),
    max_volume_size_gb=100,
)
CORE_IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/scoring:core"
KEY_ARN = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
PYTORCH_IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/scoring:pytorch"
VARIABLES = {
    environment.STAGE: "test",
    environment.TABLE_NAME: "fleetscore-test",
    environment.DATASETS_BUCKET: "datasets-test",
    environment.MODELS_BUCKET: "models-test",
    environment.RESULTS_BUCKET: "results-test",
    environment.RECORD_DAYS: "90",
    environment.COMPARED_CHECKSUMS: "sampled",
    environment.KEY_ARN: KEY_ARN,
    environment.INSTANCE_TYPES: '["ml.m*", "ml.c*", "ml.g5.*"]',
    environment.DEFAULT_COMPUTE: codec.dumps(STAGE_COMPUTE),
    environment.DEFAULT_MAX_CONCURRENCY: "20",
    environment.DEFAULT_MODELS_PER_JOB: "1",
    environment.PLANNED_INSTANCE_TYPES: "[]",
    environment.DEFAULT_TOLERATED_FAILURE_PERCENTAGE: "100",
    environment.DEFAULT_TOLERATED_FAILED_OBJECTS_PERCENTAGE: "100",
    environment.DEFAULT_TOLERATED_QUARANTINED_ROWS_PERCENTAGE: "100",
    environment.JOB_STARTS_PER_SECOND: "100",
    environment.IMAGE_URIS: json.dumps({"core": CORE_IMAGE, "pytorch": PYTORCH_IMAGE}),
}


@dataclass(frozen=True)
class Context:
    """The parts of the Lambda context that the functions read."""

    function_name: str = "fleetscore-test-function"
    memory_limit_in_mb: int = 1_024
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:123456789012:function:fleetscore-test-function"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def any_model_spec(model_id: str = "delays-ua", version: str = "1", **changes: Any) -> ModelSpec:
    spec = ModelSpec(
        model_id=model_id,
        version=version,
        artifact_sha256=hashlib.sha256(ARTIFACT).hexdigest(),
        artifact_bytes=len(ARTIFACT),
        framework="xgboost",
        format="xgboost-json",
        model_file="model.json",
        method="predict",
        features=(Feature("distance", "double"), Feature("hour", "int32", nullable=False)),
        tolerated_quarantine_fraction=0.1,
    )
    return replace(spec, **changes)


def assign(*versions: ModelVersion) -> list[Assignment]:
    """Assign each version to its own dataset."""
    return [Assignment(version, version.dataset) for version in versions]


def snapshots_of(objects: Mapping[str, Sequence[PinnedObject]]) -> dict[str, Snapshot]:
    """Return a snapshot of each dataset."""
    return {dataset: Snapshot(dataset, "datasets-test", tuple(pinned)) for dataset, pinned in objects.items()}


def of_framework(framework: str, model_id: str) -> ModelSpec:
    """Return a model of PyTorch or TensorFlow."""
    declared, file = {"pytorch": ("torchscript", "model.pt"), "tensorflow": ("keras", "model.keras")}[framework]
    return any_model_spec(model_id, framework=framework, format=declared, model_file=file)


def any_job(execution_id: str = "e-1", job_id: str = "delays-ua", **changes: Any) -> JobRecord:
    job = JobRecord(
        execution_id=execution_id,
        job_id=job_id,
        status=JobStatus.PENDING,
        dataset="flights",
        model_ids=(job_id,),
        model_versions=("1",),
        object_count=2,
        input_bytes=200,
        compute=STAGE_COMPUTE,
        max_attempts=3,
        created_at=STARTED_AT,
    )
    return replace(job, **changes)


def any_execution(execution_id: str = "e-1", **changes: Any) -> ExecutionRecord:
    record = ExecutionRecord(
        execution_id=execution_id,
        execution_arn=execution_arn(execution_id),
        status=ExecutionStatus.RUNNING,
        started_at=STARTED_AT,
        request_json="{}",
    )
    return replace(record, **changes)


def execution_arn(execution_id: str) -> str:
    return f"arn:aws:states:{REGION}:123456789012:execution:fleetscore-test:{execution_id}"


def plan_event(request: Any, execution_id: str = "e-1", started_at: str = STARTED_AT) -> dict[str, Any]:
    return codec.to_json(PlanInput(execution_id, execution_arn(execution_id), started_at, request))


def summary_event(state: Any, execution_id: str = "e-1", started_at: str = STARTED_AT) -> dict[str, Any]:
    return codec.to_json(SummaryInput(execution_id, execution_arn(execution_id), started_at, state))


def pointer_event(job_id: str = "delays-ua", attempt: int = 1, execution_id: str = "e-1") -> dict[str, Any]:
    return codec.to_json(JobPointer(execution_id, job_id, attempt))


def failure_event(
    error: str, cause: str | Mapping[str, Any] = "", *, job_id: str = "delays-ua", attempt: int = 1
) -> dict[str, Any]:
    text = cause if isinstance(cause, str) else json.dumps(cause)
    return codec.to_json(AttemptFailure("e-1", job_id, attempt, {"Error": error, "Cause": text}))


class Stage:
    """The stage's table and buckets. It writes with boto3, as the other parts of the system do."""

    def __init__(self) -> None:
        self.s3: Any = boto3.client("s3")
        self.dynamodb: Any = boto3.resource("dynamodb")
        self.datasets, self.models, self.results = (
            VARIABLES[name]
            for name in (environment.DATASETS_BUCKET, environment.MODELS_BUCKET, environment.RESULTS_BUCKET)
        )
        made_once_in_moto("stage", REGION, self._create)
        self.table: Any = self.dynamodb.Table(VARIABLES[environment.TABLE_NAME])

    @property
    def deployment(self) -> Deployment:
        return resources().deployment

    def _create(self) -> None:
        for bucket in (self.datasets, self.models, self.results):
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        keys = (
            records.PARTITION_KEY,
            records.SORT_KEY,
            records.INDEX_PARTITION_KEY,
            records.INDEX_SORT_KEY,
        )
        self.dynamodb.create_table(
            TableName=VARIABLES[environment.TABLE_NAME],
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=_key_schema(keys[0], keys[1]),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": records.INDEX_NAME,
                    "KeySchema": _key_schema(keys[2], keys[3]),
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )

    def register(
        self,
        model_id: str = "delays-ua",
        *,
        dataset: str = "flights",
        version: str = "1",
        enabled: bool = True,
        tags: Mapping[str, str] | None = None,
        compute: Compute | None = None,
        max_attempts: int = 3,
        spec: ModelSpec | None = None,
        fleet: str = "",
        route: Sequence[str] = (),
    ) -> ModelVersion:
        """Write a model, its version and its artifact, like `fleetscore models register`."""
        spec = spec or any_model_spec(model_id, version)
        registered = ModelVersion(
            spec=spec,
            dataset=dataset,
            compute=compute or Compute(),
            max_attempts=max_attempts,
            fleet=fleet,
            route=tuple(route),
        )
        self.table.put_item(Item=catalog_items.version_item(registered))
        self.table.put_item(Item=catalog_items.model_item(Model(model_id, version, enabled, tags or {})))
        self.s3.put_object(Bucket=self.models, Key=layout.artifact_key(model_id, version), Body=ARTIFACT)
        return registered

    def set_fleet(
        self, fleet_id: str = "delays", *, dataset: str = "flights", route_by: str = "carrier", **fields: Any
    ) -> FleetRecord:
        """Write a fleet, like `fleetscore fleets set`."""
        fleet = FleetRecord(fleet_id=fleet_id, dataset=dataset, route_by=route_by, **fields)
        self.table.put_item(Item=catalog_items.fleet_item(fleet))
        return fleet

    def upload(
        self, dataset: str = "flights", keys: Sequence[str] = ("a.parquet", "b.parquet"), size: int = 100
    ) -> None:
        """Put objects with different content, and so different ETags, into a dataset."""
        for key in keys:
            body = hashlib.sha256(key.encode()).digest() * (size // 32 + 1)
            self.s3.put_object(Bucket=self.datasets, Key=layout.dataset_prefix(dataset) + key, Body=body[:size])

    def upload_table(self, table: pa.Table, dataset: str = "flights", key: str = "a.parquet") -> None:
        """Put a Parquet object into a dataset."""
        sink = io.BytesIO()
        pq.write_table(table, sink)
        self.s3.put_object(Bucket=self.datasets, Key=layout.dataset_prefix(dataset) + key, Body=sink.getvalue())

    def commit(self, execution_id: str = "e-1", job_id: str = "delays-ua", *, objects: int | None = None) -> None:
        """Write outputs and a segment of the job's first `objects` objects (default: all), like the
        container.

        Each object has 10 rows. One row of the first object is quarantined.
        """
        spec = self.spec(execution_id, job_id)
        pairs = itertools.product(enumerate(self.deployment.store.objects_of(spec)[:objects]), spec.committing_models)
        commits = [
            self.write_outputs(spec, model, item, rows_quarantined=1 if index == 0 else 0)
            for (index, item), model in pairs
        ]
        self.write_segment(spec, *commits)

    def commit_one(self, spec: JobSpec, model: ModelSpec, item: PinnedObject, *, rows_quarantined: int = 0) -> Commit:
        """Write outputs of one object and model, and a segment with their commit alone."""
        commit = self.write_outputs(spec, model, item, rows_quarantined=rows_quarantined)
        self.write_segment(spec, commit)
        return commit

    def write_outputs(
        self, spec: JobSpec, model: ModelSpec, item: PinnedObject, *, rows_quarantined: int = 0, rows_skipped: int = 0
    ) -> Commit:
        """Write outputs of one object and model, and return their commit."""
        key = layout.output_key(model.model_id, item.key)
        predictions = item.key if spec.output_layout in ("joined", "fleet") else key
        outputs = [OutputFile("predictions", predictions, 50, crc64nvme(b"p" * 50))]
        self.put_output("predictions", spec, predictions, b"p" * 50)
        if rows_quarantined:
            outputs.append(OutputFile("quarantine", key, 20, crc64nvme(b"q" * 20)))
            self.put_output("quarantine", spec, key, b"q" * 20)
        return Commit(
            model_id=model.model_id,
            object=item.key,
            etag=item.etag,
            rows_in=10,
            rows_scored=10 - rows_quarantined - rows_skipped,
            rows_quarantined=rows_quarantined,
            rows_skipped=rows_skipped,
            outputs=tuple(outputs),
            keys=KeyReport(rows=10, duplicates=2, nulls=1),
            seconds=0.5,
        )

    def put_output(self, kind: layout.OutputKind, spec: JobSpec, key: str, body: bytes, **options: Any) -> None:
        """Write an output with the checksum that S3 computes of an upload without one."""
        options = {"ChecksumAlgorithm": "CRC64NVME", **options}
        self.s3.put_object(Bucket=self.results, Key=outputs_prefix(kind, spec) + key, Body=body, **options)

    def write_segment(self, spec: JobSpec, *commits: Commit, **header: Any) -> str:
        """Write a segment and return its name; `header` has fields of its header that differ."""
        models = {model.model_id: model.version for model in spec.committing_models}
        fields = {"execution_id": spec.execution_id, "job_id": spec.job_id, "models": models, **header}
        name, content = segment_content(SegmentHeader(**fields), [commit_line(commit) for commit in commits])
        key = layout.ledger_prefix(spec.execution_id, spec.job_id) + name
        self.s3.put_object(Bucket=self.results, Key=key, Body=content)
        return name

    def replace_commit(self, spec: JobSpec, commit: Commit) -> None:
        """Write a commit in place of those of the same object and model."""
        prefix = layout.ledger_prefix(spec.execution_id, spec.job_id)
        for key in [key for key in self.result_keys() if key.startswith(prefix)]:
            name = key.removeprefix(prefix)
            content = self.s3.get_object(Bucket=self.results, Key=key)["Body"].read()
            others = [
                other
                for other in read_segment(name, content).commits()
                if (other.model_id, other.object) != (commit.model_id, commit.object)
            ]
            self.s3.delete_object(Bucket=self.results, Key=key)
            if others:
                self.write_segment(spec, *others)
        self.write_segment(spec, commit)

    def spec(self, execution_id: str = "e-1", job_id: str = "delays-ua") -> JobSpec:
        return codec.from_json(JobSpec, self.read_json(layout.job_spec_key(execution_id, job_id)))

    def objects(self, execution_id: str = "e-1", job_id: str = "delays-ua") -> tuple[PinnedObject, ...]:
        """Return the pinned objects of a job."""
        return self.deployment.store.objects_of(self.spec(execution_id, job_id))

    def read_json(self, key: str) -> Any:
        return json.loads(self.s3.get_object(Bucket=self.results, Key=key)["Body"].read())

    def result_keys(self) -> list[str]:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.results).get("Contents", [])]

    def execution(self, execution_id: str = "e-1") -> ExecutionRecord:
        return self.deployment.table.execution(execution_id)

    def job(self, job_id: str = "delays-ua", execution_id: str = "e-1") -> JobRecord:
        return self.deployment.table.job(execution_id, job_id)

    def attempt(self, attempt: int = 1, job_id: str = "delays-ua", execution_id: str = "e-1") -> AttemptRecord:
        found = self.deployment.table.find_attempt(execution_id, job_id, attempt)
        assert found is not None, f"attempt {attempt} of {job_id} has no record"
        return found


def outputs_prefix(kind: layout.OutputKind, spec: JobSpec) -> str:
    return layout.job_outputs_prefix(kind, spec.dataset, spec.execution_id, spec.job_id, spec.output_layout)


def _key_schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
