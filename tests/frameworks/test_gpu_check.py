"""`make gpu-check` runs on a machine without a GPU too, and says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_check_runs_on_the_cpu_and_halves_batches_when_memory_runs_out(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--only", "torchscript", "catboost-cbm", "--out", str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert ended.stdout.startswith("NO GPU: everything ran on the CPU")
    found = json.loads((tmp_path / "gpu.json").read_text())
    parts = {(part["format"], part["part"]): part for part in found["parts"]}
    assert {key: part["status"] for key, part in parts.items()} == {
        ("torchscript", "predictions"): "skipped",
        ("torchscript", "out of memory"): "passed",
        ("torchscript", "job"): "passed",
        ("torchscript", "two workers"): "skipped",
        ("catboost-cbm", "predictions"): "skipped",
    }
    assert "catboost is not installed" in parts["catboost-cbm", "predictions"]["reason"]
    memory = parts["torchscript", "out of memory"]["found"]
    assert memory["smallest_batch"] < memory["batch_rows"] == 16_384
    assert memory["largest_difference"] < 1e-5
    assert "| torchscript | cpu |" in (tmp_path / "gpu.md").read_text()
