"""One job per model: a process reads all objects, keeps the rows of its route, and scores them.

Tuned: the filter runs while the objects are read, so that only the rows of one route are in memory.
The time that an account takes to start an instance for each job is not counted.
"""

import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.contenders import FLEET_OUTPUT, arguments, features_of, objects_of
from benchmarks.contenders.fleets import load_model


def main() -> None:
    root, output = arguments()
    (output / FLEET_OUTPUT).mkdir()
    for folder in sorted((root / "trained").iterdir()):
        arguments_of_job = f"{str(root)!r}, {str(output)!r}, {folder.name!r}"
        code = f"from benchmarks.contenders.fleets.filtering_jobs import score; score({arguments_of_job})"
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own interpreter and module


def score(root: str, output: str, route: str) -> None:
    """Run the job of one model."""
    model, data = load_model(root, route), ds.dataset(objects_of(Path(root)), format="parquet")
    rows = data.to_table(filter=ds.field("route") == route)
    if rows.num_rows:
        predictions = model.predict(rows.select(features_of(Path(root))).to_pandas())
        pq.write_table(rows.append_column("prediction", [predictions]), f"{output}/{FLEET_OUTPUT}/{route}.parquet")


if __name__ == "__main__":
    main()
