"""Scores a job folder within the test process, with models that are plain Python objects."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.layout import ContainerPaths
from scoring.columns.features import FeatureBatch
from scoring.protocol import ObjectDone, ScoreObject, WorkerSetup
from scoring.worker.engine import Engine
from tests.unit.scoring.support.job_folder import JobFolder
from tests.unit.scoring.support.model_specs import any_spec


class FunctionModel:
    """A loaded model whose `predict` applies a function to the feature matrix."""

    concurrent = True
    notes: tuple[str, ...] = ()
    native = None

    def __init__(self, function: Callable[[Any], Any], kind: pa.DataType | None = None) -> None:
        self._function = function
        self.outputs = (pa.field("prediction", kind or pa.float64()),)

    def predict(self, batch: FeatureBatch) -> Any:
        return self._function(batch.matrix(np.float64))


def model_spec(*features: Feature, model_id: str = "code", **fields: Any) -> ModelSpec:
    """Return the spec of a model whose feature is `flight_id`, if no others are given."""
    return any_spec(*(features or (Feature("flight_id", "double"),)), model_id=model_id, **fields)


def engine_in_process(job: JobFolder, models: dict[ModelSpec, Any], *, batch_rows: int = 65_536) -> Engine:
    """Return an engine for the folder's objects and these models."""
    setup = WorkerSetup(
        execution_id="execution-1",
        job_id="job-1",
        batch_rows=batch_rows,
        scratch=str(job.paths.root / "scratch"),
        models=tuple(models),
        model_files=tuple("" for _ in models),
    )
    return Engine(setup, list(models.values()), ContainerPaths(job.paths.root), lambda _: None)


def score_in_process(
    job: JobFolder,
    models: dict[ModelSpec, Any],
    *,
    batch_rows: int = 65_536,
    threads: int = 1,
    retry_rows: int = 0,
) -> list[ObjectDone]:
    """Score every object of the folder with these models. `retry_rows` 0 means a first try."""
    engine = engine_in_process(job, models, batch_rows=batch_rows)
    return [engine.score(ScoreObject(item, threads, retry_rows)) for item in job.objects]
