"""Ray Data: actors keep the model and score batches of Parquet objects, to Parquet.

Tuned: one actor per core with one library thread; one more slot for reading and writing, without
which the actors starve the readers and the run never ends; batches of 65,536 rows as Arrow tables;
at least four blocks per core; no dashboard, no usage report. Ready when the cluster has started.
"""

from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import ray

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, cores, features_of, model_folders, objects_of


class Predictor:
    """An actor with a loaded model."""

    def __init__(self, folder: Path, features: list[str]) -> None:
        self._model = joblib.load(folder / "model.joblib")
        self._features = features

    def __call__(self, batch: pa.Table) -> pa.Table:
        frame = batch.select(self._features).to_pandas()
        return batch.append_column("prediction", pa.array(self._model.predict(frame)))


def main() -> None:
    root, output = arguments()
    start_cluster()
    mark_ready()
    for folder in model_folders(root):
        options: dict[str, Any] = {"fn_constructor_args": (folder, features_of(root)), "batch_format": "pyarrow"}
        data = ray.data.read_parquet(objects_of(root), override_num_blocks=4 * cores())
        scored = data.map_batches(Predictor, batch_size=65_536, concurrency=cores(), **options)
        scored.write_parquet(str(output / folder.name))
    ray.shutdown()


def start_cluster() -> None:
    ray.init(num_cpus=cores() + 1, include_dashboard=False, object_store_memory=2 * 2**30, log_to_driver=False)


if __name__ == "__main__":
    main()
