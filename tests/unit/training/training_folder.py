"""A folder laid out like /opt/ml of a training job, and the image's entry point run on it."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from contract.catalog.model_fields import Feature
from contract.codec import dumps, loads
from contract.container_paths import TrainingPaths
from contract.environment import ML_ROOT
from contract.job.scoring_spec import PinnedObject
from contract.training.training_spec import TrainingReport, TrainingSpec
from tests.unit.warm_process import DEADLINE_SECONDS, REPOSITORY, run_warm

NUMBERS = (Feature("distance", "double"), Feature("delay", "double"), Feature("hour", "int32"))
MIXED = (*NUMBERS, Feature("carrier", "string"))

_TRAINED = """
import runpy, sys
sys.argv = ['launcher', 'train', *{arguments!r}]
runpy.run_module('launcher', run_name='__main__', alter_sys=True)
"""
# In this order, as in conftest.py: scoring's XGBoost loader avoids scikit-learn where it can.
_LIBRARIES = """
import sklearn.base
import training.trainers.xgboost_trainer
import training.trainers.sklearn_trainer
import training.trainers.script.script_trainer
import training.job
"""
_SIGNALLED = """
import os, runpy, sys
from scoring.models.trees.xgboost_library import xgboost
update = xgboost.Booster.update
def signalled(booster, data, iteration):
    update(booster, data, iteration)
    if iteration == {iteration}:
        os.kill(os.getpid(), {number})
xgboost.Booster.update = signalled
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""


class TrainingFolder:
    """Inputs and outputs of one training job. Add the objects first, then call `write_spec`."""

    def __init__(self, root: Path) -> None:
        self.paths = TrainingPaths(root)
        self.folders = {
            "train": self.paths.train / "flights",
            "validation": self.paths.validation / "flights-held-out",
        }
        """Folders below which an object's file has the object's key as its path, by channel."""
        self.objects: dict[str, list[PinnedObject]] = {"train": [], "validation": []}
        self._fields: dict[str, Any] = {}
        self.command_prefix: tuple[str, ...] = ()
        """Words before the container's command, to run it in another environment."""
        for folder in (self.folders["train"], self.paths.model, self.paths.checkpoints, self.paths.spec.parent):
            folder.mkdir(parents=True)
        self.set_hosts("algo-1")
        self.set_hyperparameters({})

    def set_hosts(self, *hosts: str) -> None:
        self.paths.resource_config.parent.mkdir(parents=True, exist_ok=True)
        config = {"current_host": hosts[0], "hosts": list(hosts), "network_interface_name": "eth0"}
        self.paths.resource_config.write_text(json.dumps(config))

    def set_hyperparameters(self, values: Mapping[str, str]) -> None:
        self.paths.hyperparameters.write_text(json.dumps(values))

    def add_object(
        self, key: str, table: pa.Table | pd.DataFrame | bytes, channel: str = "train", **options: Any
    ) -> Path:
        path = self.folders[channel] / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(table, bytes):
            path.write_bytes(table)
        elif isinstance(table, pd.DataFrame):
            table.to_parquet(path, **options)
        else:
            pq.write_table(table, path, **options)
        self.objects[channel].append(PinnedObject(key, path.stat().st_size, f"etag-of-{key}"))
        return path

    def add_code(self, files: Mapping[str, str]) -> None:
        self.paths.source.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self.paths.source, "w:gz") as tar:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
        if self._fields:
            self.write_spec(**self._fields)

    def write_spec(self, **fields: Any) -> TrainingSpec:
        """Write a spec with these fields; for a script, with the digest of its archive."""
        self._fields = fields
        defaults: dict[str, Any] = {
            "execution_id": "execution-1",
            "job_id": "late",
            "model_id": "late",
            "version": "v2",
            "dataset": "flights",
            "trainer": "xgboost",
            "label": "late",
            "features": NUMBERS,
            "task": "binary",
            "method": "predict",
            "format": "xgboost-ubj",
            "model_file": "model.ubj",
            "objects": tuple(self.objects["train"]),
            "validation_objects": tuple(self.objects["validation"]),
            "validation_dataset": "flights-held-out",
            "metric": "auc",
        }
        if fields.get("trainer") == "script":
            code = self.paths.source.read_bytes() if self.paths.source.exists() else b""
            defaults["code_sha256"] = hashlib.sha256(code).hexdigest()
        spec = TrainingSpec(**{**defaults, **fields})
        self.paths.spec.write_text(dumps(spec), encoding="utf-8")
        return spec

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a training in a process that loads everything itself."""
        return subprocess.Popen(
            [*self.command_prefix, sys.executable, "-m", "launcher", "train", *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def signalled(self, number: signal.Signals, iteration: int) -> int:
        """Train, send a signal in the given round, counted from 0, and return the exit code."""
        code = _SIGNALLED.format(iteration=iteration, number=int(number))
        return run_warm(code, self.environment(), _LIBRARIES).returncode

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        if self.command_prefix:
            with self.start(*arguments) as process:
                out, err = process.communicate(timeout=DEADLINE_SECONDS)
            return subprocess.CompletedProcess(process.args, process.returncode, out, err)
        return run_warm(_TRAINED.format(arguments=list(arguments)), self.environment(), _LIBRARIES)

    def train(self, *arguments: str) -> TrainingReport:
        """Run a training that must succeed, and return its report."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, f"{self.failure}\n{ended.stderr}"
        assert not self.paths.failure.exists()
        assert not (self.paths.output / ".unfinished").exists()
        return self.report

    def refused(self) -> str:
        """Run a training that must fail without a report, and return its failure text."""
        ended = self.run()
        assert ended.returncode == 1, ended.stderr
        assert not self.paths.report.exists()
        return self.failure

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(REPOSITORY / "inference_container"), str(REPOSITORY)])
        return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", ML_ROOT: str(self.paths.root)}

    @property
    def report(self) -> TrainingReport:
        return loads(TrainingReport, self.paths.report.read_bytes())

    @property
    def failure(self) -> str:
        return self.paths.failure.read_text(encoding="utf-8") if self.paths.failure.exists() else ""

    @property
    def model(self) -> bytes:
        return (self.paths.model / self.report.model_file).read_bytes()


def wait_for(process: subprocess.Popen[str], word: str, times: int = 1) -> list[str]:
    """Read a training's log until an event of that name has come `times` times."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        times -= f'"event": "{word}"' in line
        if not times:
            return lines
    raise AssertionError(f"the training ended before {word}: {''.join(lines)}")


def numbers_frame(rows: int, seed: int) -> pd.DataFrame:
    """Rows with features a, b and c, and targets of two classes, three classes, and a number."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({name: random.normal(size=rows) for name in ("a", "b", "c")})
    frame.loc[random.random(rows) < 0.1, "b"] = np.nan
    signal = frame["a"] + np.nan_to_num(frame["b"]) * frame["c"] + random.normal(0, 0.3, rows)
    frame["two"] = (signal > 0).astype("int64")
    frame["three"] = np.digitize(signal, [-0.5, 0.5]).astype("int64")
    frame["value"] = signal
    frame["word"] = frame["three"].map({0: "low", 1: "mid", 2: "high"})
    return frame


def doubles(names: Sequence[str] = ("a", "b", "c")) -> tuple[Feature, ...]:
    return tuple(Feature(name, "double") for name in names)


SCRIPT: dict[str, Any] = {
    "trainer": "script",
    "format": "sklearn-joblib",
    "model_file": "model.joblib",
    "label": "two",
    "features": doubles(),
    "hyperparameters": {"sagemaker_program": "train.py"},
}
"""Fields of the spec of a training by the script `train.py`, for rows of `numbers_frame`."""
