"""`scoring.load_checks`: what a job would say about models."""

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
from scoring import load_checks
from tests.unit.scoring.models.loading import spec_of


def answer_of(folder: Path, spec: ModelSpec, model: Any) -> dict[str, Any]:
    path = folder / "model"
    joblib.dump(model, path)
    requests, answers = folder / "requests.jsonl", folder / "answers.jsonl"
    requests.write_text(json.dumps({"spec": codec.to_json(spec), "file": str(path)}) + "\n")
    assert load_checks.main(requests, answers, 60, 0) == 0
    ready, found = map(json.loads, answers.read_text().splitlines())
    assert ready == {"ready": True}
    return dict(found)


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
