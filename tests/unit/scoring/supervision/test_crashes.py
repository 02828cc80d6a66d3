"""A worker that dies does not take the job down: its unit is tried again alone, with smaller batches."""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.unit.scoring.flight_data import make_flights
from tests.unit.scoring.job_folder import JobFolder, cloudpickle_saver, doubles


class Code:
    def __init__(self, code: Callable[..., Any], *arguments: Any) -> None:
        self.code = code
        self.arguments = arguments

    def predict(self, matrix: Any) -> Any:
        return self.code(matrix, *self.arguments)


def add_code(job: JobFolder, code: Callable[..., Any], *arguments: Any, model_id: str = "code") -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    job.add_model(model_id, cloudpickle_saver(Code(code, *arguments)), features=doubles("flight_id"))


def die_of_large_batches(matrix: Any, largest: int) -> Any:
    if len(matrix) > largest:
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix[:, 0]


def test_an_object_that_needs_too_much_memory_is_scored_with_smaller_batches_and_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    jobs = [JobFolder(tmp_path / name) for name in ("undisturbed", "killed")]
    for job, largest in zip(jobs, (10_000, 300), strict=True):
        add_code(job, die_of_large_batches, largest)
        job.add_object("large.parquet", make_flights(5_000, 1), row_group_size=2_000)
        job.add_object("small.parquet", make_flights(200, 2))
        job.write_spec(batch_rows=2_048)
        job.score("--cores", "2")
    assert jobs[0].files() == jobs[1].files()
    assert jobs[1].marker("code", "large.parquet").rows_scored == 5_000


def die_always(matrix: Any, first_rows: list[float], how: int) -> Any:
    if matrix[0, 0] in first_rows:
        os.kill(os.getpid(), how)
    return matrix[:, 0]


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [(signal.SIGKILL, "TRANSIENT", "a worker was killed (SIGKILL)"), (signal.SIGABRT, "MODEL", "(SIGABRT)")],
)
def test_an_object_that_takes_every_worker_down_fails_alone_and_says_how_it_was_tried(
    job: JobFolder, how: int, kind: str, said: str
) -> None:
    add_code(job, die_always, [2_000_000.0], int(how))
    for seed in (1, 2, 3, 4):
        job.add_object(f"{seed}.parquet", make_flights(1_000, seed))
    job.write_spec(batch_rows=65_536)

    assert job.run("--cores", "2").returncode == 1

    assert job.message.startswith(f"{kind}: 1 of 4 objects failed: a ")
    assert said in job.message
    assert "while scoring object '2.parquet'" in job.message
    assert "it was tried 3 times, at last alone and with batches of 1,024 rows" in job.message
    assert {path.name for path in job.paths.ledger.rglob("*.json")} == {f"{seed}.parquet.json" for seed in (1, 3, 4)}


def test_a_model_that_takes_every_worker_down_is_not_tried_on_every_object(job: JobFolder, tmp_path: Path) -> None:
    def die(matrix: Any, folder: Path) -> Any:
        (folder / f"{os.getpid()}-{matrix[0, 0]:.0f}").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    visits = tmp_path / "visits"
    visits.mkdir()
    add_code(job, die, visits)
    for seed in range(8):
        job.add_object(f"{seed}.parquet", make_flights(10, seed))
    job.write_spec()

    assert job.run("--workers", "1").returncode == 1

    assert job.message.startswith("TRANSIENT: a worker was killed (SIGKILL) while scoring object")
    # Three objects once, and then each of them alone, twice more: after these it is not the objects.
    assert len(list(visits.iterdir())) == 3 + 3 * 2
    assert list(job.paths.ledger.rglob("*.json")) == []


def flood(matrix: Any) -> Any:
    for _ in range(200):
        sys.stdout.write("x" * 20_000 + "\n")
        os.write(1, b"y" * 20_000)
    return matrix[:, 0]


def test_a_model_that_prints_a_lot_is_scored_all_the_same(job: JobFolder) -> None:
    add_code(job, flood)
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    (scored, ended) = job.score()

    assert (scored["event"], ended["event"]) == ("object_scored", "shard_ended")


def die_beside_another(matrix: Any, folder: Path) -> Any:
    """The object of two rows dies once the one of three rows is predicted beside it, the first time only."""
    met = folder / "met"
    if len(matrix) == 3 and not met.exists():
        (folder / "three").touch()
        # Until its worker dies; should it not, the test says so by what is missing.
        time.sleep(20)
    if len(matrix) == 2 and not met.exists():
        deadline = time.monotonic() + 20
        while not (folder / "three").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        met.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix


def test_what_was_beside_an_object_that_took_their_worker_down_is_scored_too(job: JobFolder, tmp_path: Path) -> None:
    """Nobody can tell which of them it was, so that each is tried again alone; neither is lost nor scored twice."""
    folder = tmp_path / "seen"
    folder.mkdir()
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    data = make_flights(50, 0)[["flight_id"]].to_numpy().astype(float)
    # Of scikit-learn's own steps: these may predict beside each other in one worker.
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(data, data[:, 0])
    model.steps[0][1].func = partial(die_beside_another, folder=folder)
    job.add_model("code", cloudpickle_saver(model), features=doubles("flight_id"))
    for rows in (3, 2, 5, 6):
        job.add_object(f"{rows}.parquet", make_flights(rows, rows))
    job.write_spec()

    ended = job.score("--cores", "2", "--workers", "1")

    assert [event["objects"] for event in ended if event["event"] == "shard_ended"] == [4]
    assert sorted(event["object"] for event in ended if event["event"] == "object_scored") == [
        f"{rows}.parquet" for rows in (2, 3, 5, 6)
    ]
    assert (folder / "met").exists()
