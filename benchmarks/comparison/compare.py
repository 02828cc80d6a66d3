"""Run contenders in turn over a workload, compare their predictions, and compute paired ratios."""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from benchmarks.comparison.measure import Usage, measure
from benchmarks.contenders.fleetscore import REPOSITORY
from benchmarks.contenders.fleetscore import outputs as fleetscore_outputs
from benchmarks.contenders.fleetscore_joined import column_of
from benchmarks.contenders.fleetscore_joined import outputs as joined_outputs
from benchmarks.workloads.workload import Prepared, Workload, prepare

# Variables that select library kernels or threads. Contenders use the library's own choice.
# All contenders may use compiled bytecode, as in an image.
_NOT_INHERITED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONDONTWRITEBYTECODE",
)

_ONE_LIBRARY_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_RAY = {**_ONE_LIBRARY_THREAD, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
_SPARK = {**_ONE_LIBRARY_THREAD, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
_ENVIRONMENT = {
    # Batches in parallel with one thread per call are faster than one call with all threads.
    "in_memory": _ONE_LIBRARY_THREAD,
    "daft_frame": {
        **_ONE_LIBRARY_THREAD,
        "DO_NOT_TRACK": "true",
        "DAFT_ANALYTICS_ENABLED": "0",
        "DAFT_PROGRESS_BAR": "0",
    },
    "dask_frame": _ONE_LIBRARY_THREAD,
    "polars_threads": _ONE_LIBRARY_THREAD,
    "ray_data": _RAY,
    "spark": _SPARK,
    "fleets.ray_map_groups": _RAY,
    "fleets.spark_apply": _SPARK,
}
"""Tuning variables per contender. The article's loop, pandas and Fleetscore get none."""


class DifferentAnswersError(AssertionError):
    """Contenders gave different predictions, so their times are not comparable."""


@dataclass
class Cell:
    """The measurements of one workload."""

    workload: Workload
    usages: dict[str, list[Usage]] = field(default_factory=dict)

    def ratio(self, of: str, to: str, what: str) -> tuple[float, float, float]:
        """Return median, minimum and maximum of the paired ratios `of / to`."""
        pairs = zip(self.usages[of], self.usages[to], strict=True)
        ratios = [getattr(a, what) / max(getattr(b, what), 1e-9) for a, b in pairs]
        return statistics.median(ratios), min(ratios), max(ratios)

    def median(self, name: str, what: str) -> float:
        return float(statistics.median(getattr(usage, what) for usage in self.usages[name]))


def compare(workload: Workload, contenders: Sequence[str], *, repetitions: int, cache: Path) -> Cell:
    """Run every contender once per repetition and return the measurements.

    The order rotates, so that a slow minute affects all contenders alike.

    Raises DifferentAnswersError, and RuntimeError when a contender fails.
    """
    prepared = prepare(workload, cache)
    cell = Cell(workload)
    answers: dict[str, list[Any]] = {}
    _warm_page_cache(prepared)
    outputs = cache / "outputs" / f"{workload.name}-{time.time_ns()}"
    outputs.mkdir(parents=True)
    for repetition in range(repetitions):
        order = list(contenders[repetition % len(contenders) :]) + list(contenders[: repetition % len(contenders)])
        for name in order:
            output = outputs / f"{repetition}-{name}"
            output.mkdir()
            usage = _run(name, prepared, output, cache)
            cell.usages.setdefault(name, []).append(usage)
            if repetition == 0:
                answers[name] = [_answer(name, output, table, prepared) for table in prepared.tables]
            _empty(output)
    _compare_answers(workload, answers)
    return cell


def _empty(folder: Path) -> None:
    """Free the disk space of all files without deleting a file.

    ext4 without a journal does not reuse an inode for minutes, and inspects all deleted ones for
    each new file: a millisecond each after some hundred deletions. That would slow down the
    contenders that follow.
    """
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if path.is_file() and not path.is_symlink():
                os.truncate(path, 0)


def _run(name: str, prepared: Prepared, output: Path, cache: Path) -> Usage:
    environment = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "inference_container")])
    environment |= _ENVIRONMENT.get(name, {})
    log = cache / f"{name}.log"
    command = [sys.executable, "-m", f"benchmarks.contenders.{name}", str(prepared.root), str(output)]
    usage = measure(command, environment, cache / "measuring" / name, log)
    if usage.exit_code:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise RuntimeError(f"{name} failed with exit status {usage.exit_code} on {prepared.workload.name}:\n{tail}")
    return usage


def _answer(name: str, output: Path, model: str, prepared: Prepared) -> Any:
    """Return the predictions of a model or fleet by `row_id`, and the sum of a column that no model reads."""
    if name == "in_memory":
        return np.load(output / f"{model}.npy")
    column = "prediction"
    if name == "fleetscore_joined":
        folder, column = joined_outputs(output), column_of(model)
    elif name in ("fleetscore", "passes"):
        folder = fleetscore_outputs(output / model if name == "passes" else output, model)
    else:
        folder = output / model
    files = sorted(str(path) for path in folder.rglob("*.parquet") if not path.name.startswith(("_", ".")))
    table = ds.dataset(files, format="parquet").to_table(columns=["row_id", "amount", column])
    # Fleetscore keeps the text of columns that no model reads, so cast them.
    ids = table["row_id"].cast(pa.int64()).to_numpy()
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], np.arange(prepared.workload.total_rows)):
        raise DifferentAnswersError(f"{name} on {prepared.workload.name}: rows were lost or doubled")
    amount = table["amount"].cast(pa.float64()).to_numpy()[order]
    return table[column].cast(pa.int64()).to_numpy()[order], float(amount.sum())


def _compare_answers(workload: Workload, answers: dict[str, list[Any]]) -> None:
    reference = answers.get("article") or next(iter(answers.values()))
    for name, found in answers.items():
        for index, (ours, theirs) in enumerate(zip(found, reference, strict=True)):
            labels = ours[0] if isinstance(ours, tuple) else ours
            expected = theirs[0] if isinstance(theirs, tuple) else theirs
            if not np.array_equal(labels, expected):
                count = int((labels != expected).sum()) if len(labels) == len(expected) else -1
                raise DifferentAnswersError(f"{name} on {workload.name}, model {index}: {count} predictions differ")
            if isinstance(ours, tuple) and isinstance(theirs, tuple) and not np.isclose(ours[1], theirs[1]):
                raise DifferentAnswersError(f"{name} on {workload.name}: a column that no model reads has changed")


def _warm_page_cache(prepared: Prepared) -> None:
    for path in prepared.objects:
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def save(cells: Sequence[Cell], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [
        {
            "workload": asdict(cell.workload) | {"rows": [len(cell.workload.rows), cell.workload.total_rows]},
            "usages": {name: [asdict(usage) for usage in usages] for name, usages in cell.usages.items()},
        }
        for cell in cells
    ]
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
