"""One core budget for all workers, their threads and the threads of libraries."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pyarrow as pa
import pytest
import threadpoolctl
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder, cloudpickle_saver, doubles


class Spy:
    """Records how many threads predict at the same time, and the libraries' pool sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, matrix: Any) -> Any:
        if len(matrix) == 1:
            # The made-up row that tells the number of prediction columns, while the model is loaded.
            return matrix
        me = self.folder / f"busy-{os.getpid()}-{threading.get_ident()}"
        me.touch()
        # Takes long enough for other threads to start, if they were allowed to.
        np.linalg.svd(np.ones((150, 150)))
        seen = {
            "busy": len(list(self.folder.glob("busy-*"))),
            "pools": sorted({pool["num_threads"] for pool in threadpoolctl.threadpool_info()}),
            "arrow": pa.cpu_count(),
            "process": os.getpid(),
        }
        (self.folder / f"seen-{os.getpid()}-{time.monotonic_ns()}-{threading.get_ident()}").write_text(json.dumps(seen))
        me.unlink()
        return matrix


def run_with_spy(job: JobFolder, *arguments: str) -> list[dict[str, Any]]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    folder = job.paths.root / "spy"
    folder.mkdir()
    data = make_flights(50, 0)[["flight_id"]].to_numpy().astype(float)
    # Built of scikit-learn's own steps, which may predict concurrently.
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(data, data[:, 0])
    model.steps[0][1].func = Spy(folder)
    job.add_model("spy", cloudpickle_saver(model), features=doubles("flight_id"))
    job.write_spec(batch_rows=100)
    # A worker's own start sets the libraries' threads.
    job.cold = True
    job.score(*arguments)
    return [json.loads(path.read_text()) for path in folder.glob("seen-*")]


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        # Small objects, which are queued in busy workers, follow the large ones.
        (("--cores", "2"), [2_000] + [100] * 20),
        (("--cores", "3", "--workers", "2"), [2_000, 1_000, 400] + [100] * 20),
        (("--cores", "1"), [1_000, 500]),
    ],
)
def test_concurrent_predictions_stay_within_the_core_budget(
    job: JobFolder, arguments: tuple[str, ...], rows: list[int]
) -> None:
    cores = int(arguments[1])
    for seed, count in enumerate(rows):
        job.add_object(f"{seed}.parquet", make_flights(count, seed), row_group_size=100)

    seen = run_with_spy(job, *arguments)

    assert len(seen) == sum(rows) // 100
    assert max(call["busy"] for call in seen) <= cores
    assert {threads for call in seen for threads in call["pools"]} <= {1}
    assert max(call["arrow"] for call in seen) <= cores
    if "--workers" not in arguments:
        # One worker per two cores is enough where threads help.
        assert len({call["process"] for call in seen}) == 1


def test_core_budget_of_the_container_is_the_default(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """See test_cores for how the budget is read."""
    from scoring import __main__ as entry  # noqa: PLC0415

    asked: list[int] = []
    monkeypatch.setattr(sys, "argv", ["scoring"])
    monkeypatch.setattr(entry, "core_budget", lambda: 3)
    monkeypatch.setattr(entry, "run", lambda paths, cores, workers: asked.append(cores) or 0)
    assert entry.main() == 0
    assert asked == [3]
