"""Scoring and training work on every instance that AWS may give them.

AWS documents neither its mounts, nor the size of its root disk, nor where the files of a manifest
are.
"""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from cli.sandbox.isolation import IsolationKind, probe
from cli.stage.catalog.recipes import Recipes
from contract.status import ExecutionStatus, FailureKind, JobStatus
from embedded.sagemaker.instances.settings import InstanceSettings
from tests.e2e.models.test_training import any_recipe, labelled, set_recipe
from tests.e2e.stage import Stage, people, train_xgboost

pytestmark = pytest.mark.skipif(
    probe().kind is not IsolationKind.ROOT, reason="mounting disks of a limited size needs root on Linux"
)

MIB = 1 << 20
MODELS = ("anywhere", "too-large")
ROOT_DISK = 4 * MIB
"""Smaller than what a job of these tests needs."""
COMBINATIONS = [
    InstanceSettings("one", root_disk_bytes=None, manifest_layout="relative"),
    InstanceSettings("one", root_disk_bytes=ROOT_DISK, manifest_layout="full-key"),
    InstanceSettings("per-path", root_disk_bytes=None, manifest_layout="full-key"),
    InstanceSettings("per-path", root_disk_bytes=ROOT_DISK, manifest_layout="relative"),
]
"""All four of mounts and root disk, which together decide where the container writes (`scoring.files.scratch`). The
layout decides only where it finds its inputs, so each one with both mounts and both disks is enough."""
# The last key is the first object's full key.
KEYS = ("folder/0.parquet", "folder/1.parquet", "anywhere/folder/0.parquet")


@pytest.fixture(scope="module", autouse=True)
def prepared(stage: Stage) -> Iterator[None]:
    """Prepare models to score with and a recipe to train by; jobs import XGBoost faster than scikit-learn."""
    stage.put_dataset("anywhere", {key: people(60, part, first_row=60 * part) for part, key in enumerate(KEYS)})
    stage.put_dataset("too-large", {"0.parquet": with_noise(2 * MIB)})
    for model_id in MODELS:
        stage.register(model_id, train_xgboost(3), dataset=model_id, max_volume_size_gb=30)
    stage.put_dataset("trained-anywhere", {"folder/0.parquet": labelled(400, 1)})
    few_rounds = {"num_boost_round": "2"}
    recipe = any_recipe(training_dataset="trained-anywhere", dataset="anywhere", hyperparameters=few_rounds)
    set_recipe(stage, "learner", recipe)
    yield
    stage.aws.instances.set(InstanceSettings())
    Recipes(stage.connection, stage.deployment).remove("learner")
    for model_id in (*MODELS, "learner"):
        stage.catalog.set_enabled(model_id, enabled=False)


def name_of(settings: InstanceSettings) -> str:
    return f"{settings.mounts}-{settings.root_disk_bytes or 'large'}-{settings.manifest_layout}"


@pytest.mark.parametrize("settings", COMBINATIONS, ids=name_of)
def test_models_are_trained_and_score_on_any_instance(stage: Stage, settings: InstanceSettings) -> None:
    name = f"on-{name_of(settings)}"
    stage.aws.instances.set(settings)
    training = stage.executions.start_training(json.dumps({"models": ["learner"]}), f"train-{name}")
    # Each instance takes seconds to import its libraries, so two share the objects only on the most unusual mounts.
    instances = 2 if (settings.mounts, settings.root_disk_bytes) == ("per-path", ROOT_DISK) else 1
    scored = stage.run({"models": ["anywhere"], "instance_count": instances}, f"score-{name}")
    trained = stage.watch(training)
    for snapshot in (scored, trained):
        assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, ""), snapshot.jobs
    predictions = stage.predictions("anywhere", "anywhere", f"score-{name}")
    assert {key: table["row"].to_pylist() for key, table in predictions.items()} == {
        key: list(range(60 * part, 60 * part + 60)) for part, key in enumerate(KEYS)
    }


@pytest.mark.parametrize("mounts", ["one", "per-path"])
def test_a_full_volume_fails_the_job_with_the_remedy(stage: Stage, mounts: str) -> None:
    # The input fits, its output does not.
    stage.aws.instances.set(InstanceSettings(mounts, volume_bytes=3 * MIB, root_disk_bytes=ROOT_DISK))  # type: ignore[arg-type]
    name = f"full-volume-{mounts}"
    snapshot = stage.run({"models": ["too-large"]}, name)
    (failed,) = snapshot.jobs
    assert (failed.status, failed.failure_kind, failed.attempt) == (JobStatus.FAILED, FailureKind.CONFIGURATION, 1)
    assert "object '0.parquet': its output cannot be written (OSError (No space left on device)" in failed.reason
    assert "the settings allow no larger volume" in failed.reason
    assert "Raise volume_size_gb, max_volume_size_gb or instance_count of the model's compute" in failed.reason
    assert stage.predictions("too-large", "too-large", name) == {}


def with_noise(size: int) -> pa.Table:
    """Return people with a column that cannot be compressed, of `size` bytes."""
    rows = 1_000
    noise = np.random.default_rng(1).bytes(size)
    cells = [noise[start : start + size // rows] for start in range(0, rows * (size // rows), size // rows)]
    return people(rows, 1).append_column("noise", pa.array(cells, pa.binary()))
