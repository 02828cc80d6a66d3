"""pandas `groupby.apply`: one process reads all objects, and scores the rows of each route at once.

Tuned: the function gets the features only, not all columns; each model is loaded once, and scores
all of its rows in one call. A process per object would call each model once per object instead.
Library threads are not limited. Ready when the libraries are loaded.
"""

import pandas as pd

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import FLEET_OUTPUT, arguments, features_of, objects_of
from benchmarks.contenders.fleets import load_model


def main() -> None:
    root, output = arguments()
    features = features_of(root)

    def score(rows: pd.DataFrame) -> pd.Series:
        return pd.Series(load_model(str(root), rows.name).predict(rows), index=rows.index)

    mark_ready()
    frame = pd.read_parquet(objects_of(root))
    frame["prediction"] = frame.groupby("route", sort=False, group_keys=False)[features].apply(score)
    (output / FLEET_OUTPUT).mkdir()
    frame.to_parquet(output / FLEET_OUTPUT / "part-00000.parquet")


if __name__ == "__main__":
    main()
