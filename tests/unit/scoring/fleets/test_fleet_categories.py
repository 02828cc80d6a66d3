"""Members of a fleet may have different categories, or none."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from contract.job.fleet import FleetSpec
from scoring.columns.features import FeatureBatch
from scoring.models.categories import Categories
from tests.unit.scoring.support.fleets import fleet_in_process
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

_COLOUR = Feature("colour", "string")
_UNKNOWN = "column 'colour' has values that are not among the model's categories, and count as missing"


class _Length(FunctionModel):
    """A model without categories, such as a pipeline of scikit-learn."""

    rows_are_independent = True

    def __init__(self) -> None:
        super().__init__(len)

    def predict(self, batch: FeatureBatch) -> Any:
        return np.ones(batch.rows)


class _Code(_Length):
    """A model that predicts the number of the category, such as trees of LightGBM or XGBoost."""

    def __init__(self, *values: str, refuses: bool) -> None:
        super().__init__()
        self.categories = Categories({"colour": pa.array(values)} if values else {}, refuses)

    def predict(self, batch: FeatureBatch) -> Any:
        if not self.categories:
            return super().predict(batch)
        return np.nan_to_num(self.categories.encode(batch).matrix(np.float64)[:, 0], nan=-1)


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("first", ["without", "empty", "other"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_values_are_compared_with_the_categories_of_their_own_member(
    job: JobFolder, first: str, order: str, refuses: bool
) -> None:
    others = {
        "without": _Length(),
        "empty": _Code(refuses=refuses),
        "other": _Code("red", "green", "blue", refuses=refuses),
    }
    loaded = {"a": others[first], "b": _Code("red", "green", refuses=refuses)}
    ids = ["a", "b"] if order == "first" else ["b", "a"]
    members = {
        model_spec(_COLOUR, model_id=model_id, tolerated_quarantine_fraction=0.5): loaded[model_id] for model_id in ids
    }
    models, setup = fleet_in_process(FleetSpec("paints", "shop", {"A": "a", "B": "b"}), members)
    job.add_object("a.parquet", pa.table({"shop": ["A", "A", "B", "B"], "colour": ["blue", "red", "green", "blue"]}))
    (done,) = score_in_process(job, models, **setup)
    assert done.failures == ()
    (commit,) = job.commits()
    if refuses:
        with pq.ParquetFile(job.paths.quarantine / commit.outputs[1].key) as file:
            (bad,) = file.read().to_pylist()
        assert bad["row"] == 3
        assert bad["reason"].startswith("feature column 'colour' has a value that is not among the categories")
    else:
        assert (commit.rows_scored, commit.counts) == (4, {_UNKNOWN: 1})
