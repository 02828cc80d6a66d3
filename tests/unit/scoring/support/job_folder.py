"""A /opt/ml folder for one test, scored by a `python -m scoring` process."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.catalog.model_spec import ModelSpec
from contract.codec import dumps
from contract.container_paths import ContainerPaths
from contract.environment import ML_ROOT, SCORES_IN_TRAINING_JOB
from contract.job.fleet import FleetSpec
from contract.job.ledger import Commit, commit_line, read_segment
from contract.job.scoring_spec import JobSpec, PinnedObject, ScoringOptions
from contract.job.snapshot import Snapshot
from contract.layout import RequestedLayout, artifact_key, output_key
from scoring.models import loader_format
from tests.unit.warm_process import DEADLINE_SECONDS, REPOSITORY, run_warm

DATASET = "flights"
_SCORED = """
import runpy, sys
from tests.unit.scoring.support import forked_workers
forked_workers.install()
sys.argv = ["scoring", *{arguments!r}]
runpy.run_module("scoring", run_name="__main__", alter_sys=True)
"""
_LIBRARIES = """
import os
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
import sklearn.linear_model, sklearn.pipeline, sklearn.preprocessing
import pandas, pyarrow.parquet, pyarrow.csv, pyarrow.json
import scoring.job.job, scoring.commits.object_commits, scoring.worker.engine
from scoring.models import preload
preload(["sklearn-joblib", "custom"])
"""
"""What a worker for scikit-learn models or for custom code sets and loads. Other models load their libraries without
scikit-learn, so their jobs start cold."""
_WARM_FORMATS = {"sklearn-joblib", "custom"}


class JobFolder:
    """The inputs and outputs of one job. Add models and objects, then call `write_spec`."""

    def __init__(self, root: Path, hosts: Sequence[str] = ("algo-1",), *, in_training_job: bool = False) -> None:
        self.paths = ContainerPaths(root, in_training_job=in_training_job)
        self.objects_folder = self.paths.data / DATASET
        """Folder below which an object's file has the object's key as its path."""
        self.models: list[ModelSpec] = []
        self.objects: list[PinnedObject] = []
        self.command_prefix: tuple[str, ...] = ()
        """Words before the container's command, to run it in another environment."""
        self.cold = False
        """Whether the processes load their libraries themselves although that takes seconds."""
        self.paths.resource_config.parent.mkdir(parents=True)
        self.paths.resource_config.write_text(json.dumps({"current_host": hosts[0], "hosts": list(hosts)}))
        outputs = (self.paths.predictions, self.paths.quarantine, self.paths.ledger)
        for folder in (self.objects_folder, self.paths.models, *outputs):
            folder.mkdir(parents=True)

    def add_object(self, key: str, table: pa.Table | pd.DataFrame | bytes, **options: Any) -> Path:
        path = self.objects_folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(table, bytes):
            path.write_bytes(table)
        elif isinstance(table, pd.DataFrame):
            table.to_parquet(path, **options)
        else:
            pq.write_table(table, path, **options)
        self.objects.append(PinnedObject(key, path.stat().st_size, f"etag-of-{key}"))
        return path

    def add_model(
        self,
        model_id: str,
        save: Callable[[Path], object],
        *,
        features: Sequence[Feature],
        file: str = "model.joblib",
        declared: str = "sklearn-joblib",
        method: str = "predict",
        **fields: Any,
    ) -> ModelSpec:
        """Pack the file that `save` writes, and add the model to the job spec."""
        folder = self.paths.root / "packing" / model_id
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        save(folder / file)
        archive = self.paths.models / artifact_key(model_id, "v1")
        archive.parent.mkdir(parents=True)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, arcname=".")
        content = archive.read_bytes()
        spec = ModelSpec(
            model_id=model_id,
            version="v1",
            artifact_sha256=hashlib.sha256(content).hexdigest(),
            artifact_bytes=len(content),
            framework=FRAMEWORK_OF_FORMAT[declared],
            format=declared,  # type: ignore[arg-type]
            model_file=file,
            method=method,  # type: ignore[arg-type]
            features=tuple(features),
            **fields,
        )
        self.models.append(spec)
        return spec

    def write_spec(
        self,
        batch_rows: int = 65_536,
        fleet: FleetSpec | None = None,
        output_layout: RequestedLayout = "per_model",
    ) -> JobSpec:
        """Write the job's spec. With a `fleet`, its models are the models of the folder."""
        spec = JobSpec(
            execution_id="execution-1",
            job_id="job-1" if fleet is None else f"{fleet.fleet_id}.fleet",
            dataset=DATASET,
            dataset_bucket="datasets",
            models=tuple(self.models),
            snapshot=Snapshot(DATASET, "datasets", tuple(self.objects)).write(self.paths.snapshot),
            options=ScoringOptions(batch_rows=batch_rows),
            output_layout=output_layout if fleet is None else "fleet",
            fleet=fleet,
        )
        self.paths.spec.parent.mkdir(parents=True, exist_ok=True)
        self.paths.spec.write_text(dumps(spec), encoding="utf-8")
        return spec

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command_prefix, sys.executable, "-m", "scoring", *arguments],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # Libraries do not read our own variables.
        others = [name for name in environment if not name.startswith("FLEETSCORE_")]
        cold = self.cold or self.command_prefix or others
        if not cold and {loader_format(model) for model in self.models} <= _WARM_FORMATS:
            return run_warm(_SCORED.format(arguments=arguments), self.environment(**environment), _LIBRARIES)
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=DEADLINE_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def score(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a job that must succeed, and return its progress lines."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, f"{self.message}\n{ended.stderr}"
        assert not self.paths.exit_message.exists()
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def environment(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join([str(REPOSITORY / "inference_container"), str(REPOSITORY)])
        form = {SCORES_IN_TRAINING_JOB: "1"} if self.paths.in_training_job else {}
        return {**os.environ, "PYTHONPATH": path, ML_ROOT: str(self.paths.root), **form, **more}

    @property
    def message(self) -> str:
        path = self.paths.exit_message
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def output_path(self, model_id: str, key: str) -> Path:
        return self.paths.predictions / output_key(model_id, key)

    def output(self, model_id: str, key: str) -> pa.Table:
        # Not read_table, which adds the Hive partitions of the path as columns.
        with pq.ParquetFile(self.output_path(model_id, key)) as file:
            return file.read()

    def commit(self, model_id: str, key: str) -> Commit:
        """Return the last commit of an object and model."""
        return [commit for commit in self.commits() if (commit.model_id, commit.object) == (model_id, key)][-1]

    def commits(self) -> list[Commit]:
        """Return all commits of the ledger, which has whole segments only, the oldest segment first."""
        files = sorted(self.paths.ledger.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [commit for path in files for commit in read_segment(path.name, path.read_bytes()).commits()]

    def committed(self) -> set[tuple[str, str]]:
        """Return model id and object key of each commit."""
        return {(commit.model_id, commit.object) for commit in self.commits()}

    def files(self) -> dict[str, bytes]:
        """Return every file below the output folder, but each commit as a file instead of the segments.

        It depends on the time which commits share a segment. Commits are shown without the seconds that they took.
        """
        root = self.paths.predictions.parent
        files = {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        found = {name: content for name, content in files.items() if not name.startswith("ledger/")}
        timeless = [replace(commit, seconds=0.0) for commit in self.commits()]
        return found | {f"ledger/{commit.model_id}/{commit.object}": commit_line(commit) for commit in timeless}


def failure_reasons(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the reasons by failed object, from the progress lines of a run."""
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    return {
        event["object"]: "; ".join(failure["reason"] for failure in event["failures"])
        for event in events
        if event["event"] == "object_failed"
    }


def joblib_saver(model: object) -> Callable[[Path], object]:
    return lambda path: joblib.dump(model, path)


def cloudpickle_saver(model: object) -> Callable[[Path], object]:
    """Save a model whose class is defined in a test, where the scoring process cannot import it."""
    return lambda path: path.write_bytes(cloudpickle.dumps(model))


def doubles(*names: str) -> list[Feature]:
    return [Feature(name, "double") for name in names]


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()
