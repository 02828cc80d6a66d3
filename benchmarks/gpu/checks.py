"""The parts of the check, for one format."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.jobs import JobResult, run_job, spec_of, write_data, write_job
from benchmarks.gpu.memory import DeviceMemory, PeakMemory
from benchmarks.gpu.models import MISSING, Format
from benchmarks.gpu.results import Part, Results, Status, difference
from contract.codec import dumps

_LEAST_CONTEXT_BYTES = 64 << 20
"""Less GPU memory than any process with a CUDA context takes."""
_HALVED = re.compile(r"out of memory with batches of ([\d,]+) rows: continuing with ([\d,]+)")
NO_GPU = "there is no GPU; this ran on the CPU only"
_REFERENCE_ROWS = 1_024
"""Rows per batch of the wide network on the CPU."""


class PartFailedError(Exception):
    """A part of the check failed; the text says why."""


@dataclass(frozen=True)
class Sizes:
    """How much to score. `tight` is for the parts with little memory."""

    rows: int
    objects: int
    batch_rows: int
    width: int
    trees: int
    tight_width: int
    tight_rows: int
    tight_bytes: int
    tight_tree_rows: int = 2_000_000
    tight_tree_bytes: int = 64 << 20
    shared_bytes: int = 3 << 30
    """Memory that two workers share, with a CUDA context each."""


def sizes_for(*, gpu: bool) -> Sizes:
    """Return sizes that take a GPU, or a core without one, a few seconds per part."""
    if gpu:
        return Sizes(1_000_000, 8, 65_536, 4_096, 300, 16_384, 65_536, 1 << 30)
    return Sizes(20_000, 4, 8_192, 64, 20, 2_048, 16_384, 96 << 20)


@dataclass(frozen=True)
class Machine:
    """Where and how the parts run."""

    folder: Path
    environment: Mapping[str, str]
    devices: int
    """GPUs that the container finds; 0 without any."""
    deadline: float
    sizes: Sizes

    @property
    def cpu_environment(self) -> Mapping[str, str]:
        return {**self.environment, "CUDA_VISIBLE_DEVICES": "-1"}

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


class FormatCheck:
    """Runs all parts for one format and adds them to the results."""

    def __init__(self, item: Format, machine: Machine, results: Results) -> None:
        self._item = item
        self._machine = machine
        self._results = results
        self._sizes = machine.sizes
        self._folder = machine.folder / item.name
        self._trees = item.library in ("XGBoost", "LightGBM", "CatBoost")
        self._on_gpu = False
        self._predictions: Any = None
        """Of the rows of the jobs, on the CPU."""
        self._tight_predictions: Any = None

    def run(self) -> None:
        self._folder.mkdir()
        self._folder.chmod(0o755)
        self._part("predictions", self._check_predictions)
        if self._predictions is not None:
            self._part("out of memory", self._check_out_of_memory)
            self._part("job", self._check_job)
            self._part("two workers", self._check_workers)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _part(self, name: str, check: Callable[[], tuple[Status, str, dict[str, Any]]]) -> None:
        """Run a part and add its result."""
        status: Status
        found: dict[str, Any] = {}
        started = time.monotonic()
        if self._machine.seconds_left <= 0:
            status, reason = "failed", "there was no time left for it: run it with --only"
        else:
            try:
                status, reason, found = check()
            except PartFailedError as error:
                status, reason = "failed", str(error)
            except subprocess.TimeoutExpired:
                status, reason = "failed", "it had not ended when the time was over"
        found = {**found, "part_seconds": round(time.monotonic() - started, 1)} if found else {}
        self._results.add(Part(self._item.name, name, status, reason, found))

    # The parts.

    def _check_predictions(self) -> tuple[Status, str, dict[str, Any]]:
        if missing := self._make_models():
            return "skipped", missing, {}
        sizes = ["--rows", str(self._sizes.rows), "--batch-rows", str(self._sizes.batch_rows)]
        self._predictions, cpu, _ = self._predict("model", self._machine.cpu_environment, "cpu", *sizes)
        if not self._machine.devices:
            return "skipped", NO_GPU, {**cpu, "cpu_rows_per_second": cpu["rows_per_second"]}
        values, found, _ = self._predict("model", self._machine.environment, "found", *sizes)
        self._on_gpu = found["device"] == "gpu"
        found["cpu_rows_per_second"] = cpu["rows_per_second"]
        found["tolerance"] = {"relative": self._item.relative, "absolute": self._item.absolute}
        found["largest_difference"] = self._compare(values, self._predictions)
        if found["broken"]:
            return "failed", found["reason"], found
        return "passed" if self._on_gpu or not self._item.uses_gpu else "skipped", found["reason"], found

    def _check_out_of_memory(self) -> tuple[Status, str, dict[str, Any]]:
        if self._trees and not self._on_gpu:
            return "skipped", "trees on the CPU need no memory per row", {}
        if not self._on_gpu and self._item.library != "PyTorch":
            return "skipped", "on the CPU only PyTorch reports that memory ran out instead of ending the process", {}
        rows, leave, model = self._sizes.tight_rows, self._sizes.tight_bytes, "wide"
        if self._trees:
            rows, leave, model = self._sizes.tight_tree_rows, self._sizes.tight_tree_bytes, "model"
        sizes = ["--seed", "1", "--rows", str(rows), "--batch-rows"]
        reference, _, _ = self._predict(model, self._machine.cpu_environment, "cpu", *sizes, str(_REFERENCE_ROWS))
        self._tight_predictions = reference
        values, found, log = self._predict(
            model, self._machine.environment, "found", *sizes, str(rows), "--leave", str(leave)
        )
        halved = _halvings(log)
        found |= {"largest_difference": self._compare(values, reference), "halvings": halved}
        if not halved:
            return "failed", f"a batch of {rows:,} rows fitted into {found['bytes_left']:,} bytes", found
        found |= {"batch_rows": halved[0][0], "smallest_batch": min(after for _, after in halved)}
        return "passed", "" if self._on_gpu else "the memory of a process, not of a GPU", found

    def _check_job(self) -> tuple[Status, str, dict[str, Any]]:
        data = self._machine.folder / "data"
        if not data.exists():
            write_data(data, self._sizes.rows, self._sizes.objects, seed=0)
        with PeakMemory(self._machine.devices) as memory:
            job = self._job("job", "model", data, self._machine.environment)
        found = {
            "rows": self._sizes.rows,
            "seconds": job.seconds,
            "separated_user": job.separated,
            "gpu_peak_bytes": memory.peaks,
            "largest_difference": self._compare(job.predictions, self._predictions),
        }
        if not self._on_gpu:
            return "passed", "on the CPU", found
        if max(memory.peaks) < _LEAST_CONTEXT_BYTES:
            return "failed", "the job's workers did not use the GPU: see the job's log, and device_modes", found
        cpu = self._job("job-cpu", "model", data, self._machine.cpu_environment)
        self._compare(cpu.predictions, self._predictions)
        return "passed", "", {**found, "cpu_seconds": cpu.seconds}

    def _check_workers(self) -> tuple[Status, str, dict[str, Any]]:
        if not self._on_gpu:
            return "skipped", "there is no GPU to share" if not self._machine.devices else "the format uses no GPU", {}
        if self._tight_predictions is None or self._trees:
            return "skipped", "it needs the network that runs out of memory", {}
        data = self._machine.folder / "shared-data"
        if not data.exists():
            write_data(data, self._sizes.tight_rows, self._sizes.objects, seed=1)
        memories = [DeviceMemory(number) for number in range(self._machine.devices)]
        try:
            left = [memory.fill(self._sizes.shared_bytes) for memory in memories]
            with PeakMemory(self._machine.devices) as peak:
                job = self._job("shared", "wide", data, self._machine.environment, "--workers", "2", "--cores", "2")
        finally:
            for memory in memories:
                memory.release()
        found = {
            "bytes_left": left,
            "gpu_peak_bytes": peak.peaks,
            "halvings": _halvings(job.log),
            "largest_difference": self._compare(job.predictions, self._tight_predictions),
        }
        if sum(taken >= _LEAST_CONTEXT_BYTES for taken in peak.peaks) < min(2, self._machine.devices):
            return "failed", "the two workers used one GPU of several", found
        return "passed", "", found

    # What the parts need.

    def _make_models(self) -> str:
        """Write the models' files. Returns why their library cannot be used; empty if it can."""
        models = [f"model={self._sizes.width}", f"wide={self._sizes.tight_width}"]
        if self._trees:
            models = [f"model={self._sizes.trees}"]
        arguments = ["benchmarks.gpu.models", self._item.name, str(self._folder), *models]
        made = self._start(arguments, self._machine.cpu_environment)
        if made.returncode == MISSING:
            return made.stdout.strip()
        if made.returncode:
            raise PartFailedError(f"the model could not be made: {_end(made.stderr)}")
        return ""

    def _predict(
        self, model: str, environment: Mapping[str, str], name: str, *arguments: str
    ) -> tuple[Any, dict[str, Any], str]:
        """Predict in a process of its own. Returns the predictions, what was measured, and the log."""
        spec, out = self._folder / "spec.json", self._folder / f"{model}-{name}"
        spec.write_text(dumps(spec_of(self._item)), encoding="utf-8")
        file = self._folder / model / self._item.file
        ended = self._start(["benchmarks.gpu.predict", str(spec), str(file), str(out), *arguments], environment)
        if ended.returncode:
            raise PartFailedError(f"predicting ended with exit status {ended.returncode}: {_end(ended.stderr)}")
        return np.load(out.with_suffix(".npy")), json.loads(out.with_suffix(".json").read_bytes()), ended.stderr

    def _start(self, arguments: list[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-m", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=max(1.0, self._machine.seconds_left),
            check=False,
        )

    def _job(self, name: str, model: str, data: Path, environment: Mapping[str, str], *arguments: str) -> JobResult:
        root = self._folder / name
        write_job(root, self._item, self._folder / model, data, self._sizes.batch_rows)
        job = run_job(root, environment, max(1.0, self._machine.seconds_left), *arguments)
        if job.exit_status:
            raise PartFailedError(f"the job ended with exit status {job.exit_status}: {_end(job.log)}")
        return job

    def _compare(self, found: Any, expected: Any) -> float:
        result = difference(found, expected, self._item.relative, self._item.absolute)
        if result.problem:
            raise PartFailedError(result.problem)
        return result.largest


def _halvings(log: str) -> list[list[int]]:
    """Return each batch size that ran out of memory, with the one that followed."""
    return [[int(text.replace(",", "")) for text in found] for found in _HALVED.findall(log)]


def _end(text: str) -> str:
    """Return the last lines of a log as one line."""
    return " | ".join(line for line in text.strip().splitlines()[-4:] if line)[-800:]
