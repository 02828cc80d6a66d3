"""Past a tolerated level, no new job starts while running ones finish."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from contract.status import ExecutionStatus, FailureKind, JobStatus
from tests.e2e.failing_models import Gate, RefusesOneRow, failing_graph, refusing_graph
from tests.e2e.stage import Stage, people, wait_for

LEVELS = {
    "jobs": {"tolerated_failure_percentage": 20},
    "objects": {"tolerated_failed_objects_percentage": 20},
    "rows": {"tolerated_quarantined_rows_percentage": 0, "tolerated_quarantine_fraction": 0.5},
}


@pytest.mark.parametrize("level", LEVELS)
def test_past_a_level_no_job_starts_and_running_ones_finish(stage: Stage, shared_folder: Path, level: str) -> None:
    """Two jobs at once: the first waits, the second passes the level, so the third never starts."""
    refused = people(1_000, 2).to_pandas()
    refused.loc[3, "visits"] = RefusesOneRow.REFUSED_VISITS
    # The plan begins with the jobs of most bytes.
    stage.put_dataset(f"{level}-1", {"a.parquet": people(3_000, 1)})
    stage.put_dataset(f"{level}-2", {"a.parquet": pa.Table.from_pandas(refused)})
    stage.put_dataset(f"{level}-3", {"a.parquet": people(20, 3)})
    bad = refusing_graph() if level == "rows" else failing_graph()
    stage.register(f"{level}-runs", Gate(shared_folder), dataset=f"{level}-1")
    stage.register(f"{level}-bad", bad, dataset=f"{level}-2")
    stage.register(f"{level}-late", Gate(shared_folder), dataset=f"{level}-3")
    models = [f"{level}-{name}" for name in ("runs", "bad", "late")]
    request = {"models": models, "max_concurrency": 2, **LEVELS[level]}
    execution_id = stage.executions.start(json.dumps(request), f"past-{level}")
    wait_for((shared_folder / "waiting").exists, "the first job runs")

    def job(name: str) -> JobStatus:
        found = {job.job_id: job.status for job in stage.executions.snapshot(execution_id).jobs}
        return found[f"{level}-{name}"]

    wait_for(lambda: job("late") is JobStatus.FAILED, "the third job is refused")
    assert job("runs") is JobStatus.RUNNING
    (shared_folder / "open").touch()
    snapshot = stage.watch(execution_id)

    assert snapshot.status == ExecutionStatus.PARTLY_FAILED
    assert f"More failed than the execution tolerates. {level}: " in snapshot.reason
    statuses = {job.job_id.removeprefix(f"{level}-"): job.status for job in snapshot.jobs}
    expected = JobStatus.SUCCEEDED if level == "rows" else JobStatus.FAILED
    assert statuses == {"runs": JobStatus.SUCCEEDED, "bad": expected, "late": JobStatus.FAILED}
    (late,) = [job for job in snapshot.jobs if job.job_id == f"{level}-late"]
    assert (late.failure_kind, late.sagemaker_job_name) == (FailureKind.STOPPED, "")
