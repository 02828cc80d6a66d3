"""`fleetscore stop` ends an execution and keeps what is committed. Then its model can be deleted."""

import json
from pathlib import Path

import pytest

from cli.main import main
from contract.catalog.model_fields import Feature
from contract.status import FailureKind, JobStatus
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people, train_xgboost, wait_for


def test_stop_closes_the_records_and_keeps_committed_outputs(
    stage: Stage, shared_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.put_dataset("to-stop", {"a.parquet": people(20, 1)})
    stage.register("stops", Gate(shared_folder), dataset="to-stop", features=(Feature("age", "double"),))
    stage.register("ends", train_xgboost(1), dataset="to-stop")
    request = {"models": ["stops", "ends"], "models_per_job": 1}
    execution_id = stage.executions.start(json.dumps(request), "stopped-by-hand")
    wait_for((shared_folder / "waiting").exists, "the model waits")
    wait_for(lambda: any(j.status is JobStatus.SUCCEEDED for j in stage.executions.snapshot(execution_id).jobs), "one")
    for model_id in ("stops", "ends"):
        # `{}` in other tests scores every enabled model, so disable these.
        stage.catalog.set_enabled(model_id, False)
    capsys.readouterr()
    assert main(["models", "delete", "stops", "--yes"]) == 2
    assert "Model stops is used by the running execution stopped-by-hand" in capsys.readouterr().err
    assert main(["stop", execution_id, "--cause", "wrong dataset"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "Execution stopped-by-hand is stopped. 1 of 2 jobs had succeeded, 1 had not.",
        "Committed outputs stay in S3: 1 of 2 objects, counted per job.",
        "To score the rest: `fleetscore resume stopped-by-hand`.",
    ]
    snapshot = stage.executions.snapshot(execution_id)
    kinds = {job.job_id: job.failure_kind for job in snapshot.jobs}
    assert kinds == {"stops": FailureKind.STOPPED, "ends": None}
    assert "wrong dataset" in snapshot.reason
    assert list(stage.predictions("to-stop", "ends", execution_id)) == ["a.parquet"]
    assert main(["stop", execution_id]) == 0
    assert "has already ended: ABORTED" in capsys.readouterr().out
    assert main(["models", "delete", "stops", "--yes"]) == 0
    assert "Deleted model stops with 1 version." in capsys.readouterr().out
