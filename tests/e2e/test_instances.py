"""Scoring and training do not depend on what AWS leaves open about the instances of jobs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.documents.recipe_document import read_recipe
from cli.stage.recipes import Recipes
from contract.status import ExecutionStatus
from embedded.sagemaker.instances.settings import InstanceSettings
from tests.e2e.models.test_training import SCRIPT, any_recipe, labelled, set_script
from tests.e2e.stage import Stage, people, train_xgboost

WORLDS = {
    "relative": InstanceSettings(manifest_layout="relative"),
    "full-key": InstanceSettings(manifest_layout="full-key"),
}
# The last key begins like the first object's full key.
KEYS = ("a.parquet", "day=1/b.parquet", "worlds/a.parquet")


@pytest.fixture(params=WORLDS)
def world(stage: Stage, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the name of a world in which all jobs run."""
    stage.aws.instances.set(WORLDS[request.param])
    yield request.param
    stage.aws.instances.set(InstanceSettings())


def test_a_fleet_is_trained_and_scores_all_objects(stage: Stage, world: str, tmp_path: Path) -> None:
    stage.put_dataset("worlds", {key: people(4, number) for number, key in enumerate(KEYS)})
    stage.put_dataset("worlds-labelled", {key: labelled(150, number) for number, key in enumerate(KEYS)})
    stage.put_dataset("worlds-held-out", {"a.parquet": labelled(100, 9)})
    data = {"training_dataset": "worlds-labelled", "dataset": "worlds"}
    trained, scripted, registered = f"{world}-trained", f"{world}-scripted", f"{world}-registered"
    recipe = tmp_path / f"{trained}.json"
    recipe.write_text(json.dumps(any_recipe(**data, validation_dataset="worlds-held-out")))
    Recipes(stage.connection, stage.deployment).set(read_recipe(trained, recipe))
    set_script(stage, scripted, SCRIPT, tmp_path, **data)
    stage.register(registered, train_xgboost(1), dataset="worlds")
    models = [trained, registered]
    name = f"in-world-{world}"
    request = {"train": {"models": [trained, scripted]}, "models": models, "instance_count": 2}
    snapshot = stage.run(request, name)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    for model in models:
        outputs = stage.predictions("worlds", model, name)
        assert {key: table["row"].to_pylist() for key, table in outputs.items()} == {key: [0, 1, 2, 3] for key in KEYS}
        assert {key: table["age"].to_pylist() for key, table in outputs.items()} == {
            key: people(4, number)["age"].to_pylist() for number, key in enumerate(KEYS)
        }
    for model in (trained, scripted):
        (version,) = stage.catalog.versions(model).values()
        assert "auc" in version.metrics
