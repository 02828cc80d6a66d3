"""The command registers, runs and reports as a user at a shell expects."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from cli.main import main
from cli.sandbox.isolation import probe
from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from contract.status import ExecutionStatus, JobStatus
from embedded.server.detached import detached_endpoint, detached_root, leftover_text, start_detached
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.inventory import INVENTORY_FILE
from embedded.server.persistence import SNAPSHOT_FILE
from embedded.server.process import LOCK_FILE
from tests.e2e.failing_models import NeverEnds
from tests.e2e.stage import Stage, environment, people, wait_for
from tests.unit.cli.builders import make_archive

ROOT = Path(__file__).parents[3]
ROWS = 200


@pytest.fixture(scope="module")
def arguments(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Yield the arguments that register the model `by-command`, after uploading its dataset."""
    rows = np.random.default_rng(7)
    table = pa.table({"row": np.arange(ROWS), "a": rows.normal(size=ROWS), "b": rows.normal(size=ROWS)})
    stage.put_dataset("by-command", {"part-0.parquet": table, "part-1.parquet": table})
    features = pd.DataFrame({"a": table["a"].to_numpy(), "b": table["b"].to_numpy()})
    folder = tmp_path_factory.mktemp("by-command")
    joblib.dump(LogisticRegression().fit(features, features["a"] > 0), folder / "model.joblib")
    archive = make_archive(folder / "model.tar.gz", {"model.joblib": (folder / "model.joblib").read_bytes()})
    how = "--dataset by-command --format sklearn-joblib --model-file model.joblib --method predict_proba"
    yield ["by-command", "--artifact", str(archive), *how.split(), "--features", "a:double,b:double"]
    # `{}` in other tests scores every enabled model, so disable this one.
    stage.catalog.set_enabled("by-command", False)


def test_the_command_registers_a_model_runs_it_and_shows_its_status(
    stage: Stage, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "register", *arguments]) == 0
    capsys.readouterr()
    request = json.dumps({"models": ["by-command"]})
    assert main(["run", "--wait", "--input", request, "--name", "by-command-1"]) == 0
    shown = capsys.readouterr().out
    assert "by-command: SUCCEEDED, attempt 1 of 3, 400 rows" in shown
    assert "Execution by-command-1: SUCCEEDED" in shown
    assert main(["--json", "status", stage.executions.execution_arn("by-command-1")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["status"], printed["note"], printed["step_functions"]["status"]) == ("SUCCEEDED", "", "SUCCEEDED")
    [job] = printed["jobs"]
    assert (job["rows_in"], job["objects_committed"], len(job["attempts"])) == (2 * ROWS, 2, 1)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield an environment without AWS credentials, and stop its embedded AWS at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "AWS_PROFILE": "somebody-elses", "HOME": str(tmp_path)}
    environment["AWS_ENDPOINT_URL_DYNAMODB"] = "https://real.example"
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nignore_configured_endpoint_urls = true\nregion = eu-west-3\n")
    environment["fleetscore"] = f"{sys.executable} -m cli.main"
    yield environment
    run_shell("$fleetscore down --delete-data", environment)


def run_shell(script: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-uc", script], env=environment, cwd=environment["HOME"], capture_output=True, text=True, check=False
    )


def test_up_starts_an_aws_for_the_shell_and_down_removes_everything(shell: dict[str, str]) -> None:
    up = 'eval "$($fleetscore up --persist)" && $fleetscore models list && ! $fleetscore run --profile prod'
    started = run_shell(up, shell)
    assert started.returncode == 0, started.stderr
    assert "Stage dev in account 123456789012, Region us-east-1, https://localhost:" in started.stderr
    assert "--profile: got 'prod', expected no profile" in started.stderr
    assert probe().summary in started.stderr
    assert started.stdout.splitlines() == ["No models. Register one with `fleetscore models register`."]

    state_dir = Path(shell["HOME"]) / ".fleetscore"
    check_that_a_killed_fleet_has_failed_after_a_restart(state_dir)

    ended = run_shell("$fleetscore down --delete-data", shell)
    assert (ended.returncode, ended.stdout) == (0, "The embedded AWS has ended.\n"), ended.stderr
    assert not state_dir.exists()


def check_that_a_killed_fleet_has_failed_after_a_restart(state_dir: Path) -> None:
    """Check what docs/reference/embedded-aws.md promises.

    Part of another test, because a deployment takes seconds.
    """
    root, endpoint = detached_root(state_dir), detached_endpoint(state_dir)
    assert endpoint is not None
    # It keeps its address and keys over the restart.
    with environment(endpoint.environment()):
        connection = Connection()
        aws = cast("EmbeddedAws", SimpleNamespace(endpoint=endpoint))
        stage = Stage(aws, find_deployment(connection, "dev"), connection, state_dir.parent)
        stage.put_dataset("night", {"a.parquet": people(20, 1)})
        for model_id in ("one", "two"):
            stage.register(model_id, NeverEnds(), dataset="night")
        execution_id = stage.executions.start('{"models": ["one", "two"]}', "night")
        names = wait_for(lambda: found if len(found := running_jobs(stage)) == 2 else [], "both jobs run")
        # Both files are written every few seconds, and a kill leaves them as they are. The table's records name a
        # job before SageMaker has it, so only its ARN shows that a snapshot has the job itself.
        for name, mark in ((SNAPSHOT_FILE, ":processing-job/"), (INVENTORY_FILE, "")):
            file, marks = root / name, [f"{mark}{job}".encode() for job in names]
            wait_for(
                lambda file=file, marks=marks: all(mark in file.read_bytes() for mark in marks), f"{name} has the jobs"
            )
        os.kill(int((root / LOCK_FILE).read_text()), signal.SIGKILL)
        wait_for(lambda: detached_endpoint(state_dir) is None, "the killed server has ended")
        lost = leftover_text(state_dir).partition("Running then, and failed now: ")[2]
        assert all(name in lost for name in ("night", *names)), leftover_text(state_dir)

        start_detached(state_dir)
        snapshot = stage.watch(execution_id)
        assert (snapshot.status, snapshot.record and snapshot.record.status) == ("FAILED", ExecutionStatus.FAILED)
        assert "EmbeddedAws.Ended" in snapshot.reason
        assert [job.status for job in snapshot.jobs] == [JobStatus.FAILED] * 2
        assert running_jobs(stage) == []
        sagemaker, workflows = stage.client("sagemaker"), stage.client("stepfunctions")
        described = [sagemaker.describe_processing_job(ProcessingJobName=name) for name in names]
        reason = "InternalServerError: The embedded AWS ended while this job ran. Start a new one."
        assert [(job["ProcessingJobStatus"], job["FailureReason"]) for job in described] == [("Failed", reason)] * 2
        [run] = workflows.list_map_runs(executionArn=stage.executions.execution_arn(execution_id))["mapRuns"]
        assert workflows.describe_map_run(mapRunArn=run["mapRunArn"])["status"] == "FAILED"
        children = workflows.list_executions(mapRunArn=run["mapRunArn"])["executions"]
        assert [child["status"] for child in children] == ["FAILED"] * 2
        assert stage.result_keys("predictions/") == []


def running_jobs(stage: Stage) -> list[str]:
    found = stage.client("sagemaker").list_processing_jobs(StatusEquals="InProgress")["ProcessingJobSummaries"]
    return [job["ProcessingJobName"] for job in found]
