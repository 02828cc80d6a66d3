"""Objects that several worker processes share, because the model lets no two threads predict at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.protocol import Failure, JoinParts, ObjectDone, PartDone, ScorePart
from scoring.supervision.split_objects import SharedObjects, can_be_shared
from tests.unit.scoring.barrier_model import add_barrier_model
from tests.unit.scoring.flight_data import make_flights
from tests.unit.scoring.in_process import FunctionModel, engine_in_process, model_spec, score_in_process
from tests.unit.scoring.job_folder import JobFolder

FIRST = 1_000_000


def fails_on_some(matrix: Any) -> Any:
    rows = matrix[:, 0] - FIRST
    if (rows % 100 == 50).any():
        raise ValueError("no")
    return np.where(rows % 100 == 10, np.nan, rows)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("group_rows", [90, 1_000])
def test_an_object_in_parts_gives_the_same_bytes_as_in_one_piece(tmp_path: Path, parts: int, group_rows: int) -> None:
    jobs = [JobFolder(tmp_path / name) for name in ("whole", "parts")]
    models = {
        model_spec(model_id="tolerant", tolerated_quarantine_fraction=0.1): FunctionModel(fails_on_some),
        model_spec(model_id="good", key_columns=("flight_id",), columns="keys"): FunctionModel(
            lambda matrix: matrix[:, 0]
        ),
        model_spec(model_id="strict"): FunctionModel(fails_on_some),
    }
    for job in jobs:
        job.add_object("a.parquet", make_flights(1_000, 1), row_group_size=group_rows)
    (whole,) = score_in_process(jobs[0], models, batch_rows=64)

    engine, item = engine_in_process(jobs[1], models, batch_rows=64), jobs[1].objects[0]
    failed: set[str] = set()
    for part in reversed(range(parts)):
        done = engine.score_part(ScorePart(item, part, parts))
        failed |= {failure.model_id for failure in done.failures}
    joined = engine.join_parts(JoinParts(item, parts, tuple(failed)))

    assert failed == {"strict"} == {failure.model_id for failure in whole.failures}
    assert (joined.rows, joined.failures) == (1_000, ())
    outputs = [{name: content for name, content in job.files().items() if "scratch" not in name} for job in jobs]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 5
    assert not list(jobs[1].paths.root.glob("scratch/parts/*"))


def test_one_large_object_is_shared_by_the_processes_of_a_model_that_takes_one_call_at_a_time(job: JobFolder) -> None:
    folder = add_barrier_model(job, processes=2)
    table = pa.Table.from_pandas(make_flights(100_000, 1), preserve_index=False)
    filler = pa.array(np.random.default_rng(0).random(100_000))
    job.add_object("a.parquet", table.append_column("filler", filler).append_column("more", filler), compression="none")
    job.add_object("small.parquet", make_flights(10, 2))
    assert can_be_shared(job.objects[0])
    job.write_spec(batch_rows=1_000)

    job.score("--cores", "2")

    assert len(list(folder.iterdir())) == 2
    marker = job.marker("barrier", "a.parquet")
    assert marker.rows_scored == 100_000
    assert job.output("barrier", "a.parquet")["prediction"].to_pylist() == [FIRST + row for row in range(100_000)]
    assert job.output("barrier", "small.parquet").num_rows == 10


ITEM = PinnedObject("a.parquet", 1 << 30, "etag")


def test_parts_are_joined_when_the_last_one_is_done_without_the_models_that_failed() -> None:
    shared = SharedObjects(models=2)
    assert [task.part for task in shared.share(ITEM, 3)] == [0, 1, 2]
    later, earlier = (Failure("bad", FailureKind.MODEL, f"in part {part}") for part in (2, 1))
    assert shared.part_done(PartDone("a.parquet", 2, 1.0, (later,))) is None
    assert shared.part_done(PartDone("a.parquet", 1, 1.0, (earlier,))) is None
    assert shared.part_done(PartDone("a.parquet", 0, 1.0)) == JoinParts(ITEM, 3, ("bad",))
    assert shared.end(ObjectDone("a.parquet", 10, 1.0)) == ObjectDone("a.parquet", 10, 4.0, (earlier,))


def test_an_object_that_cannot_be_read_ends_with_its_first_failing_part() -> None:
    shared = SharedObjects(models=2)
    shared.share(ITEM, 3)
    failure = Failure("", FailureKind.DATA, "damaged")
    assert shared.part_done(PartDone("a.parquet", 1, 1.0, (failure,))) == ObjectDone("a.parquet", 0, 1.0, (failure,))
    assert shared.part_done(PartDone("a.parquet", 2, 1.0, (failure,))) is None


@pytest.mark.parametrize(
    ("key", "size", "can"), [("a.parquet", 1 << 30, True), ("a.parquet", 1_000, False), ("a.csv", 1 << 30, False)]
)
def test_only_what_is_large_and_can_be_read_from_the_middle_is_shared(key: str, size: int, can: bool) -> None:
    assert can_be_shared(PinnedObject(key, size, "etag")) is can
