"""Every line of a job's log says whose it is, also those of models and of workers that were killed."""

import ctypes
import json
import os
import signal
import sys
from functools import partial
from typing import Any

import cloudpickle
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from contract import environment
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder, cloudpickle_saver, doubles

VARIABLES = {environment.EXECUTION_ID: "e-1", environment.JOB_ID: "job-1", environment.ATTEMPT: "2"}
IDENTITY = {"execution": "e-1", "job": "job-1", "attempt": "2"}


def print_and_die(matrix: Any, most: int) -> Any:
    """Print as models do, and let the worker be killed for more than `most` rows."""
    print(f"predicting {len(matrix)} rows")
    sys.stdout.flush()
    sys.stderr.write('{"event": "object_scored", "object": "forged"}\n')
    if len(matrix) > most:
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix


def run(job: JobFolder, most: int, **variables: str) -> tuple[int, list[dict[str, Any]]]:
    """Score 3,000 rows, and return the exit code and all lines of the log."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    data = make_flights(50, 0)[["flight_id"]].to_numpy().astype(float)
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(data, data[:, 0])
    model.steps[0][1].func = partial(print_and_die, most=most)
    job.add_model("hungry", cloudpickle_saver(model), features=doubles("flight_id"))
    job.add_object("a.parquet", make_flights(3_000, 1))
    job.write_spec()
    ended = job.run("--workers", "1", **VARIABLES, **variables)
    return ended.returncode, [json.loads(line) for line in [*ended.stdout.splitlines(), *ended.stderr.splitlines()]]


def test_each_line_names_execution_job_and_attempt(job: JobFolder) -> None:
    code, lines = run(job, 5_000)
    assert code == 0
    assert lines
    for line in lines:
        assert line.items() >= IDENTITY.items(), line
    printed = [line for line in lines if line["event"] == "output"]
    assert "predicting 3000 rows" in [line["text"] for line in printed]
    for line in printed:
        assert line["models"] == ["hungry"], line
    # A model cannot write events of the supervisor.
    assert [line["object"] for line in lines if line["event"] == "object_scored"] == ["a.parquet"]


def test_a_killed_worker_leaves_a_line_with_object_and_model(job: JobFolder) -> None:
    code, lines = run(job, 500)
    died = [line for line in lines if line["event"] == "worker_died"]
    assert code == 1
    assert [line["batch_rows"] for line in died] == [65_536, 8_192, 1_024]
    for line in died:
        expected = {**IDENTITY, "objects": ["a.parquet"], "models": ["hungry"], "exit_code": -signal.SIGKILL}
        assert line.items() >= expected.items()


def test_an_attempt_with_smaller_batches_succeeds(job: JobFolder) -> None:
    code, _ = run(job, 500, **{environment.BATCH_ROWS: "8192"})
    assert code == 0


def test_a_number_of_rows_that_is_none_is_refused(job: JobFolder) -> None:
    code, lines = run(job, 500, **{environment.BATCH_ROWS: "many"})
    assert (code, job.message.partition(":")[0]) == (1, "CONFIGURATION")
    assert "the variable FLEETSCORE_BATCH_ROWS is 'many'" in job.message
    assert "ConfigurationError" in next(line["traceback"] for line in lines if line["event"] == "error")


def print_from_c_and_die(matrix: Any, most: int) -> Any:
    """Print as libraries in C do, and let the worker be killed for more than `most` rows."""
    ctypes.CDLL(None).dprintf(1, b"from C\n")
    if len(matrix) > most:
        os.kill(os.getpid(), signal.SIGKILL)
    return matrix


def test_the_line_of_a_killed_worker_names_the_model_that_it_was_calling(job: JobFolder) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    data = make_flights(50, 0)[["flight_id"]].to_numpy().astype(float)
    for name in ("a-light", "b-hungry", "c-light"):
        model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(data, data[:, 0])
        model.steps[0][1].func = partial(print_from_c_and_die, most=500 if name == "b-hungry" else 5_000)
        job.add_model(name, cloudpickle_saver(model), features=doubles("flight_id"))
    job.add_object("a.parquet", make_flights(3_000, 1))
    job.write_spec()

    ended = job.run("--workers", "1", **VARIABLES)

    lines = [json.loads(line) for line in [*ended.stdout.splitlines(), *ended.stderr.splitlines()]]
    died = [line for line in lines if line["event"] == "worker_died"]
    assert [(line["objects"], line["models"]) for line in died] == [(["a.parquet"], ["b-hungry"])] * 3
    assert "while scoring object 'a.parquet' with model 'b-hungry', most likely out of memory" in job.message
    assert {"from C"} == {line["text"] for line in lines if line["event"] == "output"}
