"""Objects are assigned to workers; the models of the tests report their process."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contract.catalog.model_fields import Feature
from contract.container_paths import ContainerPaths
from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.commits.object_commits import ObjectCommits
from scoring.errors import ModelError
from scoring.protocol import (
    Failure,
    ObjectWritten,
    ScoreObject,
    SetupFailed,
    WorkerReady,
    WorkerSetup,
    WrittenFile,
    WrittenOutput,
    decode_command,
    decode_event,
    encode,
)
from scoring.supervision.supervisor import Supervisor
from tests.unit.scoring.support.barrier_model import add_barrier_model
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import REPOSITORY, JobFolder
from tests.unit.scoring.support.model_specs import any_spec


def processes_of(job: JobFolder) -> set[float]:
    return {job.output("barrier", item.key)["prediction"][0].as_py() for item in job.objects}


def test_slow_model_gets_a_second_worker_for_small_objects(job: JobFolder) -> None:
    add_barrier_model(job, processes=2, predicts_process_id=True)
    for seed in range(4):
        job.add_object(f"{seed}.parquet", make_flights(10, seed))
    job.write_spec()

    job.score("--cores", "2")

    assert len(processes_of(job)) == 2


def test_small_fast_job_has_one_worker(job: JobFolder) -> None:
    add_barrier_model(job, processes=1, predicts_process_id=True)
    for seed in range(4):
        job.add_object(f"{seed}.parquet", make_flights(10, seed))
    job.write_spec()

    job.score("--cores", "4")

    assert len(processes_of(job)) == 1


def test_no_worker_outlives_a_failed_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.json").write_text("no model")
    spec = any_spec(Feature("x", "double"))
    setup = WorkerSetup(
        "e", "j", 10, "", (spec,), (str(tmp_path / "model.json"),), str(tmp_path / "parts"), str(tmp_path)
    )
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY / 'inference_container'}{os.pathsep}{REPOSITORY}")
    paths = ContainerPaths(tmp_path)
    for folder in (paths.predictions, paths.quarantine, paths.ledger):
        folder.mkdir(parents=True)
    commits = ObjectCommits(setup, paths, tmp_path / "committing", None)
    with closing(commits), Supervisor([spec.format], 1, scratch=tmp_path) as supervisor:
        supervisor.start_worker()
        (worker,) = supervisor._workers
        with pytest.raises(ModelError, match="model 'model'"):
            supervisor.score(setup, [PinnedObject("a.parquet", 1, "etag")], commits, lambda _: None)
    with pytest.raises(ProcessLookupError):
        os.kill(worker._process.pid, 0)


@pytest.mark.parametrize(
    "message",
    [
        WorkerReady(0.5),
        SetupFailed(FailureKind.MODEL, "why\nand how"),
        ObjectWritten("a.parquet", "0", 10, 0.25, failures=(Failure("model", FailureKind.DATA, "why"),)),
        ObjectWritten(
            "a.parquet", "0", 1, 0.2, (WrittenOutput("m", 1, 1, 0, WrittenFile(1, "rosUhgp5mIg="), notes=("n",)),)
        ),
    ],
)
def test_messages_are_encoded_as_one_line(message: Any) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode_event(line) == message


@pytest.mark.parametrize(
    "message",
    [
        ScoreObject(PinnedObject("ü/a.parquet", 1, "etag"), 2),
        WorkerSetup("e", "j", 10, "/scratch", (any_spec(Feature("x", "double")),), ("/model.json",), "/parts", "/data"),
    ],
)
def test_commands_are_encoded_as_one_line(message: Any) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode_command(line) == message
