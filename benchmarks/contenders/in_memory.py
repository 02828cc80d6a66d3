"""Decoding and predicting in memory: read the needed columns, then predict on arrays, on all cores.

No output is written, no model is checked, no row is accounted for. Each thread decodes a row group
and predicts it with every model, in batches of 65,536 rows. Predictions are kept for the
comparison.

Tuned: one thread per core, with one library thread each. PyArrow, NumPy and all models of the
benchmarks work most of the time without Python's lock: spawned processes were not faster with a
light model on small objects, nor with a neural network (tried on a busy machine), and each would
load the libraries again. Fewer row groups than cores are decoded by all cores together, one column
each. Ready when the models are loaded.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow.parquet as pq

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, cores, features_of, model_folders, objects_of

BATCH_ROWS = 65_536
Group = tuple[str, int]
"""An object and the number of one of its row groups."""


class Scorer:
    """The models of a job, and the columns that they read."""

    def __init__(self, root: Path) -> None:
        self.features = features_of(root)
        models = [joblib.load(folder / "model.joblib") for folder in model_folders(root)]
        self.models = [_native(model) for model in models]

    def decode(self, group: Group, *, use_threads: bool = False) -> Any:
        path, number = group
        with pq.ParquetFile(path) as file:
            table = file.read_row_group(number, columns=self.features, use_threads=use_threads)
        matrix = np.empty((table.num_rows, len(self.features)))
        for index, name in enumerate(self.features):
            matrix[:, index] = table.column(name).to_numpy()
        return matrix

    def predict(self, batch: Any) -> list[Any]:
        return [model(batch) for model in self.models]

    def score(self, group: Group) -> list[Any]:
        """Return the predictions of each model."""
        return _joined([self.predict(batch) for batch in _batches(self.decode(group))])


def main() -> None:
    root, output = arguments()
    scorer = Scorer(root)
    groups = [(path, number) for path in objects_of(root) for number in range(pq.read_metadata(path).num_row_groups)]
    mark_ready()
    with ThreadPoolExecutor(cores()) as pool:
        if len(groups) < cores():
            batches = [batch for group in groups for batch in _batches(scorer.decode(group, use_threads=True))]
            parts = list(pool.map(scorer.predict, batches))
        else:
            parts = list(pool.map(scorer.score, groups))
    for folder, predictions in zip(model_folders(root), _joined(parts), strict=True):
        np.save(output / f"{folder.name}.npy", predictions)


def _batches(matrix: Any) -> list[Any]:
    return [matrix[at : at + BATCH_ROWS] for at in range(0, len(matrix), BATCH_ROWS)]


def _joined(parts: Sequence[list[Any]]) -> list[Any]:
    return [np.concatenate(predictions) for predictions in zip(*parts, strict=True)]


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
    main()
