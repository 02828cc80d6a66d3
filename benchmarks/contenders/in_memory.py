"""Decoding and predicting in memory: read the needed columns, then predict on arrays, on all cores.

No output is written, no model is checked, no row is accounted for. Loading libraries and models
counts as start-up. Several models predict one after the other over the same arrays. Predictions are
kept for the comparison.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, cores, features_of, model_folders, objects_of

BATCH_ROWS = 65_536


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    models = [_native(joblib.load(folder / "model.joblib")) for folder in model_folders(root)]
    output.mkdir(parents=True, exist_ok=True)
    mark_ready()
    began = time.monotonic()
    arrays = [_matrix(path, features) for path in objects_of(root)]
    decoded = time.monotonic()
    blocks = [array[at : at + BATCH_ROWS] for array in arrays for at in range(0, len(array), BATCH_ROWS)]
    with ThreadPoolExecutor(cores()) as pool:
        results = [list(pool.map(model, blocks)) for model in models]
    ended = time.monotonic()
    for folder, parts in zip(model_folders(root), results, strict=True):
        np.save(output / f"{folder.name}.npy", np.concatenate(parts))
    seconds = {"decode": decoded - began, "predict": ended - decoded}
    Path(output / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


def _matrix(path: str, features: list[str]) -> Any:
    table = pq.read_table(path, columns=features)
    block = np.empty((table.num_rows, len(features)))
    for index, name in enumerate(features):
        block[:, index] = table.column(name).to_numpy()
    return block


def _native(model: Any) -> Callable[[Any], Any]:
    """Return the cheapest function that gives the same labels as `predict`."""
    if type(model).__module__.startswith("xgboost"):
        booster = model.get_booster()
        booster.set_param({"nthread": 1})
        return lambda block: (booster.inplace_predict(block.astype(np.float32)) > 0.5).astype(np.int64)
    if type(model).__module__.startswith("lightgbm"):
        return lambda block: (model.booster_.predict(block, num_threads=1) > 0.5).astype(np.int64)
    return lambda block: model.predict(block)  # noqa: PLW0108 - the lambda has the declared type


if __name__ == "__main__":
    pa.set_cpu_count(cores())
    main()
