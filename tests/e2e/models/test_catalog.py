"""Executions use the current version of each model, and unsuitable datasets are refused early."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.dummy import DummyRegressor

from cli.main import main
from contract.catalog.model_fields import Feature
from contract.status import ExecutionStatus
from tests.e2e.stage import Stage, features_of, people, train_xgboost

Captured = pytest.CaptureFixture[str]
DATASET = "lifecycle"


@pytest.fixture(scope="module")
def models(stage: Stage) -> Iterator[dict[str, Any]]:
    """Register two versions of the model `lifecycle`, and upload its dataset."""
    trained = {"1": train_xgboost(1), "2": train_xgboost(2)}
    stage.put_dataset(DATASET, {"a.parquet": people(50, 5)})
    for version, model in trained.items():
        stage.register("lifecycle", model, dataset=DATASET, version=version)
    yield trained
    # `{}` in other tests scores every enabled model, so disable this one.
    stage.catalog.set_enabled("lifecycle", False)


def score(stage: Stage, models: dict[str, Any], execution_id: str) -> str:
    """Run an execution, check its predictions, and return the version that it used."""
    snapshot = stage.run({"models": ["lifecycle"]}, execution_id)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    [job] = snapshot.jobs
    [version] = job.model_versions
    [table] = stage.predictions(DATASET, "lifecycle", execution_id).values()
    expected = models[version].predict_proba(features_of(people(50, 5)))[:, 1]
    np.testing.assert_allclose(table["prediction_1"].to_numpy(), expected, rtol=1e-5)
    return str(version)


def test_executions_use_the_version_that_was_promoted_or_restored(
    stage: Stage, models: dict[str, Any], capsys: Captured
) -> None:
    assert main(["models", "promote", "lifecycle", "1", "--reason", "2 drifts"]) == 0
    assert score(stage, models, "promoted") == "1"
    assert main(["models", "rollback", "lifecycle"]) == 0
    assert score(stage, models, "rolled-back") == "2"
    capsys.readouterr()
    assert main(["models", "show", "lifecycle", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [change["version"] for change in printed["history"]] == ["1", "2", "1", "2"]
    assert printed["history"][2]["reason"] == "2 drifts"
    assert main(["models", "compare", "lifecycle", "1", "2"]) == 0
    assert "artifact_sha256" in capsys.readouterr().out


def test_a_model_that_was_deleted_and_registered_again_has_new_versions(stage: Stage, capsys: Captured) -> None:
    """Predictions of both models exist afterwards, and no version names two artifacts."""
    stage.put_dataset("born-again", {"a.parquet": people(20, 5)})
    versions = []
    for seed, execution_id in ((1, "before-deletion"), (2, "after-deletion")):
        stage.register("born-again", train_xgboost(seed), dataset="born-again")
        snapshot = stage.run({"models": ["born-again"]}, execution_id)
        assert snapshot.status == ExecutionStatus.SUCCEEDED
        versions += [name for job in snapshot.jobs for name in job.model_versions]
        assert main(["models", "delete", "born-again", "--yes"]) == 0
    assert versions == ["1", "2"]
    capsys.readouterr()
    assert main(["models", "list", "--json"]) == 0
    assert "born-again" not in capsys.readouterr().out


def test_a_dataset_without_the_models_columns_is_refused_before_any_job(stage: Stage, models: dict[str, Any]) -> None:
    table = people(20, 1)
    texts = pa.array([str(value) for value in table["age"].to_pylist()])
    wrong = table.drop_columns("visits").set_column(table.schema.get_field_index("age"), "age", texts)
    stage.put_dataset("other-columns", {"a.parquet": wrong})
    snapshot = stage.run({"models": ["lifecycle"], "dataset": "other-columns"}, "other-columns")
    assert snapshot.status == ExecutionStatus.FAILED
    assert snapshot.jobs == ()
    assert "a.parquet without visits (int64)" in snapshot.reason
    assert "a.parquet where age is string, not double" in snapshot.reason


def test_bulk_registration_is_idempotent_and_a_sample_can_be_scored(
    stage: Stage, models: dict[str, Any], tmp_path: Path, capsys: Captured
) -> None:
    document: dict[str, Any] = {
        "artifact": str(stage.folder / "lifecycle.tar.gz"),
        "dataset": DATASET,
        "format": "xgboost-sklearn-ubj",
        "model_file": "model.ubj",
        "method": "predict_proba",
        "features": [{"name": name, "type": kind} for name, kind in (("age", "double"), ("visits", "int64"))],
        "enabled": False,
    }
    document["features"] += [{"name": "spend", "type": "double"}]
    lines = [json.dumps({"model_id": f"in-bulk-{number}", **document}) + "\n" for number in range(3)]
    (tmp_path / "models.jsonl").write_text("".join(lines))
    for _ in range(2):
        assert main(["models", "register", "--bulk", str(tmp_path / "models.jsonl")]) == 0
    assert "3 of the versions existed already" in capsys.readouterr().out
    assert stage.catalog.show("in-bulk-2")[0].current_version == "1"
    check_old_file_sets_nothing_back(stage, tmp_path / "models.jsonl", document, capsys)
    table = people(30, 9)
    pq.write_table(table, tmp_path / "sample.parquet")
    assert main(["models", "test", "in-bulk-1", str(tmp_path / "sample.parquet"), "--json", "--rows", "30"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["rows"], printed["columns_added"]) == (30, {"prediction_0": "double", "prediction_1": "double"})
    expected = models["2"].predict_proba(features_of(table))[:, 1]
    np.testing.assert_allclose([row["prediction_1"] for row in printed["first_rows"]], expected, rtol=1e-5)


def check_old_file_sets_nothing_back(stage: Stage, old: Path, document: dict[str, Any], capsys: Captured) -> None:
    new = old.with_name("new.jsonl")
    new.write_text(json.dumps({"model_id": "in-bulk-2", **document, "max_attempts": 7}) + "\n")
    assert main(["models", "register", "--bulk", str(new)]) == 0
    capsys.readouterr()
    assert main(["models", "register", "--bulk", str(old), "--json"]) == 2
    [listed] = json.loads(capsys.readouterr().out)["set_back"]
    assert (listed["model_id"], listed["current_version"], listed["version"]) == ("in-bulk-2", "2", "1")
    assert stage.catalog.show("in-bulk-2")[0].current_version == "2"
    assert main(["models", "register", "--bulk", str(old), "--allow-backwards"]) == 0
    assert stage.catalog.show("in-bulk-2")[0].current_version == "1"
    capsys.readouterr()


def test_a_model_of_7000_columns_is_registered_and_scored(stage: Stage) -> None:
    names = [f"feature_{number:032d}" for number in range(7_000)]
    values = np.random.default_rng(0).normal(size=(3, len(names)))
    model = DummyRegressor(strategy="mean").fit(pd.DataFrame(values, columns=names), [1.0, 2.0, 3.0])
    features = tuple(Feature(name, "double") for name in names)
    table = pa.table(dict(zip(names, values.T, strict=True))).append_column("row", pa.array([1, 2, 3]))
    stage.put_dataset("wide", {"part.parquet": table})
    stage.register("wide-model", model, dataset="wide", method="predict", features=features, columns="keys")
    snapshot = stage.run({"models": ["wide-model"]}, "wide-run")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    stage.catalog.set_enabled("wide-model", False)
    [found] = stage.predictions("wide", "wide-model", "wide-run").values()
    assert found.to_pydict() == {"row": [1, 2, 3], "prediction": [2.0, 2.0, 2.0]}
