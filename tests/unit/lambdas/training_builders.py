"""Build recipes, labelled datasets and trained artifacts in a stage, with matching defaults."""

import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from contract import codec, container_paths, training_layout
from contract.catalog.model_fields import Feature
from contract.catalog.models import Model, ModelVersion
from contract.status import JobStatus
from contract.table import catalog_items
from contract.training.recipes import ModelRecipe, Promotion
from contract.training.training_spec import METRICS, TrainingReport, TrainingSpec
from contract.workflow.messages import ExecutionPlanInput, PlanInput
from tests.unit.lambdas.builders import REGION, STARTED_AT, Stage, any_model_spec

MODEL_FILE = b"a model"
FLIGHTS = pa.table({"distance": [1.0, 2.0, 3.0], "hour": pa.array([1, 2, 3], pa.int32()), "late": [0, 1, 0]})


def training_arn(execution_id: str = "t-1") -> str:
    return f"arn:aws:states:{REGION}:123456789012:execution:fleetscore-test-training:{execution_id}"


def training_event(request: Any, execution_id: str = "t-1", started_at: str = STARTED_AT) -> dict[str, Any]:
    return codec.to_json(PlanInput(execution_id, training_arn(execution_id), started_at, request))


def plan_after_training(event: Mapping[str, Any], training: Any) -> dict[str, Any]:
    """Return the event of PlanExecution after RunTraining. `event` is that of PrepareTraining."""
    given = codec.from_json(PlanInput, event)
    return codec.to_json(
        ExecutionPlanInput(given.execution_id, given.execution_arn, given.started_at, given.request, training)
    )


def any_recipe(model_id: str = "delays-ua", **changes: Any) -> ModelRecipe:
    recipe = ModelRecipe(
        model_id=model_id,
        trainer="xgboost",
        task="binary",
        training_dataset="flights-to-learn",
        label="late",
        features=(Feature("distance", "double"), Feature("hour", "int32")),
        dataset="flights",
        format="xgboost-json",
        method="predict",
        promotion=Promotion(floor=0.7),
        tags={"team": "risk"},
    )
    return replace(recipe, **changes)


def put_recipe(stage: Stage, recipe: ModelRecipe) -> ModelRecipe:
    stage.table.put_item(Item=catalog_items.recipe_item(recipe))
    return recipe


def put_current(stage: Stage, model_id: str = "delays-ua", *, metrics: Mapping[str, float] | None = None) -> None:
    """Register a model whose current version `1` has these metrics."""
    version = ModelVersion(spec=any_model_spec(model_id), dataset="flights", metrics=metrics or {})
    stage.table.put_item(Item=catalog_items.version_item(version))
    stage.table.put_item(Item=catalog_items.model_item(Model(model_id, "1", updated_at="before")))


def put_trainable(stage: Stage, *recipes: ModelRecipe) -> None:
    """Write recipes and the dataset that they are trained on."""
    for recipe in recipes or (any_recipe(),):
        put_recipe(stage, recipe)
    stage.upload_table(FLIGHTS, "flights-to-learn")


def any_report(spec: TrainingSpec, auc: float | None = 0.81, **changes: Any) -> TrainingReport:
    report = TrainingReport(
        execution_id=spec.execution_id,
        job_id=spec.job_id,
        model_id=spec.model_id,
        version=spec.version,
        trainer=spec.trainer,
        task=spec.task,
        framework="xgboost",
        framework_version="3.0.0",
        format=spec.format,
        model_file=spec.model_file,
        method=spec.method,
        features=spec.features,
        output_columns=("prediction",),
        metric=spec.metric,
        greater_is_better=METRICS[spec.metric].greater_is_better,
        metrics={} if auc is None else {spec.metric: auc, "accuracy": 0.75},
        metric_value=auc,
        rows_total=100,
        rows_trained=80,
        rows_held_out=20,
        best_iteration=9,
        seconds=1.5,
        resumed_from=None,
        model_bytes=len(MODEL_FILE),
    )
    return replace(report, **changes)


def pack(files: Mapping[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def train(
    stage: Stage,
    *,
    auc: float | None = 0.81,
    job_id: str = "delays-ua",
    execution_id: str = "t-1",
    change: Callable[[TrainingReport], TrainingReport] = lambda report: report,
    archive: bytes | None = None,
) -> bytes:
    """Write the artifact of the running attempt, like its training job, and return its bytes."""
    spec = stage.deployment.store.training_spec(execution_id, job_id)
    report = codec.dumps(change(any_report(spec, auc))).encode()
    body = archive or pack({spec.model_file: MODEL_FILE, container_paths.TRAINING_REPORT_NAME: report})
    job = stage.job(job_id, execution_id)
    assert job.status is JobStatus.RUNNING
    key = training_layout.trained_artifact_key(execution_id, job_id, job.sagemaker_job_name)
    stage.s3.put_object(Bucket=stage.results, Key=key, Body=body)
    return body
