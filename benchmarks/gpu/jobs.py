"""Whole jobs, as the container runs them: `python -m scoring` over a job's folder."""

import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.gpu.models import FEATURES, Format, numbers
from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.catalog.model_spec import ModelSpec
from contract.codec import dumps
from contract.container_paths import ContainerPaths
from contract.environment import ML_ROOT
from contract.job.scoring_spec import JobSpec, PinnedObject, ScoringOptions
from contract.job.snapshot import Snapshot
from contract.layout import artifact_key, output_key

MODEL = "network"


@dataclass(frozen=True)
class JobResult:
    """How a job ended."""

    exit_status: int
    log: str
    """What the job printed to stderr, or why it failed."""
    seconds: float
    separated: str
    """`yes`, or why the workers ran as the container's own user."""
    predictions: Any
    """In the order of the rows; None after a failure."""


def write_data(folder: Path, rows: int, objects: int, seed: int) -> None:
    """Write the features of `numbers(rows, seed)` as Parquet objects, with a row number each."""
    matrix = numbers(rows, seed)
    folder.mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(rows), objects)):
        columns = {name: matrix[part, index] for index, name in enumerate(FEATURES)}
        pq.write_table(pa.table({"row": part, **columns}), folder / f"part-{number}.parquet", row_group_size=65_536)


def spec_of(item: Format, archive: Path | None = None) -> ModelSpec:
    content = archive.read_bytes() if archive else b"-"
    return ModelSpec(
        model_id=MODEL,
        version="1",
        artifact_sha256=hashlib.sha256(content).hexdigest(),
        artifact_bytes=len(content),
        framework=FRAMEWORK_OF_FORMAT[item.name],
        format=item.name,  # type: ignore[arg-type]
        model_file=item.file,
        method="predict",
        features=tuple(Feature(name, "double") for name in FEATURES),
        key_columns=("row",),
        columns="keys",
    )


def write_job(root: Path, item: Format, model_folder: Path, data: Path, batch_rows: int) -> None:
    """Lay out a job's folder below `root`; its objects are links to those in `data`."""
    paths = ContainerPaths(root)
    archive = paths.models / artifact_key(MODEL, "1")
    for folder in (archive.parent, paths.data, paths.spec.parent, paths.resource_config.parent):
        folder.mkdir(parents=True)
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(model_folder, arcname=".")
    objects = []
    for path in sorted(data.iterdir()):
        (paths.data / path.name).hardlink_to(path)
        objects.append(PinnedObject(path.name, path.stat().st_size, f"etag-{path.name}"))
    models = (spec_of(item, archive),)
    options = ScoringOptions(batch_rows=batch_rows)
    snapshot = Snapshot("numbers", "datasets", tuple(objects)).write(paths.snapshot)
    spec = JobSpec("execution-1", "job-1", "numbers", "datasets", models, snapshot, options=options)
    paths.spec.write_text(dumps(spec), encoding="utf-8")
    paths.resource_config.write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}), encoding="utf-8")


def run_job(root: Path, environment: Mapping[str, str], timeout: float, *arguments: str) -> JobResult:
    """Run the job and return how it ended.

    Raises:
        subprocess.TimeoutExpired: It took longer than `timeout` seconds.
    """
    ended = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "scoring", *arguments],
        env={**environment, ML_ROOT: str(root)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    events = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    shown = {event["event"]: event for event in events}
    paths = ContainerPaths(root)
    separated = shown.get("workers_not_separated", {}).get("reason", "yes")
    if ended.returncode:
        message = paths.exit_message.read_text(encoding="utf-8") if paths.exit_message.exists() else ""
        return JobResult(ended.returncode, f"{message}\n{ended.stderr[-2_000:]}", 0.0, separated, None)
    files = sorted((paths.predictions / output_key(MODEL, "")).rglob("*.parquet"))
    table = pa.concat_tables([pq.ParquetFile(path).read() for path in files])
    order = np.argsort(table["row"].to_numpy(), kind="stable")
    if not np.array_equal(table["row"].to_numpy()[order], np.arange(len(order))):
        return JobResult(1, "rows were lost or doubled", 0.0, separated, None)
    predictions = table["prediction"].to_numpy()[order]
    return JobResult(0, ended.stderr, shown["shard_ended"]["seconds"], separated, predictions)
