"""`fleetscore resume` continues an execution: the objects that are scored already are not scored again."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cli.stage.execution_snapshot import Snapshot
from contract import layout
from contract.status import FINAL_EXECUTION_STATUSES, ExecutionStatus
from tests.e2e.failing_models import WaitsToBeKilled
from tests.e2e.stage import Stage, people, wait_for

OBJECTS = {f"{key}.parquet": people(40, number, first_row=100 * number) for number, key in enumerate("abcdef")}


def bad(table: pa.Table, visits: int) -> pa.Table:
    """Return the rows with one that a model refuses."""
    frame = table.to_pandas()
    frame.loc[3, "visits"] = visits
    return pa.Table.from_pandas(frame, schema=table.schema)


def table_of(stage: Stage, execution_id: str) -> pa.Table:
    """Return the predictions of an execution as readers of the whole table see them."""
    keys = [
        key
        for prefix in (layout.PREDICTIONS_PREFIX, layout.JOINED_PREFIX, layout.FLEETS_PREFIX)
        for key in stage.result_keys(prefix)
        if f"/execution_id={execution_id}/" in key
    ]
    s3 = stage.client("s3")
    tables = []
    for key in keys:
        body = s3.get_object(Bucket=stage.deployment.results_bucket, Key=key)["Body"].read()
        parts = dict(part.split("=", 1) for part in key.split("/") if "=" in part)
        table = pq.read_table(pa.BufferReader(body))
        tables.append(table.append_column("model", pa.array([parts.get("model_id", "")] * len(table))))
    whole = pa.concat_tables(tables)
    return whole.sort_by([("model", "ascending"), ("row", "ascending")])


def scored_in(stage: Stage, execution_id: str) -> dict[str, list[str]]:
    """Return the objects that instances scored in an execution, by job: segments of kept commits name no host."""
    found: dict[str, list[str]] = {}
    for job in stage.executions.snapshot(execution_id).jobs:
        scored = stage.scored(execution_id, job.job_id)
        if scored:
            found[job.job_id] = scored
    return found


def stop(stage: Stage, execution_id: str) -> Snapshot:
    """Stop an execution, and wait until its records are closed."""
    arn = stage.executions.execution_arn(execution_id)
    stage.client("stepfunctions").stop_execution(executionArn=arn)

    def closed() -> Snapshot | None:
        seen = stage.executions.snapshot(execution_id)
        return seen if seen.record is not None and seen.record.status in FINAL_EXECUTION_STATUSES else None

    return wait_for(closed, "its records are closed")


def test_a_stopped_execution_scores_only_the_rest(stage: Stage, shared_folder: Path) -> None:
    objects = {**OBJECTS, "c.parquet": bad(OBJECTS["c.parquet"], WaitsToBeKilled.FATAL_VISITS)}
    stage.put_dataset("resumed", objects)
    stage.register("resumed", WaitsToBeKilled(shared_folder), dataset="resumed")
    execution_id = stage.executions.start('{"models": ["resumed"]}', "resumed-1")
    wait_for((shared_folder / "waiting").exists, "an object is committed and another one is scored")
    stop(stage, execution_id)
    before = {commit.object for commit in stage.commits("resumed-1", "resumed")}
    assert 0 < len(before) < len(objects)

    snapshot = stage.run({"resume": "resumed-1", "instance_type": "ml.c5.xlarge"}, "resumed-2")

    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert sorted(scored_in(stage, "resumed-2")["resumed"]) == sorted(objects.keys() - before)
    (job,) = snapshot.jobs
    assert (job.commits_kept, job.rows_scored, job.compute.instance_type) == (len(before), 240, "ml.c5.xlarge")
    stage.run({"models": ["resumed"]}, "resumed-undisturbed")
    assert table_of(stage, "resumed-2").equals(table_of(stage, "resumed-undisturbed"))
