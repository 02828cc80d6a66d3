"""The container's entry point in AWS Batch: copies one shard's inputs from S3, scores it, and copies its outputs back.

A SageMaker Processing job does this itself. Each child of an array job scores every n-th open object
of one job of a planned execution.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import boto3

from contract import codec, environment, layout
from contract.container_paths import ContainerPaths
from contract.job.fleet_keys import needed_members
from contract.job.ledger import read_segment
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.job.snapshot import read_snapshot
from contract.status import FailureKind
from examples.extend.batch.transfers import Uploads, fetch, fetch_all, split_uri

SPEC_URI = "FLEETSCORE_SPEC_URI"
"""Variable with the address of the job spec, which `submit` sets."""
ARRAY_INDEX, ARRAY_SIZE, JOB_ATTEMPT = "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", "AWS_BATCH_JOB_ATTEMPT"
"""Variables that AWS Batch sets."""
PERMANENT_EXIT_CODE = 65
"""Exit code of a failure that another attempt would repeat. The job definition does not retry it."""
_PERMANENT = (FailureKind.DATA, FailureKind.MODEL, FailureKind.CONFIGURATION)
_UPLOAD_SECONDS = 10.0
"""Seconds between two uploads while the container scores."""
_HIDDEN = ("AWS_", "ECS_")
"""Beginnings of the names of variables that model code must not get: they lead to the role's credentials."""


def main() -> int:
    """Score this child's shard and return the exit code."""
    s3, paths = boto3.client("s3"), ContainerPaths.from_environment()
    bucket, key = split_uri(os.environ[SPEC_URI])
    index, size = int(os.environ.get(ARRAY_INDEX, "0")), int(os.environ.get(ARRAY_SIZE, "1"))
    fetch(s3, bucket, key, paths.spec)
    spec = codec.loads(JobSpec, paths.spec.read_bytes(), subject="job.json")
    fetch(s3, *split_uri(spec.snapshot.uri), paths.snapshot)
    with paths.snapshot.open("rb") as file:
        objects = list(read_snapshot(file, spec.snapshot))
    shard = open_objects(shard_of(objects, index, size), spec, committed(s3, bucket, spec))
    _log("shard", index=index, size=size, objects=len(objects), to_score=len(shard))
    if not shard:
        return 0
    _fetch_inputs(s3, spec, shard, paths)
    host = f"batch-{index}"
    # Only this host: the hosts share the bytes of their exit messages, which Batch does not join.
    _write(paths.resource_config, json.dumps({"current_host": host, "hosts": [host]}))
    for folder in (paths.predictions, paths.quarantine, paths.ledger):
        folder.mkdir(parents=True, exist_ok=True)
    destinations = {
        paths.predictions: _outputs_prefix("predictions", spec),
        paths.quarantine: _outputs_prefix("quarantine", spec),
    }
    ledger = layout.ledger_prefix(spec.execution_id, spec.job_id)
    code = _run_container(spec, Uploads(s3, bucket, destinations, paths.ledger, ledger))
    return code if code == 0 else _failure(paths, code)


def shard_of(objects: Iterable[PinnedObject], index: int, size: int) -> list[PinnedObject]:
    """Return the objects of one child: every `size`-th, from the largest to the smallest.

    >>> objects = [PinnedObject(key, bytes_, "") for key, bytes_ in (("a", 1), ("b", 9), ("c", 5))]
    >>> [[item.key for item in shard_of(objects, index, 2)] for index in (0, 1)]
    [['b', 'a'], ['c']]
    """
    return sorted(objects, key=lambda item: (-item.size, item.key))[index::size]


def open_objects(
    objects: Iterable[PinnedObject], spec: JobSpec, commits: frozenset[tuple[str, str]]
) -> list[PinnedObject]:
    """Return the objects that some model has not committed."""
    models = [model.model_id for model in spec.committing_models]
    return [item for item in objects if any((model, item.key) not in commits for model in models)]


def committed(s3: Any, bucket: str, spec: JobSpec) -> frozenset[tuple[str, str]]:
    """Return model and object of each commit in the job's ledger: what an earlier attempt has done."""
    prefix = layout.ledger_prefix(spec.execution_id, spec.job_id)
    found: set[tuple[str, str]] = set()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            content = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            segment = read_segment(entry["Key"].removeprefix(prefix), content)
            found.update((commit.model_id, commit.object) for commit in segment.commits())
    return frozenset(found)


def _fetch_inputs(s3: Any, spec: JobSpec, shard: list[PinnedObject], paths: ContainerPaths) -> None:
    prefix = layout.dataset_prefix(spec.dataset)
    # With the pinned ETag, so that an object that was replaced since is refused.
    data = [(spec.dataset_bucket, prefix + item.key, paths.data / prefix / item.key, item.etag) for item in shard]
    needed = spec.models
    if spec.fleet is not None:
        needed = tuple(needed_members(spec.fleet, needed, (item.key for item in shard)))
    keys = [layout.artifact_key(model.model_id, model.version) for model in needed]
    models_bucket = os.environ[environment.MODELS_BUCKET]
    fetch_all(s3, [*data, *((models_bucket, key, paths.models / key, "") for key in keys)])


def _outputs_prefix(kind: layout.OutputKind, spec: JobSpec) -> str:
    return layout.job_outputs_prefix(kind, spec.dataset, spec.execution_id, spec.job_id, spec.output_layout)


def _run_container(spec: JobSpec, uploads: Uploads) -> int:
    """Run the container's command, upload what it finishes, and return its exit code."""
    with subprocess.Popen(
        [sys.executable, "-m", "scoring"], env=_container_variables(os.environ, spec.execution_id, spec.job_id)
    ) as scoring:

        def stop(number: int, _frame: FrameType | None) -> None:
            # Batch kills this container 30 seconds later. Scoring ends at once, and keeps what it has committed.
            scoring.send_signal(number)

        before = signal.signal(signal.SIGTERM, stop)
        try:
            while scoring.poll() is None:
                try:
                    scoring.wait(_UPLOAD_SECONDS)
                except subprocess.TimeoutExpired:
                    uploads.send()
        finally:
            if scoring.poll() is None:
                scoring.terminate()
                scoring.wait()
            signal.signal(signal.SIGTERM, before)
    uploads.send()
    return scoring.returncode


def _container_variables(variables: Mapping[str, str], execution_id: str, job_id: str) -> dict[str, str]:
    """Return the container's environment: no credentials, and the names for the lines of its log."""
    return {
        **{name: value for name, value in variables.items() if not name.startswith(_HIDDEN)},
        environment.EXECUTION_ID: execution_id,
        environment.JOB_ID: job_id,
        environment.ATTEMPT: variables.get(JOB_ATTEMPT, "1"),
    }


def _failure(paths: ContainerPaths, code: int) -> int:
    """Log the exit message and return the exit code for Batch."""
    message = paths.exit_message.read_text() if paths.exit_message.is_file() else f"UNKNOWN: exit code {code}"
    _log("failed", reason=message.strip())
    kind = message.partition(":")[0]
    return PERMANENT_EXIT_CODE if kind in {each.value for each in _PERMANENT} else 1


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _log(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
