"""Models are scored in the image variant that has their framework."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from cli.documents.model_document import ModelDocument
from cli.stage.executions.execution_snapshot import Snapshot
from contract.catalog.image_variants import image_of
from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import Framework
from contract.status import ExecutionStatus
from contract.table.records import ExecutionRecord
from tests.e2e.stage import Stage, train_xgboost
from tests.frameworks.e2e.variants import ROWS, deploy_variants

TRAIN = Path(__file__).parent / "train.py"
FEATURES = (Feature("age", "double"), Feature("visits", "int64"), Feature("spend", "double"))
MODELS: dict[Framework, dict[str, Any]] = {
    "pytorch": {"format": "pytorch-export", "model_file": "model.pt2"},
    "tensorflow": {"format": "tensorflow-savedmodel", "model_file": "1/saved_model.pb"},
}


def register(stage: Stage, framework: Framework, pythons: dict[str, str]) -> None:
    artifact = stage.folder / f"{framework}.tar.gz"
    subprocess.run(
        [pythons[framework], str(TRAIN), framework, str(artifact)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
    )
    stage.catalog.register(
        ModelDocument(
            model_id=f"network-{framework}",
            artifact=str(artifact),
            dataset="people",
            method="predict",
            features=FEATURES,
            key_columns=("row",),
            columns="keys",
            **MODELS[framework],
        )
    )


def record_of(snapshot: Snapshot) -> ExecutionRecord:
    assert snapshot.record is not None
    return snapshot.record


def test_models_are_scored_in_the_images_of_their_frameworks(stage: Stage, pythons: dict[str, str]) -> None:
    stage.register("boosted", train_xgboost(1), dataset="people", method="predict")
    register(stage, "pytorch", pythons)

    snapshot = stage.run({"models": ["boosted", "network-pytorch"], "models_per_job": 5}, "variants-1")

    assert record_of(snapshot).status is ExecutionStatus.SUCCEEDED, record_of(snapshot).reason
    for model_id in ("boosted", "network-pytorch"):
        (table,) = stage.predictions("people", model_id, "variants-1").values()
        assert table["row"].to_pylist() == list(range(ROWS))
        assert table["prediction"].null_count == 0
    images = {
        job["ProcessingJobName"]: job["AppSpecification"]["ImageUri"] for job in stage.processing_jobs("variants-1")
    }
    assert len(images) == len(set(images.values())) == 2
    variants = {stage.aws.images.resolve(uri).labels["fleetscore.variant"] for uri in images.values()}  # type: ignore[union-attr]
    assert variants == {"core", image_of("pytorch")}


def test_a_model_is_refused_until_its_image_is_deployed(stage: Stage, pythons: dict[str, str]) -> None:
    register(stage, "tensorflow", pythons)
    refused = stage.run({"models": ["network-tensorflow"]}, "variants-2")
    assert record_of(refused).status is ExecutionStatus.FAILED
    assert "model 'network-tensorflow': framework: got 'tensorflow'" in record_of(refused).reason
    assert "Add 'tensorflow' to the setting image_variants" in record_of(refused).reason

    deploy_variants(stage.aws, stage.folder / "second", ["core", "pytorch", "tensorflow"])
    snapshot = stage.run({"models": ["network-tensorflow"]}, "variants-3")

    assert record_of(snapshot).status is ExecutionStatus.SUCCEEDED, record_of(snapshot).reason
    (table,) = stage.predictions("people", "network-tensorflow", "variants-3").values()
    assert table.column_names == ["row", "prediction_0", "prediction_1"]
    sums = pc.add(table["prediction_0"], table["prediction_1"])
    assert max(abs(1 - value) for value in sums.to_pylist()) < 1e-6
