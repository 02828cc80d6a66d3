"""A worker that dies does not take the job down: its unit is tried again alone, with smaller batches."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from tests.unit.scoring.flights import make_flights
from tests.unit.scoring.job_folder import JobFolder, by_value_saver, doubles


class Code:
    def __init__(self, code: Callable[..., Any], *arguments: Any) -> None:
        self.code = code
        self.arguments = arguments

    def predict(self, matrix: Any) -> Any:
        return self.code(matrix, *self.arguments)


def add_code(job: JobFolder, code: Callable[..., Any], *arguments: Any, model_id: str = "code") -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    job.add_model(model_id, by_value_saver(Code(code, *arguments)), features=doubles("flight_id"))


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
