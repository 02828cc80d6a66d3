"""`scoring.artifact_features` with a record: what a job would say about a model."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from contract import codec
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring import artifact_features
from tests.unit.scoring.models.loading import spec_of


def answer_of(folder: Path, spec: ModelSpec, model: Any) -> dict[str, Any]:
    path = folder / "model"
    joblib.dump(model, path)
    record, answer = folder / "record.json", folder / "answer.json"
    record.write_text(codec.dumps(spec))
    assert artifact_features.main(spec.format, path, answer, record) == 0
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def classifier() -> LogisticRegression:
    frame = pd.DataFrame(np.eye(3), columns=["distance", "delay", "hour"])
    return LogisticRegression().fit(frame, [0, 1, 1])


def test_columns_are_told_for_a_record_that_fits(tmp_path: Path) -> None:
    found = answer_of(tmp_path, spec_of("sklearn-joblib", "predict_proba"), classifier())
    assert found == {"problem": None, "unchecked": None, "notes": [], "outputs": ["prediction_0", "prediction_1"]}


def test_record_that_does_not_fit_is_a_problem(tmp_path: Path) -> None:
    spec = spec_of("sklearn-joblib", features=(Feature("distance", "double"),))
    found = answer_of(tmp_path, spec, classifier())
    assert "the record lacks ['delay', 'hour']" in found["problem"]


def test_missing_library_is_not_a_problem_of_the_model(tmp_path: Path) -> None:
    found = answer_of(tmp_path, spec_of("keras"), classifier())
    assert found["problem"] is None
    assert "deploy that one" in found["unchecked"]


def test_custom_code_is_not_run(tmp_path: Path) -> None:
    found = answer_of(tmp_path, spec_of("custom", custom_code=True), classifier())
    assert "in the job only" in found["unchecked"]
