"""Daft: worker processes keep the model and score batches of Parquet objects, to Parquet.

Tuned: Daft's own runner on all cores; one worker process per core with one library thread, because
threads would wait for each other; batches of at most 65,536 rows; no progress bar, no usage report.
Daft has no cluster to start: ready when it is imported. Its workers start with the first rows.
"""

from pathlib import Path
from typing import Any

import daft
import joblib
import pandas as pd

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, cores, features_of, model_folders, objects_of


@daft.cls(use_process=True, max_concurrency=cores())
class Predictor:
    """A worker with a loaded model."""

    def __init__(self, folder: Path, features: list[str]) -> None:
        self._model = joblib.load(folder / "model.joblib")
        self._features = features

    @daft.method.batch(return_dtype=daft.DataType.int64(), batch_size=65_536)  # type: ignore[untyped-decorator]
    def predict(self, *columns: Any) -> Any:
        arrays = {name: column.to_arrow().to_numpy() for name, column in zip(self._features, columns, strict=True)}
        return self._model.predict(pd.DataFrame(arrays, copy=False))


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    daft.set_runner_native()
    mark_ready()
    for folder in model_folders(root):
        data = daft.read_parquet(objects_of(root))
        prediction = Predictor(folder, features).predict(*(data[name] for name in features))
        data.with_column("prediction", prediction).write_parquet(str(output / folder.name))


if __name__ == "__main__":
    main()
