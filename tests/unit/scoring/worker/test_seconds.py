"""The seconds of each commit: what its model took on threads, and a part of what all models have in common."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scoring.protocol import GroupWritten, MergeParts, ObjectWritten, PredictPart, ScoreGroup, ScoreObject
from scoring.worker.engine import Engine
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import (
    FunctionModel,
    commit_in_process,
    commits_in_process,
    engine_in_process,
    model_spec,
)
from tests.unit.scoring.support.job_folder import JobFolder

BUSY_SECONDS = 0.02
ROWS = 100

Written = list[ObjectWritten]


class RowModel(FunctionModel):
    """A model that may predict rows of several objects in one call."""

    rows_are_independent = True


def slow(matrix: Any) -> Any:
    """Keep the thread busy for a time that does not depend on the rows."""
    until = time.perf_counter() + BUSY_SECONDS
    while time.perf_counter() < until:
        pass
    return matrix[:, 0]


def in_one_task(engine: Engine, job: JobFolder) -> Written:
    written = [engine.run_task(ScoreObject(item, 1)) for item in job.objects]
    return [each for each in written if isinstance(each, ObjectWritten)]


def on_two_threads(engine: Engine, job: JobFolder) -> Written:
    written = [engine.run_task(ScoreObject(item, 2, batch_rows=ROWS // 4)) for item in job.objects]
    return [each for each in written if isinstance(each, ObjectWritten)]


def in_a_group(engine: Engine, job: JobFolder) -> Written:
    written = engine.run_task(ScoreGroup(tuple(job.objects)))
    assert isinstance(written, GroupWritten)
    return list(written.objects)


def in_parts(engine: Engine, job: JobFolder) -> Written:
    found = []
    for item in job.objects:
        parts = [engine.predict_part(PredictPart(item, part, 2)) for part in range(2)]
        found.append(engine.merge_parts(MergeParts(item, 2, (), seconds=sum(part.seconds for part in parts))))
    return found


@pytest.mark.parametrize("way", [in_one_task, on_two_threads, in_a_group, in_parts], ids=lambda way: way.__name__)
def test_each_model_gets_its_own_time_and_a_part_of_the_common_time(
    tmp_path: Path, way: Callable[[Engine, JobFolder], Written]
) -> None:
    job = JobFolder(tmp_path)
    for number in range(3):
        job.add_object(f"{number}.parquet", make_flights(ROWS, number), row_group_size=ROWS // 4)
    models = {
        model_spec(model_id="slow"): RowModel(slow),
        model_spec(model_id="quick"): RowModel(lambda matrix: matrix[:, 0]),
    }
    engine = engine_in_process(job, models)
    way(engine, job)  # First calls import libraries.

    calls = 1 if way is in_a_group else len(job.objects)
    quick: list[float] = []
    slow_ones: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        written = way(engine, job)
        elapsed = time.perf_counter() - started
        seconds = {
            model.model_id: sum(
                output.seconds + each.common_seconds
                for each in written
                for output in each.outputs
                if output.model_id == model.model_id
            )
            for model in models
        }
        assert seconds["slow"] >= calls * BUSY_SECONDS
        assert sum(seconds.values()) <= elapsed * (2 if way is on_two_threads else 1)
        quick.append(seconds["quick"])
        slow_ones.append(seconds["slow"])
    # A busy machine may interrupt one call of the quick model.
    assert 0 < min(quick) < min(slow_ones)


def test_the_ledger_has_the_seconds(tmp_path: Path) -> None:
    job = JobFolder(tmp_path)
    job.add_object("a.parquet", make_flights(ROWS, 1))
    models = {model_spec(model_id="slow"): FunctionModel(slow)}
    engine, task = engine_in_process(job, models), ScoreObject(job.objects[0], 1)

    with commits_in_process(job, models) as commits:
        written = engine.score(task)
        commit_in_process(commits, task, written, job)

    assert BUSY_SECONDS <= job.commit("slow", "a.parquet").seconds <= written.seconds + 1e-6
