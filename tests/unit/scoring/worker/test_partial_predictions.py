"""Objects predicted in parts by several processes, for models that allow one call at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from scoring.protocol import MergeParts, PredictPart
from scoring.supervision.split_objects import can_be_split
from tests.unit.scoring.support.barrier_model import add_barrier_model
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import (
    FunctionModel,
    commit_in_process,
    commits_in_process,
    engine_in_process,
    model_spec,
    score_in_process,
)
from tests.unit.scoring.support.job_folder import JobFolder

FIRST = 1_000_000


def fails_on_some(matrix: Any) -> Any:
    rows = matrix[:, 0] - FIRST
    if (rows % 100 == 50).any():
        raise ValueError("no")
    return np.where(rows % 100 == 10, np.nan, rows)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("group_rows", [90, 1_000])
def test_object_in_parts_gives_the_same_bytes_as_in_one_pass(tmp_path: Path, parts: int, group_rows: int) -> None:
    jobs = [JobFolder(tmp_path / name) for name in ("whole", "parts")]
    models = {
        model_spec(model_id="tolerant", tolerated_quarantine_fraction=0.1): FunctionModel(fails_on_some),
        model_spec(model_id="good", key_columns=("flight_id",), columns="keys"): FunctionModel(
            lambda matrix: matrix[:, 0]
        ),
        model_spec(model_id="strict"): FunctionModel(fails_on_some),
        # Its notes have counts.
        model_spec(Feature("whole", "int64"), model_id="whole"): FunctionModel(
            lambda matrix: np.nan_to_num(matrix[:, 0])
        ),
    }
    for job in jobs:
        flights = pa.Table.from_pandas(make_flights(1_000, 1), preserve_index=False)
        whole_numbers = pa.array(np.where(np.arange(1_000) % 10 == 3, np.nan, np.arange(1_000)))
        job.add_object("a.parquet", flights.append_column("whole", whole_numbers), row_group_size=group_rows)
    (whole,) = score_in_process(jobs[0], models, batch_rows=64)

    engine, item = engine_in_process(jobs[1], models, batch_rows=64), jobs[1].objects[0]
    failed: set[str] = set()
    for part in reversed(range(parts)):
        done = engine.predict_part(PredictPart(item, part, parts))
        failed |= {failure.model_id for failure in done.failures}
    merge = MergeParts(item, parts, tuple(failed))
    with commits_in_process(jobs[1], models) as commits:
        joined = commit_in_process(commits, merge, engine.merge_parts(merge), jobs[1])

    assert failed == {"strict"} == {failure.model_id for failure in whole.failures}
    assert (joined.rows, joined.failures) == (1_000, ())
    outputs = [{name: content for name, content in job.files().items() if "scratch" not in name} for job in jobs]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 7
    assert jobs[0].commit("whole", "a.parquet").counts == {
        "column 'whole' has floating-point numbers that are read as whole numbers": 900,
        "column 'whole' has NaN that is read as null": 100,
    }
    assert not list(jobs[1].paths.root.glob("scratch/parts/*"))


def test_large_object_of_a_single_threaded_model_is_split(job: JobFolder) -> None:
    folder = add_barrier_model(job, processes=2)
    table = pa.Table.from_pandas(make_flights(100_000, 1), preserve_index=False)
    filler = pa.array(np.random.default_rng(0).random(100_000))
    job.add_object("a.parquet", table.append_column("filler", filler).append_column("more", filler), compression="none")
    job.add_object("small.parquet", make_flights(10, 2))
    assert can_be_split(job.objects[0], job.objects_folder / job.objects[0].key)
    job.write_spec(batch_rows=1_000)

    job.score("--cores", "2")

    assert len(list(folder.iterdir())) == 2
    commit = job.commit("barrier", "a.parquet")
    assert commit.rows_scored == 100_000
    assert job.output("barrier", "a.parquet")["prediction"].to_pylist() == [FIRST + row for row in range(100_000)]
    assert job.output("barrier", "small.parquet").num_rows == 10
