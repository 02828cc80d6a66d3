"""A worker that dies does not fail the job: its task is retried alone, with smaller batches."""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import DEADLINE_SECONDS, JobFolder, cloudpickle_saver, doubles


class CodeModel:
    def __init__(self, code: Callable[..., Any], *arguments: Any) -> None:
        self.code = code
        self.arguments = arguments

    def predict(self, matrix: Any) -> Any:
        return self.code(matrix, *self.arguments)


def add_code(job: JobFolder, code: Callable[..., Any], *arguments: Any, model_id: str = "code") -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    job.add_model(model_id, cloudpickle_saver(CodeModel(code, *arguments)), features=doubles("flight_id"))


def die_of_large_batches(matrix: Any, largest: int) -> Any:
    if len(matrix) > largest:
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix[:, 0]


def test_retry_with_smaller_batches_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    jobs = [JobFolder(tmp_path / name) for name in ("reference", "killed")]
    for job, largest in zip(jobs, (10_000, 300), strict=True):
        add_code(job, die_of_large_batches, largest)
        job.add_object("large.parquet", make_flights(5_000, 1), row_group_size=2_000)
        job.add_object("small.parquet", make_flights(200, 2))
        job.write_spec(batch_rows=2_048)
        job.score("--cores", "2")
    assert jobs[0].files() == jobs[1].files()
    assert jobs[1].commit("code", "large.parquet").rows_scored == 5_000


def die_always(matrix: Any, first_rows: list[float]) -> Any:
    if matrix[0, 0] in first_rows:
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix[:, 0]


def test_object_that_always_crashes_fails_alone_after_retries(job: JobFolder) -> None:
    add_code(job, die_always, [2_000_000.0])
    for seed in (1, 2, 3, 4):
        job.add_object(f"{seed}.parquet", make_flights(1_000, seed))
    job.write_spec(batch_rows=65_536)

    assert job.run("--cores", "2").returncode == 1

    assert job.message.startswith("TRANSIENT: 1 of 4 objects failed: a worker was killed (SIGKILL)")
    assert "while scoring object '2.parquet'" in job.message
    assert "it was tried 3 times, the last time alone and with batches of 1,024 rows" in job.message
    assert job.committed() == {("code", f"{seed}.parquet") for seed in (1, 3, 4)}


def test_model_that_always_crashes_is_not_tried_on_every_object(job: JobFolder, tmp_path: Path) -> None:
    def die(matrix: Any, folder: Path) -> Any:
        (folder / f"{os.getpid()}-{matrix[0, 0]:.0f}").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    calls = tmp_path / "calls"
    calls.mkdir()
    add_code(job, die, calls)
    for seed in range(8):
        job.add_object(f"{seed}.parquet", make_flights(10, seed))
    job.write_spec()

    assert job.run("--workers", "1").returncode == 1

    assert job.message.startswith("TRANSIENT: a worker was killed (SIGKILL) while scoring object")
    # Three objects once, then each of them alone twice more.
    assert len(list(calls.iterdir())) == 3 + 3 * 2
    assert job.committed() == set()


def die_next_to_another(matrix: Any, folder: Path) -> Any:
    """Kill the worker once, at the object of two rows, while that of three rows is predicted."""
    met = folder / "met"
    if len(matrix) == 3 and not met.exists():
        (folder / "three").touch()
        # The worker dies meanwhile; if it does not, an assertion below fails.
        time.sleep(20)
    if len(matrix) == 2 and not met.exists():
        deadline = time.monotonic() + 20
        while not (folder / "three").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        met.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix


def test_objects_next_to_a_crashing_one_are_scored_once(job: JobFolder, tmp_path: Path) -> None:
    """Any of them may be the cause, so each is retried alone; none is lost or scored twice."""
    folder = tmp_path / "seen"
    folder.mkdir()
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    data = make_flights(50, 0)[["flight_id"]].to_numpy().astype(float)
    # Built of scikit-learn's own steps, which may predict concurrently in one worker.
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(data, data[:, 0])
    model.steps[0][1].func = partial(die_next_to_another, folder=folder)
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


def die_after_writing(matrix: Any, folder: Path) -> Any:
    """Let the worker die once, right after it has told the supervisor that an object is written."""
    from scoring.worker.task_runner import EventPipe  # noqa: PLC0415

    send = EventPipe.send
    (folder / f"{os.getpid()}-{matrix[0, 0]:.0f}").touch()

    def send_and_die(pipe: Any, event: Any) -> None:
        send(pipe, event)
        if not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    EventPipe.send = send_and_die  # type: ignore[method-assign]
    return matrix[:, 0]


def test_object_that_a_dead_worker_has_written_is_committed_once(job: JobFolder, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    add_code(job, die_after_writing, seen)
    for seed in range(3):
        job.add_object(f"{seed}.parquet", make_flights(10, seed))
    job.write_spec()

    events = job.score("--workers", "1", "--cores", "1")

    scored = [event["object"] for event in events if event["event"] == "object_scored"]
    assert sorted(scored) == ["0.parquet", "1.parquet", "2.parquet"]
    # Each object was predicted by one worker, so the first one was not retried.
    assert sorted(path.name.partition("-")[2] for path in seen.glob("*-*")) == ["0", "1000000", "2000000"]


def die_and_leave_a_process(matrix: Any, folder: Path) -> Any:
    """Die once; the process that is left holds the worker's pipes."""
    if not (folder / "died").exists():
        (folder / "died").touch()
        if not os.fork():
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix[:, 0]


def test_death_is_noticed_although_a_process_of_the_model_holds_the_pipe(job: JobFolder, tmp_path: Path) -> None:
    add_code(job, die_and_leave_a_process, tmp_path)
    job.add_object("0.parquet", make_flights(50, 0))
    job.write_spec()
    job.score("--cores", "1")
    assert job.commit("code", "0.parquet").rows_scored == 50


def fill_the_log(matrix: Any, folder: Path) -> Any:
    """Make the log's pipe non-blocking and full, and fail."""
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, b"x" * 4096)
    except BlockingIOError:
        (folder / "full").touch()
        raise ValueError("the log is full") from None


def test_log_that_takes_no_text_does_not_stop_the_job(job: JobFolder, tmp_path: Path) -> None:
    add_code(job, fill_the_log, tmp_path)
    job.add_object("0.parquet", make_flights(50, 0))
    job.write_spec()
    with job.start("--workers", "1") as process:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (tmp_path / "full").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert job.message.startswith("MODEL: 1 of 1 objects failed")
