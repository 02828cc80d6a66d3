"""Plans see every change of the catalog at once, although DynamoDB's index shows it later."""

from collections.abc import Iterator
from typing import Any

import pytest

from cli.stage.catalog.recipes import Recipes
from cli.stage.executions.execution_snapshot import Snapshot
from contract.status import ExecutionStatus
from embedded.faults import DelayedListing
from tests.e2e.models.test_training import any_recipe, labelled, set_recipe
from tests.e2e.stage import Stage, people, train_xgboost

TAGS = {"lag": "yes"}
EVERY_TAGGED = {"models": {"tags": TAGS}, "models_per_job": 3}


@pytest.fixture
def lagging(stage: Stage) -> Iterator[str]:
    """Let the table's index show nothing of what is written from now on; return the fault's id."""
    fault = stage.aws.faults.add(DelayedListing(service="dynamodb", seconds=600))
    yield fault
    stage.aws.faults.clear(fault)
    # `{}` in other tests scores every enabled model.
    for model, _ in stage.catalog.models():
        if model.model_id.startswith("lag-"):
            stage.catalog.set_enabled(model.model_id, enabled=False)


@pytest.fixture(scope="module")
def model() -> Any:
    return train_xgboost(1)


def used(snapshot: Snapshot) -> dict[str, str]:
    """Return the version of each model that an execution has scored."""
    assert snapshot.status == ExecutionStatus.SUCCEEDED, snapshot.reason
    return {
        model: version
        for job in snapshot.jobs
        for model, version in zip(job.model_ids, job.model_versions, strict=True)
    }


def test_a_plan_sees_new_changed_and_disabled_models_at_once(stage: Stage, model: Any, lagging: str) -> None:
    stage.put_dataset("lag-people", {"a.parquet": people(20, 1)})
    for model_id in ("lag-changed", "lag-disabled", "lag-new"):
        stage.register(model_id, model, dataset="lag-people", tags=TAGS)
    assert used(stage.run(EVERY_TAGGED, "lag-1")) == dict.fromkeys(("lag-changed", "lag-disabled", "lag-new"), "1")

    stage.register("lag-changed", model, dataset="lag-people", tags=TAGS)
    stage.catalog.set_enabled("lag-disabled", enabled=False)
    assert used(stage.run(EVERY_TAGGED, "lag-2")) == {"lag-changed": "2", "lag-new": "1"}
    assert {known.model_id for known, _ in stage.catalog.models()} >= {"lag-changed", "lag-disabled", "lag-new"}
    assert stage.aws.faults.happened(lagging)


def test_a_plan_scores_with_the_version_that_was_trained_a_moment_ago(stage: Stage, lagging: str) -> None:
    stage.put_dataset("lag-labelled", {"0.parquet": labelled(400, 5)})
    stage.put_dataset("lag-people", {"a.parquet": people(20, 1)})
    recipe = any_recipe(training_dataset="lag-labelled", dataset="lag-people", tags={"lag": "trained"})
    set_recipe(stage, "lag-trained", recipe)
    snapshot = stage.run({"train": {}, "models": {"tags": {"lag": "trained"}}}, "lag-train-1")
    (trained,) = stage.catalog.versions("lag-trained")
    assert used(snapshot) == {"lag-trained": trained}
    assert "lag-trained" in {known.model_id for known in Recipes(stage.connection, stage.deployment).all()}
    assert stage.aws.faults.happened(lagging)
