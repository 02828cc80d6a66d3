"""A model that waits in `predict` until a given number of processes predict at the same time."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle

from tests.unit.scoring.support.job_folder import DEADLINE_SECONDS, JobFolder, cloudpickle_saver, doubles


class BarrierModel:
    """Predicts the first feature, or the id of its process if `predicts_process_id`."""

    def __init__(self, folder: Path, processes: int, *, predicts_process_id: bool) -> None:
        self._folder = folder
        self._processes = processes
        self._predicts_process_id = predicts_process_id

    def predict(self, matrix: Any) -> Any:
        (self._folder / str(os.getpid())).touch()
        deadline = time.monotonic() + DEADLINE_SECONDS / 2
        while len(list(self._folder.iterdir())) < self._processes:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {self._processes} processes predicted")
            time.sleep(0.01)
        return matrix[:, 0] * 0 + os.getpid() if self._predicts_process_id else matrix[:, 0]


def add_barrier_model(job: JobFolder, processes: int, *, predicts_process_id: bool = False) -> Path:
    """Add the model `barrier` and return the folder where each predicting process leaves a file."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    folder = job.paths.root / "barrier"
    folder.mkdir()
    model = BarrierModel(folder, processes, predicts_process_id=predicts_process_id)
    job.add_model("barrier", cloudpickle_saver(model), features=doubles("flight_id"))
    return folder
