"""Trainings promote nothing that a person has rolled back, and train nothing twice."""

import json

import pytest

from cli.main import main
from contract.status import ExecutionStatus, JobStatus, VersionState
from tests.e2e.models.test_training import (
    any_recipe,
    job_of,
    labelled,
    set_recipe,
    state_of,
    train,
    versions,
)
from tests.e2e.stage import Stage, people

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def nightly(stage: Stage) -> Stage:
    """Return a stage with a model that was registered by hand, and then trained and promoted."""
    stage.put_dataset("nightly-labelled", {"0.parquet": labelled(500, 1)})
    stage.put_dataset("nightly-people", {"all.parquet": people(30, 40)})
    recipe = any_recipe(
        training_dataset="nightly-labelled",
        dataset="nightly-people",
        promotion={"floor": 0.5, "min_improvement": -0.5},
    )
    set_recipe(stage, "nightly", recipe)
    assert train(stage, "promotion-nightly-1", "nightly").status == ExecutionStatus.SUCCEEDED
    return stage


def test_unchanged_data_is_not_trained_again(nightly: Stage) -> None:
    (first,) = versions(nightly, "nightly")
    again = train(nightly, "nightly-unchanged", "nightly")
    assert (again.status, again.reason) == (ExecutionStatus.SUCCEEDED, "")
    job = job_of(again, "nightly")
    assert job.status is JobStatus.SUCCEEDED
    assert f"unchanged since version {first}" in job.outcome
    assert job.sagemaker_job_name == ""
    assert list(versions(nightly, "nightly")) == [first]
    forced = nightly.executions.start_training(
        json.dumps({"models": ["nightly"], "train_unchanged": True}), "nightly-forced"
    )
    assert nightly.watch(forced).status == ExecutionStatus.SUCCEEDED
    assert len(versions(nightly, "nightly")) == 2


def test_trained_versions_wait_after_a_rollback_until_somebody_chooses(nightly: Stage, capsys: Captured) -> None:
    nightly.put_dataset("nightly-labelled", {"1.parquet": labelled(500, 2)})
    train(nightly, "nightly-2", "nightly")
    bad = nightly.catalog.show("nightly")[0]
    assert bad is not None
    assert main(["models", "rollback", "nightly", "--reason", "bad in production"]) == 0
    assert "Trained versions wait for approval" in capsys.readouterr().out

    nightly.put_dataset("nightly-labelled", {"2.parquet": labelled(500, 3)})
    snapshot = train(nightly, "nightly-3", "nightly")
    job = job_of(snapshot, "nightly")
    assert (snapshot.status, job.status) == (ExecutionStatus.SUCCEEDED, JobStatus.SUCCEEDED)
    assert "waits for approval, because the model was set back" in job.outcome
    assert "bad in production" in job.outcome
    (waiting,) = job.model_versions
    assert state_of(versions(nightly, "nightly")[waiting]) is VersionState.PENDING_APPROVAL
    model, _ = nightly.catalog.show("nightly")
    assert model is not None
    assert model.current_version == bad.previous_version
    assert main(["models", "show", "nightly"]) == 0
    assert "bad in production" in capsys.readouterr().out

    # The choice of the current version ends the wait; so does an approval.
    assert main(["models", "promote", "nightly", model.current_version]) == 0
    assert "Trained versions wait" not in capsys.readouterr().out
    nightly.put_dataset("nightly-labelled", {"3.parquet": labelled(500, 4)})
    (promoted,) = job_of(train(nightly, "nightly-4", "nightly"), "nightly").model_versions
    after, _ = nightly.catalog.show("nightly")
    assert after is not None
    assert after.current_version == promoted
