"""`scoring.load_checks`: what a job would say about models."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from contract import codec
from contract.archives import NoRoomError
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring import load_checks
from tests.unit.cli.builders import make_archive
from tests.unit.scoring.models.loading import spec_of


def answer_of(folder: Path, spec: ModelSpec, model: Any) -> dict[str, Any]:
    content = io.BytesIO()
    joblib.dump(model, content)
    archive = make_archive(folder / "model.tar.gz", {spec.model_file: content.getvalue()})
    return answers_of(folder, [(spec, archive)])[0]


def answers_of(folder: Path, models: Sequence[tuple[ModelSpec, Path]]) -> list[dict[str, Any]]:
    requests, answers = folder / "requests.jsonl", folder / "answers.jsonl"
    lines = ({"spec": codec.to_json(spec), "artifact": str(archive)} for spec, archive in models)
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert load_checks.main(requests, answers, 60, 0) == 0
    ready, *found = map(json.loads, answers.read_text().splitlines())
    assert ready == {"ready": True}
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


def test_model_finds_no_file_of_the_one_before_it(tmp_path: Path) -> None:
    content = io.BytesIO()
    joblib.dump(classifier(), content)
    spec = spec_of("sklearn-joblib")
    files = {spec.model_file: content.getvalue(), "more/data": b"x"}
    complete = make_archive(tmp_path / "complete.tar.gz", files)
    empty = make_archive(tmp_path / "empty.tar.gz", {"other": b""})
    first, second, third = answers_of(tmp_path, [(spec, complete), (spec, empty), (spec, complete)])
    assert first["problem"] is None
    assert "No such file" in str(second)
    assert third == first


def test_damaged_artifact_is_an_error_of_its_model_only(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(b"no archive")
    content = io.BytesIO()
    joblib.dump(classifier(), content)
    spec = spec_of("sklearn-joblib")
    complete = make_archive(tmp_path / "complete.tar.gz", {spec.model_file: content.getvalue()})
    first, second = answers_of(tmp_path, [(spec, damaged), (spec, complete)])
    assert first["error"].startswith("its artifact cannot be unpacked: ")
    assert second["problem"] is None


def test_full_disk_is_told_apart_from_a_refused_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(archive: Path, target: Path) -> None:
        raise NoRoomError("No space left on device")

    monkeypatch.setattr(load_checks, "unpack", refuse)
    found = answer_of(tmp_path, spec_of("sklearn-joblib"), classifier())
    assert found == {"no_room": "No space left on device"}


def test_process_ends_when_its_requests_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(spec: ModelSpec, path: Path) -> dict[str, Any]:
        (tmp_path / "requests.jsonl").unlink()
        return {"problem": None}

    monkeypatch.setattr(load_checks, "check_record", remove)
    spec = spec_of("sklearn-joblib")
    archive = make_archive(tmp_path / "model.tar.gz", {spec.model_file: b""})
    assert answers_of(tmp_path, [(spec, archive)] * 3) == [{"problem": None}]
