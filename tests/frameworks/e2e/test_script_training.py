"""The documented recipe trains a network, whose version the next execution scores."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc
import pytest

from cli.documents.recipe_document import read_recipe
from cli.stage.catalog.decisions import Decisions
from cli.stage.catalog.recipes import Recipes
from cli.stage.executions.execution_snapshot import Snapshot
from contract.catalog.image_variants import image_of
from contract.catalog.model_formats import Framework
from contract.status import ExecutionStatus, JobStatus, VersionState
from contract.table.records import JobRecord
from tests.e2e.stage import Stage
from tests.frameworks.documented_script import recipe, script
from tests.frameworks.e2e.variants import HEAVY, ROWS, deploy_variants, labelled


@pytest.fixture(scope="module")
def trainable(stage: Stage) -> Stage:
    parts = {f"{part}.parquet": labelled(600, seed=part) for part in range(2)}
    stage.put_dataset(recipe()["training_dataset"], parts)
    return stage


def set_recipe(stage: Stage, model_id: str, shown: Mapping[str, Any], framework: Framework) -> None:
    """Write the recipe and its script to files and set the recipe with the command."""
    folder = stage.folder / model_id
    source = folder / shown["code"]["source"]
    source.mkdir(parents=True)
    (source / shown["code"]["program"]).write_text(script(framework), encoding="utf-8")
    (folder / "recipe.json").write_text(json.dumps(shown), encoding="utf-8")
    Recipes(stage.connection, stage.deployment).set(read_recipe(model_id, folder / "recipe.json"))


def train(stage: Stage, name: str, model_id: str) -> Snapshot:
    execution_id = stage.executions.start_training(json.dumps({"models": [model_id]}), name)
    return stage.watch(execution_id)


def only_job(snapshot: Snapshot) -> JobRecord:
    (job,) = snapshot.jobs
    assert job.status is JobStatus.SUCCEEDED, job.reason
    return job


def variant_of(stage: Stage, uri: str) -> str:
    image = stage.aws.images.resolve(uri)
    assert image is not None
    return image.labels["fleetscore.variant"]


def check_predictions(stage: Stage, model_id: str, execution_id: str) -> None:
    """Check that each row has a prediction that depends on the right column."""
    (scored,) = stage.predictions("people", model_id, execution_id).values()
    assert scored["row"].to_pylist() == list(range(ROWS))
    often, seldom = pc.greater(scored["visits"], 25), pc.less(scored["visits"], 5)
    assert pc.min(scored.filter(often)["late"]).as_py() > pc.max(scored.filter(seldom)["late"]).as_py()


def test_a_network_is_trained_promoted_and_scored_in_its_image(trainable: Stage) -> None:
    set_recipe(trainable, "late-people", recipe(), "pytorch")

    trained = train(trainable, "train-network", "late-people")

    assert (trained.status, trained.reason) == (ExecutionStatus.SUCCEEDED, "")
    job = only_job(trained)
    sagemaker = trainable.client("sagemaker")
    described = sagemaker.describe_training_job(TrainingJobName=job.sagemaker_job_name)
    assert variant_of(trainable, described["AlgorithmSpecification"]["TrainingImage"]) == image_of("pytorch")
    model, [version] = trainable.catalog.show("late-people")
    assert model is not None
    assert model.current_version == version.spec.version
    assert version.decision is not None
    assert version.decision.state is VersionState.PROMOTED, version.decision.reason
    assert version.metrics["auc"] > recipe()["promotion"]["floor"]
    assert (version.spec.framework, version.spec.model_file) == ("pytorch", "model.pt2")
    assert version.spec.framework_version

    snapshot = trainable.run({"models": ["late-people"]}, "score-network")

    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert only_job(snapshot).model_versions == (version.spec.version,)
    [processing] = trainable.processing_jobs("score-network")
    assert variant_of(trainable, processing["AppSpecification"]["ImageUri"]) == image_of("pytorch")
    check_predictions(trainable, "late-people", "score-network")


def test_a_saved_model_is_scored_after_its_approval(trainable: Stage) -> None:
    """The model is a folder, and the recipe does not say where its file is."""
    deploy_variants(trainable.aws, trainable.folder / "all", ["core", *HEAVY])
    shown = {**recipe(), "format": "tensorflow-savedmodel", "promotion": {"mode": "approval"}}
    set_recipe(trainable, "careful-people", shown, "tensorflow")
    trained = train(trainable, "train-saved-model", "careful-people")
    assert (trained.status, trained.reason) == (ExecutionStatus.SUCCEEDED, "")
    _, [version] = trainable.catalog.show("careful-people")
    assert version.decision is not None
    assert version.decision.state is VersionState.PENDING_APPROVAL
    assert version.spec.model_file == "1/saved_model.pb"

    Decisions(trainable.connection, trainable.deployment).approve("careful-people", version.spec.version)
    snapshot = trainable.run({"models": ["careful-people"]}, "score-saved-model")

    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert only_job(snapshot).model_versions == (version.spec.version,)
    [processing] = trainable.processing_jobs("score-saved-model")
    assert variant_of(trainable, processing["AppSpecification"]["ImageUri"]) == image_of("tensorflow")
    check_predictions(trainable, "careful-people", "score-saved-model")
