"""Workloads: data and models generated from a seed, laid out like a SageMaker job.

Rows have a unique `row_id`, float64 features, and three columns that no model reads (two texts and
a number). Those of a fleet also have a `route`, which names the model that scores the row.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from benchmarks.contenders import FLEET_OUTPUT
from benchmarks.workloads.models import FLEET_TRAINING_ROWS, KINDS, TRAINING_ROWS, labels_of, train
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.codec import dumps
from contract.container_paths import ContainerPaths
from contract.job.fleet import FleetSpec
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.job.snapshot import Snapshot
from contract.layout import artifact_key

_CHUNK_ROWS = 250_000
_SEGMENTS = np.array([f"segment-{index:02d}" for index in range(40)])
Form = Literal["parquet", "csv", "jsonl"]


@dataclass(frozen=True)
class Workload:
    """A data set and its models.

    `rows` has the rows of each object, `group_rows` those of a row group.
    """

    name: str
    rows: tuple[int, ...]
    models: tuple[str, ...] = ("light",)
    """Names of `KINDS`. A name may be repeated; each model is trained with another seed."""
    features: int = 30
    group_rows: int = 100_000
    form: Form = "parquet"
    routes: int = 0
    """Routes of a fleet. Each has its own model of the one kind in `models`, and each row a `route`."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kind of every model."""
        return self.models * max(self.routes, 1)

    @property
    def total_rows(self) -> int:
        return sum(self.rows)

    @property
    def feature_names(self) -> list[str]:
        return [f"feature_{index:03d}" for index in range(self.features)]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([6, asdict(self)], sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Prepared:
    """A workload on disk."""

    workload: Workload
    root: Path

    @property
    def data(self) -> Path:
        return ContainerPaths(self.root).data

    @property
    def objects(self) -> list[Path]:
        return sorted(path for path in self.data.iterdir() if path.is_file())

    @property
    def model_folders(self) -> list[Path]:
        return [self.root / "trained" / _model_id(index) for index in range(len(self.workload.kinds))]

    @property
    def tables(self) -> list[str]:
        """Return the names of a contender's output folders: one per model, or one for a fleet."""
        return [FLEET_OUTPUT] if self.workload.routes else [folder.name for folder in self.model_folders]


def prepare(workload: Workload, cache: Path) -> Prepared:
    """Return the workload below `cache`, and generate it first if it is missing."""
    root = cache / f"{workload.name}-{workload.digest}"
    if not root.exists():
        unfinished = root.with_name(f"{root.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _make(workload, ContainerPaths(unfinished))
        unfinished.rename(root)
    return Prepared(workload, root)


def _make(workload: Workload, paths: ContainerPaths) -> None:
    paths.data.mkdir(parents=True)
    objects = []
    for index, rows in enumerate(workload.rows):
        path = paths.data / f"part-{index:05d}.{workload.form}"
        _write(workload, path, first_row=sum(workload.rows[:index]), rows=rows, seed=index)
        objects.append(PinnedObject(path.name, path.stat().st_size, f"etag-{index}"))
    sample = next(_tables(workload, 0, TRAINING_ROWS, seed=10_000_019)).select(workload.feature_names).to_pandas()
    models = []
    if workload.routes:
        sample = sample.head(FLEET_TRAINING_ROWS)
    for index, name in enumerate(workload.kinds):
        kind = KINDS[name]
        folder = paths.root / "trained" / _model_id(index)
        # The models of a fleet learn from different features, so that a row scored by another's model shows.
        learned = np.roll(sample.to_numpy(), -index, axis=1) if workload.routes else sample.to_numpy()
        train(kind, index, sample, labels_of(learned, index), folder)
        models.append(_pack(workload, paths, index, folder))
    snapshot = Snapshot("benchmark", "datasets", tuple(objects)).write(paths.snapshot)
    names = {model.model_id: model.model_id for model in models}
    fleet = FleetSpec(FLEET_OUTPUT, "route", names) if workload.routes else None
    spec = JobSpec(
        "execution-1",
        f"{FLEET_OUTPUT}.fleet" if fleet else "job-1",
        "benchmark",
        "datasets",
        tuple(models),
        snapshot,
        output_layout="fleet" if fleet else "per_model",
        fleet=fleet,
    )
    paths.spec.parent.mkdir(parents=True)
    paths.spec.write_text(dumps(spec), encoding="utf-8")
    paths.resource_config.parent.mkdir(parents=True)
    paths.resource_config.write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}), encoding="utf-8")


def _pack(workload: Workload, paths: ContainerPaths, index: int, folder: Path) -> ModelSpec:
    kind = KINDS[workload.kinds[index]]
    model_id = _model_id(index)
    archive = paths.models / artifact_key(model_id, "1")
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / kind.file, arcname=kind.file)
    content = archive.read_bytes()
    return ModelSpec(
        model_id=model_id,
        version="1",
        artifact_sha256=hashlib.sha256(content).hexdigest(),
        artifact_bytes=len(content),
        framework="xgboost" if kind.format.startswith("xgboost") else "sklearn",
        format=kind.format,  # type: ignore[arg-type]
        model_file=kind.file,
        method="predict",
        features=tuple(Feature(name, "double") for name in workload.feature_names),
        key_columns=("row_id",),
    )


def _model_id(index: int) -> str:
    return f"model-{index:04d}"


def _write(workload: Workload, path: Path, *, first_row: int, rows: int, seed: int) -> None:
    tables = _tables(workload, first_row, rows, seed)
    if workload.form == "parquet":
        _write_parquet(path, tables, workload.group_rows)
    elif workload.form == "csv":
        schema = _schema(workload)
        with pacsv.CSVWriter(path, schema, write_options=pacsv.WriteOptions(quoting_style="needed")) as writer:
            for table in tables:
                writer.write_table(table)
    else:
        with path.open("w", encoding="utf-8") as file:
            for table in tables:
                table.to_pandas().to_json(file, orient="records", lines=True, double_precision=15)


def _write_parquet(path: Path, tables: Iterator[pa.Table], group_rows: int) -> None:
    writer: pq.ParquetWriter | None = None
    held: list[pa.Table] = []
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema)
        held.append(table)
        while sum(part.num_rows for part in held) >= group_rows:
            joined = pa.concat_tables(held)
            writer.write_table(joined.slice(0, group_rows), row_group_size=group_rows)
            held = [joined.slice(group_rows)] if joined.num_rows > group_rows else []
    if writer is not None:
        if held:
            writer.write_table(pa.concat_tables(held), row_group_size=group_rows)
        writer.close()


def _schema(workload: Workload) -> pa.Schema:
    return next(_tables(workload, 0, 1, 0)).schema


def _tables(workload: Workload, first_row: int, rows: int, seed: int) -> Iterator[pa.Table]:
    random = np.random.default_rng([seed, workload.features])
    for start in range(0, rows, _CHUNK_ROWS):
        count = min(_CHUNK_ROWS, rows - start)
        columns: dict[str, Any] = {"row_id": np.arange(first_row + start, first_row + start + count)}
        columns["customer"] = pa.array(np.char.add("customer-", random.integers(0, 10**9, count).astype(str)))
        columns["segment"] = pa.array(_SEGMENTS[random.integers(0, len(_SEGMENTS), count)])
        if workload.routes:
            # Some routes have many rows and most have few: the square of a uniform number favours the first ones.
            names = np.array([_model_id(index) for index in range(workload.routes)])
            columns["route"] = pa.array(names[(random.random(count) ** 2 * workload.routes).astype(int)])
        columns["amount"] = random.gamma(2.0, 50.0, count)
        # Round to six digits, so that text formats have exactly the same numbers.
        matrix = random.normal(size=(count, workload.features)).round(6)
        columns |= {name: matrix[:, index] for index, name in enumerate(workload.feature_names)}
        yield pa.table(columns)
