"""Dask DataFrame: worker processes keep the model and score one partition per row group.

Tuned: one worker process per core, with one thread and one library thread; partitions by row group;
the model is loaded once per worker; no dashboard. Ready when the workers have started.
"""

import functools
from typing import Any

import dask.dataframe as dd
import joblib
import pandas as pd
from distributed import Client, LocalCluster

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, cores, features_of, model_folders, objects_of


@functools.cache
def load(path: str) -> Any:
    return joblib.load(path)


def score(frame: pd.DataFrame, path: str, features: list[str]) -> pd.DataFrame:
    return frame.assign(prediction=load(path).predict(frame[features]))


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    with (
        LocalCluster(n_workers=cores(), threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(cores())
        mark_ready()
        for folder in model_folders(root):
            data = dd.read_parquet(objects_of(root), split_row_groups=True)
            meta = data._meta.assign(prediction=pd.Series(dtype="int64"))  # noqa: SLF001 - Dask documents no public equivalent
            scored = data.map_partitions(score, str(folder / "model.joblib"), features, meta=meta)
            scored.to_parquet(str(output / folder.name), write_index=False)


if __name__ == "__main__":
    main()
