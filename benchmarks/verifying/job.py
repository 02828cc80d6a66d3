"""A large job whose output is complete, and which exists only as numbers."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from contract import codec, layout
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute
from contract.job.fleet import FleetSpec
from contract.job.ledger import Commit, KeyReport, OutputFile, SegmentHeader, commit_line, segment_content
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.job.snapshot import Snapshot
from contract.status import JobStatus
from contract.table.records import JobRecord

DATASETS_BUCKET, RESULTS_BUCKET = "datasets-bench", "results-bench"
EXECUTION_ID, JOB_ID, DATASET = "bench-1", "bench", "flights"
_OUTPUT_BYTES = 123_456
_OBJECT_BYTES = 45_678


@dataclass(frozen=True)
class Job:
    """A job of `models` times `objects` commits, or of `objects` commits if the models are a fleet."""

    models: int
    objects: int
    output_layout: layout.OutputLayout = "per_model"
    commits_per_segment: int = 10_000
    """Commits in each segment of the ledger."""

    @cached_property
    def snapshot(self) -> Snapshot:
        keys = (f"year=2026/month=01/part-{number:07d}-8f14e45f.parquet" for number in range(self.objects))
        objects = tuple(PinnedObject(key, _OBJECT_BYTES, f"{number:032x}") for number, key in enumerate(keys))
        return Snapshot(DATASET, DATASETS_BUCKET, objects)

    @cached_property
    def spec(self) -> JobSpec:
        uri = layout.s3_uri(RESULTS_BUCKET, layout.snapshot_key(EXECUTION_ID, DATASET))
        return JobSpec(
            execution_id=EXECUTION_ID,
            job_id=JOB_ID,
            dataset=DATASET,
            dataset_bucket=DATASETS_BUCKET,
            snapshot=self.snapshot.ref(uri, self.snapshot.text()),
            models=tuple(_model(f"model-{number:05d}") for number in range(self.models)),
            output_layout=self.output_layout,
            fleet=self._fleet if self.output_layout == "fleet" else None,
        )

    @property
    def _fleet(self) -> FleetSpec:
        return FleetSpec("stores", "store", {f"{number}": f"model-{number:05d}" for number in range(self.models)})

    @cached_property
    def record(self) -> JobRecord:
        return JobRecord(
            execution_id=EXECUTION_ID,
            job_id=JOB_ID,
            status=JobStatus.RUNNING,
            dataset=DATASET,
            model_ids=tuple(model.model_id for model in self.spec.committing_models),
            model_versions=tuple(model.version for model in self.spec.committing_models),
            object_count=self.objects,
            input_bytes=self.snapshot.total_bytes,
            compute=Compute("ml.m5.xlarge", 1, 30, 3_600),
            max_attempts=3,
            created_at="2026-01-05T10:00:00.000Z",
            attempt=1,
            output_layout=self.output_layout,
            fleet="stores" if self.output_layout == "fleet" else "",
        )

    def outputs(self) -> Iterator[tuple[str, int]]:
        """Yield the keys of the outputs below the job's prefix, in the order of S3, with their sizes."""
        names = [layout.output_name(item.key) for item in self.snapshot.objects]
        for model in self.spec.committing_models[
            : 1 if layout.is_shared_output("predictions", self.output_layout) else None
        ]:
            for name in names:
                yield self._output_key(model.model_id, name), _OUTPUT_BYTES

    def segments(self) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of the ledger's segments, in the order in which they were written."""
        header = SegmentHeader(
            EXECUTION_ID, JOB_ID, {model.model_id: model.version for model in self.spec.committing_models}
        )
        lines: list[bytes] = []
        for item in self.snapshot.objects:
            name = layout.output_name(item.key)
            for model in self.spec.committing_models:
                lines.append(commit_line(self._commit(model.model_id, item, name)))
                if len(lines) == self.commits_per_segment:
                    yield segment_content(header, lines)
                    lines.clear()
        if lines:
            yield segment_content(header, lines)

    def _commit(self, model_id: str, item: PinnedObject, name: str) -> Commit:
        key = self._output_key(model_id, name)
        return Commit(
            model_id=model_id,
            object=item.key,
            etag=item.etag,
            rows_in=500,
            rows_scored=500,
            rows_quarantined=0,
            outputs=(OutputFile("predictions", key, _OUTPUT_BYTES, checksum(key)),),
            writer="copied",
            keys=KeyReport(500, 0, 0),
            notes=("loaded by XGBoost 3.0.2 from a file of 3.0.1",),
        )

    def _output_key(self, model_id: str, name: str) -> str:
        is_shared = layout.is_shared_output("predictions", self.output_layout)
        return name if is_shared else layout.output_key(model_id, name)


def checksum(key: str) -> str:
    """Return the CRC64NVME of an output, which is any number that follows from its key."""
    return base64.b64encode(hashlib.blake2b(key.encode(), digest_size=8).digest()).decode()


def _model(model_id: str) -> ModelSpec:
    return ModelSpec(
        model_id=model_id,
        version="1",
        artifact_sha256=hashlib.sha256().hexdigest(),
        artifact_bytes=1,
        framework="xgboost",
        format="xgboost-json",
        model_file="model.json",
        method="predict",
        features=tuple(Feature(f"feature_{number:02d}", "double") for number in range(30)),
    )


def spec_text(job: Job) -> bytes:
    return codec.dumps(job.spec).encode()
