"""PySpark's `mapInPandas`: Python workers load the model per task and score Arrow batches.

Tuned: local mode on all cores; batches of 65,536 rows; no UI, no adaptive re-planning; 4 GB for the
JVM; one library thread per worker. Ready when the session has started. Needs Java 17 or newer.
"""

from collections.abc import Iterator
from pathlib import Path

import joblib
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType, StructType

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, cores, features_of, model_folders, objects_of


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    session = start_session(output, {})
    mark_ready()
    for folder in model_folders(root):
        data = session.read.parquet(*objects_of(root))
        schema = StructType([*data.schema.fields]).add("prediction", LongType())
        scored = data.mapInPandas(_scorer(folder, features), schema)
        scored.write.parquet(str(output / folder.name))
    session.stop()


def start_session(output: Path, more: dict[str, str]) -> SparkSession:
    """Return a session with the tuned settings and `more`."""
    settings = {
        "spark.driver.memory": "4g",
        "spark.ui.enabled": "false",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
        "spark.sql.parquet.compression.codec": "snappy",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(output / "spark"),
        **more,
    }
    builder = SparkSession.builder.master(f"local[{cores()}]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _scorer(folder: Path, features: list[str]) -> object:
    def score(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = joblib.load(folder / "model.joblib")
        for frame in frames:
            yield frame.assign(prediction=model.predict(frame[features]))

    return score


if __name__ == "__main__":
    main()
