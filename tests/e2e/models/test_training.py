"""The training workflow trains by recipe, and promotes a version only when its rule allows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cli.documents.recipe_document import read_recipe
from cli.stage.catalog.decisions import Decisions
from cli.stage.catalog.recipes import Recipes
from cli.stage.diagnosis.attempt_logs import AttemptLogs
from cli.stage.diagnosis.chain import Chain, explain
from cli.stage.diagnosis.evidence import Investigation
from cli.stage.executions.execution_snapshot import Snapshot
from contract import layout
from contract.catalog.models import ModelVersion
from contract.status import ExecutionKind, ExecutionStatus, FailureKind, JobStatus, VersionState
from embedded.faults import InterruptSpot
from tests.e2e.stage import FEATURES, Stage, people, train_xgboost, wait_for

NUMBERS = "age:double,visits:int64:required,spend:double"


def labelled(rows: int, seed: int) -> pa.Table:
    """Return people with the label `late`, which depends mainly on their visits."""
    table = people(rows, seed)
    late = np.asarray(table["visits"]) + np.random.default_rng(seed).normal(0, 4, rows) > 15
    return table.append_column("late", pa.array(late.astype(np.int64)))


def any_recipe(**changes: Any) -> dict[str, Any]:
    return {
        "trainer": "xgboost",
        "task": "binary",
        "training_dataset": "people-labelled",
        "dataset": "people-to-score",
        "label": "late",
        "features": NUMBERS,
        "format": "xgboost-ubj",
        "method": "predict",
        "key_columns": ["row"],
        "output_columns": ["late"],
        "hyperparameters": {"num_boost_round": "15", "max_depth": "3"},
        "seed": 7,
        **changes,
    }


def sklearn_recipe(**changes: Any) -> dict[str, Any]:
    fields = {
        "trainer": "sklearn",
        "estimator": "logistic_regression",
        "format": "sklearn-joblib",
        "method": "predict_proba",
        "output_columns": [],
        "hyperparameters": {},
    }
    return any_recipe(**{**fields, **changes})


@pytest.fixture(scope="module")
def trainable(stage: Stage) -> Stage:
    """Return a stage with a training dataset and a dataset to score."""
    stage.put_dataset("people-labelled", {f"{part}.parquet": labelled(600, part) for part in range(2)})
    stage.put_dataset("people-to-score", {"all.parquet": people(90, 40)})
    return stage


def set_recipe(stage: Stage, model_id: str, recipe: Mapping[str, Any]) -> None:
    path = stage.folder / f"{model_id}.recipe.json"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    Recipes(stage.connection, stage.deployment).set(read_recipe(model_id, path), updated_by="test")


def train(stage: Stage, name: str, *models: str) -> Snapshot:
    execution_id = stage.executions.start_training(json.dumps({"models": list(models)}), name)
    return stage.watch(execution_id)


def job_of(snapshot: Snapshot, job_id: str) -> Any:
    (job,) = [job for job in snapshot.jobs if job.job_id == job_id]
    return job


def versions(stage: Stage, model_id: str) -> dict[str, ModelVersion]:
    return stage.catalog.versions(model_id)


def state_of(version: ModelVersion) -> VersionState:
    assert version.decision is not None
    return version.decision.state


@pytest.fixture(scope="module")
def trained(trainable: Stage) -> Snapshot:
    """Train two models, of which one has labels in words, and one whose dataset has a null label."""
    table = labelled(200, 3)
    words = pa.array(["late" if late else "in time" for late in table["late"].to_pylist()])
    in_words = table.set_column(len(table.column_names) - 1, "late", words)
    trainable.put_dataset("people-in-words", {"0.parquet": in_words})
    broken = labelled(50, 3).to_pandas()
    broken["late"] = broken["late"].astype("Int64")
    broken.loc[4, "late"] = None
    trainable.put_dataset("people-broken", {"0.parquet": pa.Table.from_pandas(broken)})
    set_recipe(trainable, "tree", any_recipe(promotion={"floor": 0.7}, tags={"team": "risk"}))
    set_recipe(trainable, "line", sklearn_recipe(training_dataset="people-in-words"))
    set_recipe(trainable, "broken", any_recipe(training_dataset="people-broken"))
    return train(trainable, "train-three", "tree", "line", "broken")


def test_labels_that_the_trainer_cannot_take_start_no_job(trainable: Stage, trained: Snapshot) -> None:
    set_recipe(trainable, "in-words", any_recipe(training_dataset="people-in-words"))
    refused = train(trainable, "train-in-words", "in-words")
    assert (refused.status, refused.jobs) == (ExecutionStatus.FAILED, ())
    assert "late of type string in 0.parquet" in refused.reason
    assert "number them in the dataset, or use trainer 'sklearn'" in refused.reason
    # The other trainer takes them.
    assert job_of(trained, "line").status is JobStatus.SUCCEEDED, job_of(trained, "line").reason


def why(stage: Stage, execution_id: str) -> Chain:
    """Return what `fleetscore why` says."""
    return explain(Investigation(stage.connection, stage.executions).read(execution_id))


def test_a_model_that_cannot_be_trained_fails_alone(trainable: Stage, trained: Snapshot) -> None:
    assert trained.status == ExecutionStatus.PARTLY_FAILED
    assert trained.kind is ExecutionKind.TRAINING
    assert trained.workflow is not None
    assert trained.workflow.error == "Fleetscore.PartlyFailed"
    for model_id in ("tree", "line"):
        assert job_of(trained, model_id).status is JobStatus.SUCCEEDED, job_of(trained, model_id).reason
    failed = job_of(trained, "broken")
    assert (failed.status, failed.failure_kind, failed.attempt) == (JobStatus.FAILED, FailureKind.DATA, 1)
    assert "late" in failed.reason
    assert "/aws/sagemaker/TrainingJobs" in failed.reason
    assert versions(trainable, "broken") == {}
    summary = trainable.summary("train-three")
    assert (summary.kind, summary.jobs_succeeded, summary.jobs_failed) == (ExecutionKind.TRAINING, 2, 1)
    chain = why(trainable, "train-three")
    assert [step.what.split()[0] for step in chain.steps][:3] == ["job", "attempt", "SageMaker"]
    assert "late" in chain.steps[2].text
    assert chain.next_command == "fleetscore train --models broken"


def test_a_version_records_its_training_metrics_and_reason_for_promotion(trainable: Stage, trained: Snapshot) -> None:
    model, [version] = trainable.catalog.show("tree")
    assert model is not None
    assert model.current_version == version.spec.version == job_of(trained, "tree").model_versions[0]
    assert model.tags == version.tags == {"team": "risk"}
    assert version.metrics["auc"] > 0.7
    assert version.trained_by is not None
    assert version.trained_by.execution_id == "train-three"
    held_out = version.trained_by.rows_held_out
    assert held_out is not None
    assert 0 < held_out < 1_200
    assert version.decision is not None
    assert version.decision.state is VersionState.PROMOTED
    assert version.decision.reason == f"auc {version.metrics['auc']:.6g} >= floor 0.7 and no version before"
    assert model.history[-1].reason == version.decision.reason
    assert job_of(trained, "tree").outcome.endswith(version.decision.reason)
    head = trainable.client("s3").head_object(
        Bucket=trainable.deployment.models_bucket, Key=layout.artifact_key("tree", version.spec.version)
    )
    assert head["ContentLength"] == version.spec.artifact_bytes


def test_a_trained_model_scores(trainable: Stage, trained: Snapshot) -> None:
    snapshot = trainable.run({"models": ["tree", "line"]}, "score-trained")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    (scored,) = trainable.predictions("people-to-score", "tree", "score-trained").values()
    assert scored.num_rows == 90
    assert all(0 < value < 1 for value in scored["late"].to_pylist())
    assert job_of(snapshot, "tree").model_versions == job_of(trained, "tree").model_versions


def test_a_version_refused_by_the_rule_is_kept_and_never_scored(trainable: Stage, trained: Snapshot) -> None:
    current = job_of(trained, "tree").model_versions[0]
    set_recipe(trainable, "tree", any_recipe(promotion={"floor": 0.7, "min_improvement": 0.2}, seed=8))
    again = train(trainable, "train-refused", "tree")
    assert (again.status, again.reason) == (ExecutionStatus.SUCCEEDED, "")
    refused = versions(trainable, "tree")[job_of(again, "tree").model_versions[0]]
    assert state_of(refused) is VersionState.REJECTED
    assert refused.decision is not None
    assert f"+ 0.2 (version {current})" in refused.decision.reason
    model, _ = trainable.catalog.show("tree")
    assert model is not None
    assert model.current_version == current
    snapshot = trainable.run({"models": ["tree"]}, "score-not-refused")
    assert job_of(snapshot, "tree").model_versions == (current,)


def test_a_version_is_scored_only_after_its_approval(trainable: Stage) -> None:
    set_recipe(trainable, "careful", any_recipe(promotion={"mode": "approval"}))
    snapshot = train(trainable, "train-careful", "careful")
    assert snapshot.status == ExecutionStatus.SUCCEEDED
    (version,) = versions(trainable, "careful").values()
    assert state_of(version) is VersionState.PENDING_APPROVAL
    refused = trainable.run({"models": ["careful"]}, "score-too-early")
    assert refused.status == ExecutionStatus.FAILED
    assert "careful" in refused.reason
    decisions = Decisions(trainable.connection, trainable.deployment)
    decisions.approve("careful", version.spec.version, changed_by="somebody", reason="looked at it")
    model, [approved] = trainable.catalog.show("careful")
    assert model is not None
    assert (model.current_version, model.history[-1].reason) == (version.spec.version, "looked at it")
    assert state_of(approved) is VersionState.PROMOTED
    assert trainable.run({"models": ["careful"]}, "score-approved").status == ExecutionStatus.SUCCEEDED


def test_a_request_that_trains_first_scores_with_the_promoted_version(trainable: Stage) -> None:
    set_recipe(trainable, "fresh", any_recipe())
    snapshot = trainable.run({"models": ["fresh"], "train": {}}, "train-then-score")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert snapshot.record is not None
    training = trainable.executions.snapshot(snapshot.record.training_execution_id)
    assert training.status == ExecutionStatus.SUCCEEDED
    assert job_of(snapshot, "fresh").model_versions == job_of(training, "fresh").model_versions
    (scored,) = trainable.predictions("people-to-score", "fresh", "train-then-score").values()
    assert scored.num_rows == 90


def test_a_failed_training_fails_the_request_unless_continue_on_failure(trainable: Stage) -> None:
    broken = labelled(50, 3).to_pandas()
    broken["late"] = 1
    trainable.put_dataset("people-all-late", {"0.parquet": pa.Table.from_pandas(broken)})
    trainable.register("old", train_xgboost(5), dataset="people-to-score")
    set_recipe(trainable, "old", any_recipe(training_dataset="people-all-late", output_columns=[]))
    failed = trainable.run({"models": ["old"], "train": {}}, "train-fails")
    assert failed.status == ExecutionStatus.FAILED
    assert "late" in failed.reason
    assert "continue_on_failure" in failed.reason
    assert failed.jobs == ()
    scored = trainable.run({"models": ["old"], "train": {"continue_on_failure": True}}, "train-fails-score-on")
    assert scored.status == ExecutionStatus.PARTLY_FAILED
    assert job_of(scored, "old").status is JobStatus.SUCCEEDED
    assert job_of(scored, "old").model_versions == ("1",)
    summary = trainable.summary("train-fails-score-on")
    assert summary.status is ExecutionStatus.PARTLY_FAILED
    assert "late" in summary.training_failure
    assert "current versions" in summary.reason
    for execution_id in ("train-fails", "train-fails-score-on"):
        assert why(trainable, execution_id).next_command.startswith(f"fleetscore why {execution_id}-training-")


def test_an_interrupted_spot_job_continues_from_its_checkpoint(trainable: Stage, tmp_path: Path) -> None:
    """The script never ends unless it finds the checkpoint it saved before the interruption."""
    compute = {"spot": True, "max_runtime_seconds": 600, "max_wait_seconds": 1_200}
    set_script(trainable, "spotted", HALF_WAY + SCRIPT, tmp_path, compute=compute)
    trainable.aws.faults.add(InterruptSpot(job="*-spotted-*", uploads=1))
    snapshot = train(trainable, "train-on-spot", "spotted")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    job = job_of(snapshot, "spotted")
    assert job.attempt == 1, "SageMaker handles the interruption, so the workflow needs one attempt"
    described = trainable.client("sagemaker").describe_training_job(TrainingJobName=job.sagemaker_job_name)
    assert described["EnableManagedSpotTraining"] is True
    assert described["StoppingCondition"] == {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1_200}
    assert "Interrupted" in [item["Status"] for item in described["SecondaryStatusTransitions"]]
    assert len(versions(trainable, "spotted")) == 1


def test_a_script_runs_as_it_was_when_its_recipe_was_set(trainable: Stage, tmp_path: Path) -> None:
    set_script(trainable, "scripted", 'print("fitting")\n' + SCRIPT, tmp_path, promotion={"mode": "approval"})
    snapshot = train(trainable, "train-script", "scripted")
    (attempt,) = trainable.executions.attempts("train-script")["scripted"]
    lines = [json.loads(line.message) for line in AttemptLogs(trainable.connection).read([attempt], snapshot.kind)]
    owner = {"execution": "train-script", "job": "scripted", "attempt": "1", "model": "scripted"}
    assert all(line.items() >= owner.items() for line in lines)
    assert [line["text"] for line in lines if line["event"] == "output"] == ["fitting"]
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    (version,) = versions(trainable, "scripted").values()
    assert version.metrics == {"auc": 0.75}
    assert state_of(version) is VersionState.PENDING_APPROVAL


def set_script(stage: Stage, model_id: str, script: str, folder: Path, **changes: Any) -> None:
    """Set a recipe that trains with this script."""
    source = folder / "source"
    source.mkdir()
    (source / "train.py").write_text(script, encoding="utf-8")
    path = folder / "recipe.json"
    code = {"program": "train.py", "source": "source"}
    path.write_text(json.dumps(any_recipe(trainer="script", code=code, hyperparameters={}, **changes)))
    Recipes(stage.connection, stage.deployment).set(read_recipe(model_id, path))


HALF_WAY = """
import os, pathlib, time

saved = pathlib.Path(os.environ["SM_MODEL_DIR"]).parent / "checkpoints" / "half-way"
if not saved.exists():
    saved.write_text("half of it")
    while True:
        time.sleep(0.05)
"""

SCRIPT = f"""
import json, os, pathlib
import pyarrow.dataset, xgboost

table = pyarrow.dataset.dataset(os.environ["SM_CHANNEL_TRAIN"], format="parquet").to_table()
features = table.select({[feature.name for feature in FEATURES]!r})
model = xgboost.train({{"objective": "binary:logistic"}}, xgboost.DMatrix(features, table["late"]), 2)
target = pathlib.Path(os.environ["SM_MODEL_DIR"])
model.save_model(target / "model.ubj")
(target / "metrics.json").write_text(json.dumps({{"auc": 0.75}}))
"""


WAITING_SCRIPT = """
import os, pathlib, time

folder = pathlib.Path({folder!r})
(folder / "waiting").touch()
while not (folder / "open").exists():
    time.sleep(0.05)
"""


def test_stopping_an_execution_also_stops_its_training_and_closes_records(
    trainable: Stage, tmp_path: Path, shared_folder: Path
) -> None:
    set_script(trainable, "endless", WAITING_SCRIPT.format(folder=str(shared_folder)), tmp_path)
    execution_id = trainable.executions.start('{"train": {"models": ["endless"]}}', "stopped-in-training")
    wait_for((shared_folder / "waiting").exists, "the training job runs")
    training = trainable.executions.snapshot(execution_id).training
    assert training is not None
    assert job_of(training, "endless").status is JobStatus.RUNNING
    trainable.client("stepfunctions").stop_execution(executionArn=trainable.executions.execution_arn(execution_id))

    def closed(name: str) -> Snapshot | None:
        seen = trainable.executions.snapshot(name)
        return seen if seen.closed and seen.ended else None

    stopped = wait_for(lambda: closed(execution_id), "the scoring execution's records are closed")
    assert stopped.status == "ABORTED"
    ended = wait_for(lambda: closed(training.execution_id), "the training execution's records are closed")
    job = job_of(ended, "endless")
    assert (job.status, job.failure_kind) == (JobStatus.FAILED, FailureKind.STOPPED)
    sagemaker = trainable.client("sagemaker")

    def stops() -> bool:
        described = sagemaker.describe_training_job(TrainingJobName=job.sagemaker_job_name)
        return described["TrainingJobStatus"] in ("Stopping", "Stopped")

    wait_for(stops, "the training job stops")
    assert versions(trainable, "endless") == {}
