"""Values that are none of a model's categories are bad rows, or are counted, as the library has it."""

from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.status import FailureKind
from scoring.models import load_model
from scoring.readers import InputBatch
from scoring.worker.object_predictor import BatchResult, ObjectPredictor, ThreadSafeModel
from tests.unit.scoring.models.loading import spec_of

FEATURES = (Feature("kind", "string"), Feature("x", "double"))
ROWS = pa.record_batch({"kind": ["a", "z", None, "b", "y"], "x": np.zeros(5)})
FRAME = pd.DataFrame({"kind": pd.Categorical(["a", "b"] * 50), "x": np.arange(100.0)})


def predicted(spec: ModelSpec, file: Path) -> BatchResult:
    model = ThreadSafeModel(spec, load_model(spec, file))
    plan = model.plan("k", ROWS.schema, {"kind": 1, "x": 0})
    found = ObjectPredictor(model, "k", 5, plan, frozenset({"kind"})).predict(InputBatch(0, ROWS))
    assert isinstance(found, BatchResult)
    return found


def test_xgboost_gets_no_unknown_category(tmp_path: Path) -> None:
    data = xgboost.DMatrix(FRAME, FRAME["kind"].cat.codes, enable_categorical=True)
    xgboost.train({}, data, 3).save_model(tmp_path / "model.json")
    spec = spec_of("xgboost-json", features=FEATURES, tolerated_quarantine_fraction=0.5)

    found = predicted(spec, tmp_path / "model.json")

    assert [(row.row, row.kind) for row in found.bad] == [(1, FailureKind.DATA), (4, FailureKind.DATA)]
    assert found.bad[0].reason == (
        "feature column 'kind' has a value that is not among the categories of the model's training"
    )
    assert found.bad[0].detail == "'z'"
    assert len(found.columns[0]) == 3


def test_lightgbm_takes_unknown_categories_as_missing_and_they_are_counted(tmp_path: Path) -> None:
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(FRAME, FRAME["kind"].cat.codes), 3)
    booster.save_model(tmp_path / "model.txt")

    found = predicted(spec_of("lightgbm-text", features=FEATURES), tmp_path / "model.txt")

    assert len(found.columns[0]) == 5
    assert not found.bad
    assert {str(reading): count for reading, count in found.counts.items()} == {
        "column 'kind' has values that are not among the model's categories, and count as missing": 2
    }
