"""Scores a job folder within the test process, with models that are plain Python objects."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.commits.object_commits import ObjectCommits
from scoring.protocol import GroupWritten, ObjectDone, ObjectTask, ObjectWritten, ScoreGroup, ScoreObject, WorkerSetup
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


def setup_in_process(
    job: JobFolder, models: dict[ModelSpec, Any], *, batch_rows: int = 65_536, **fields: Any
) -> WorkerSetup:
    """Return the setup of a worker for these models, whose folders exist; `fields` are further ones."""
    scratch = job.paths.root / "scratch"
    for name in ("worker-0", "parts"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    return WorkerSetup(
        execution_id="execution-1",
        job_id="job-1",
        batch_rows=batch_rows,
        scratch=str(scratch / "worker-0"),
        models=tuple(models),
        model_files=tuple("" for _ in models),
        parts=str(scratch / "parts"),
        data=str(job.objects_folder),
        **fields,
    )


def engine_in_process(
    job: JobFolder, models: dict[ModelSpec, Any], *, batch_rows: int = 65_536, **fields: Any
) -> Engine:
    """Return an engine for the folder's objects and these models; `fields` are further ones of its setup."""
    setup = setup_in_process(job, models, batch_rows=batch_rows, **fields)
    return Engine(setup, list(models.values()), lambda _: None)


@contextmanager
def commits_in_process(job: JobFolder, models: dict[ModelSpec, Any], **fields: Any) -> Iterator[ObjectCommits]:
    """Yield the commits for an engine's objects; `fields` are further ones of its setup."""
    setup = setup_in_process(job, models, **fields)
    staging = Path(setup.scratch).parent / "committing"
    with closing(ObjectCommits(setup, job.paths, staging, None)) as commits:
        yield commits
    shutil.rmtree(staging)


def commit_in_process(commits: ObjectCommits, task: ObjectTask, written: ObjectWritten, job: JobFolder) -> ObjectDone:
    """Commit what an engine has written, and return the end of the object."""
    commits.start(task, written, job.paths.root / "scratch" / "worker-0")
    [(done, _)] = commits.ended()
    return done


def commit_group_in_process(
    commits: ObjectCommits, task: ScoreGroup, written: GroupWritten, job: JobFolder
) -> list[ObjectDone]:
    """Commit the objects of a group, and return their ends."""
    commits.start_group(task, written, job.paths.root / "scratch" / "worker-0")
    ended: list[ObjectDone] = []
    while commits.pending:
        ended += [done for done, _ in commits.ended()]
    return ended


def score_in_process(
    job: JobFolder,
    models: dict[ModelSpec, Any],
    *,
    batch_rows: int = 65_536,
    threads: int = 1,
    retry_rows: int = 0,
    **fields: Any,
) -> list[ObjectDone]:
    """Score and commit every object of the folder. `retry_rows` 0 means a first try."""
    engine = engine_in_process(job, models, batch_rows=batch_rows, **fields)
    tasks = [ScoreObject(item, threads, retry_rows) for item in job.objects]
    with commits_in_process(job, models, **fields) as commits:
        return [commit_in_process(commits, task, engine.score(task), job) for task in tasks]
