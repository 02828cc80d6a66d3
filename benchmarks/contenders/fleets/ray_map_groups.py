"""Ray Data's `map_groups`: rows are shuffled by route, and tasks score a route at once.

Tuned: as `ray_data`; the shuffle is by hash, into four partitions per core; workers keep the models
they loaded. Ready when the cluster has started.
"""

import pyarrow as pa
import ray

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import FLEET_OUTPUT, arguments, cores, features_of, objects_of
from benchmarks.contenders.fleets import load_model
from benchmarks.contenders.ray_data import start_cluster


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    folder = str(root)

    def score(rows: pa.Table) -> pa.Table:
        model = load_model(folder, rows["route"][0].as_py())
        return rows.append_column("prediction", pa.array(model.predict(rows.select(features).to_pandas())))

    start_cluster()
    mark_ready()
    data = ray.data.read_parquet(objects_of(root), override_num_blocks=4 * cores())
    scored = data.groupby("route", num_partitions=4 * cores()).map_groups(score, batch_format="pyarrow")
    scored.write_parquet(str(output / FLEET_OUTPUT))
    ray.shutdown()


if __name__ == "__main__":
    main()
