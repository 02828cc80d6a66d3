"""PySpark's `applyInPandas`: rows are shuffled by route, and Python workers score a route at once.

Tuned: as `spark`, with four partitions per core for the shuffle instead of 200; workers are reused
and keep the models they loaded. Ready when the session has started. Needs Java 17 or newer.
"""

import pandas as pd
from pyspark.sql.types import LongType, StructType

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import FLEET_OUTPUT, arguments, cores, features_of, objects_of
from benchmarks.contenders.fleets import load_model
from benchmarks.contenders.spark import start_session


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    folder = str(root)

    def score(route: tuple[str], rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(prediction=load_model(folder, route[0]).predict(rows[features]))

    session = start_session(output, {"spark.sql.shuffle.partitions": str(4 * cores())})
    mark_ready()
    data = session.read.parquet(*objects_of(root))
    schema = StructType([*data.schema.fields]).add("prediction", LongType())
    data.groupBy("route").applyInPandas(score, schema).write.parquet(str(output / FLEET_OUTPUT))
    session.stop()


if __name__ == "__main__":
    main()
