"""Custom code that attacks its own job in the embedded AWS, where workers have their own user."""

import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.documents.model_document import ModelDocument
from cli.sandbox.isolation import IsolationKind, probe
from contract import layout
from contract.status import ExecutionStatus, FailureKind, JobStatus
from tests.e2e.stage import FEATURES, Stage, people, train_xgboost

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or probe().kind is not IsolationKind.ROOT,
    reason="workers get their own user only in containers with root's rights, which need root on Linux",
)

SPY = """
import json, os, pathlib, signal

def model_fn(model_dir):
    return None

def predict_fn(data, model):
    supervisor, root = os.getppid(), pathlib.Path("/opt/ml")
    output, given = root / "processing/output", root / "processing/input"
    unfinished = output / ".unfinished"
    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"attacked")
    attempts = {
        "prediction": lambda: write(output / "predictions/model_id=honest/people.parquet"),
        "segment": lambda: write(output / "ledger/1-0123456789abcdef0123456789abcdef.jsonl"),
        "exit message": lambda: write(root / "output/message"),
        "artifact": lambda: write(unfinished / "models/honest/model.ubj"),
        "archive": lambda: write(next((given / "models").rglob("model.tar.gz"))),
        "input": lambda: write(given / "data/attacked/people.parquet"),
        "environment": lambda: pathlib.Path(f"/proc/{supervisor}/environ").read_bytes(),
        "supervisor": lambda: os.kill(supervisor, signal.SIGKILL),
        "root": lambda: os.setuid(0),
    }
    outcomes = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            outcomes[name] = "succeeded"
        except OSError as error:
            outcomes[name] = type(error).__name__
    pathlib.Path(REPORT).write_text(json.dumps(outcomes))
    return data["age"].fillna(0.0)
"""
FORGER = """
import pathlib

def model_fn(model_dir):
    return None

def predict_fn(data, model):
    from scoring.worker.task_runner import EventPipe
    send = EventPipe.send
    def forged(pipe, event):
        if ATTACK == "link":
            (path,) = pathlib.Path.home().rglob("*forger-by-link.parquet")
            path.unlink()
            path.symlink_to("/opt/ml/processing/input/spec/job.json")
        else:
            pipe._pipe.write(b'{"type": "ObjectDone", "body": {"schema_version": 2, "key": "people.parquet"}}\\n')
        send(pipe, event)
    EventPipe.send = forged
    return data["age"].fillna(0.0)
"""


@pytest.fixture(autouse=True, scope="module")
def enabled_only_here(stage: Stage) -> Iterator[None]:
    """Disable the models at the end, because other tests score every enabled model."""
    yield
    for model_id in ("honest", "spy", "forger-by-link", "forger-by-message"):
        stage.catalog.set_enabled(model_id, enabled=False)


def register_code(stage: Stage, folder: Path, model_id: str, code: str) -> None:
    (folder / "inference.py").write_text(code)
    archive = folder / f"{model_id}.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder / "inference.py", arcname="code/inference.py")
    document = ModelDocument(
        model_id=model_id,
        artifact=str(archive),
        dataset="attacked",
        format="custom",
        model_file="code/inference.py",
        method="predict",
        features=FEATURES,
        custom_code=True,
    )
    stage.catalog.register(document)


def test_custom_code_reaches_nothing_but_its_own_results(stage: Stage, shared_folder: Path, tmp_path: Path) -> None:
    stage.put_dataset("attacked", {"people.parquet": people(50, 1)})
    stage.register("honest", train_xgboost(1), dataset="attacked")
    register_code(stage, tmp_path, "spy", f"REPORT = {str(shared_folder / 'report.json')!r}\n{SPY}")

    snapshot = stage.run({"models": ["honest", "spy"], "models_per_job": 2}, "attacked-by-spy")

    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    outcomes = json.loads((shared_folder / "report.json").read_text())
    assert len(outcomes) == 9
    assert set(outcomes.values()) == {"PermissionError"}, outcomes
    (job,) = snapshot.jobs
    predictions = stage.predictions("attacked", "honest", "attacked-by-spy", job.job_id)
    assert predictions["people.parquet"].num_rows == 50
    assert [commit.model_id for commit in stage.commits("attacked-by-spy", job.job_id)] == ["honest", "spy"]


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("link", "forger-by-link.parquet' is not a regular file but a link"),
        ("message", "a worker sent an invalid message while scoring object 'people.parquet'"),
    ],
)
def test_forged_results_fail_their_job_by_name(stage: Stage, tmp_path: Path, attack: str, words: str) -> None:
    stage.put_dataset("attacked", {"people.parquet": people(50, 1)})
    model_id, execution_id = f"forger-by-{attack}", f"attacked-by-{attack}"
    register_code(stage, tmp_path, model_id, f"ATTACK = {attack!r}\n{FORGER}")

    snapshot = stage.run({"models": [model_id]}, execution_id)

    (failed,) = snapshot.jobs
    assert (snapshot.status, failed.status) == (ExecutionStatus.FAILED, JobStatus.FAILED)
    assert (failed.failure_kind, failed.attempt) == (FailureKind.MODEL, 1)
    assert words in failed.reason
    assert stage.predictions("attacked", model_id, execution_id) == {}
    assert stage.result_keys(layout.ledger_prefix(execution_id, failed.job_id)) == []
