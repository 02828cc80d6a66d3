"""Polars and a thread pool: read an object, predict, write Parquet; one task per object.

Tuned: one task per core at a time; the model is loaded once and shared, with one library thread per
call; a second pool predicts the batches of 65,536 rows of an object, so that one big object keeps
all cores busy; Polars reads and writes with all cores, compressed like the others. Ready when the
libraries and the first model are loaded.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, cores, features_of, model_folders, objects_of

BATCH_ROWS = 65_536


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    models = {folder.name: joblib.load(folder / "model.joblib") for folder in model_folders(root)}
    with ThreadPoolExecutor(cores()) as objects, ThreadPoolExecutor(cores()) as batches:

        def score(path: str, model: Any, target: Path) -> None:
            frame = pl.read_parquet(path)
            slices = frame.select(features).iter_slices(BATCH_ROWS)
            predictions = np.concatenate(list(batches.map(model.predict, slices)))
            scored = frame.with_columns(prediction=predictions)
            scored.write_parquet(target / Path(path).name, compression="snappy")

        mark_ready()
        for name, model in models.items():
            target = output / name
            target.mkdir()
            tasks = [objects.submit(score, path, model, target) for path in objects_of(root)]
            for task in tasks:
                task.result()


if __name__ == "__main__":
    main()
