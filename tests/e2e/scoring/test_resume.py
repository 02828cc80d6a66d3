"""`fleetscore resume` continues an execution: the objects that are scored already are not scored again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.main import main
from cli.stage.catalog.fleets import Fleets
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.request_check import check_on_stage
from contract import layout
from contract.status import FINAL_EXECUTION_STATUSES, ExecutionKind, ExecutionStatus, FailureKind, JobStatus
from contract.workflow.request_check import RequestCheck
from tests.e2e.failing_models import RefusesOneRow, WaitsToBeKilled, refusing_graph
from tests.e2e.stage import Stage, features_of, parquet, people, train_xgboost, wait_for

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


def assert_every_row_is_scored_once(
    stage: Stage, execution_id: str, objects: Mapping[str, pa.Table], expected: Callable[[pa.Table], Any]
) -> None:
    """Check the predictions of an execution with one model against what the model returns for all rows."""
    given = pa.concat_tables(objects.values()).sort_by("row")
    found = table_of(stage, execution_id)
    assert found.select(given.column_names).equals(given)
    scores = np.column_stack([found[name].to_numpy() for name in ("prediction_0", "prediction_1")])
    np.testing.assert_array_equal(scores, expected(given))


def halves(given: pa.Table) -> Any:
    """Return what `WaitsToBeKilled` returns."""
    return np.full((len(given), 2), 0.5)


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
    return closed(stage, execution_id)


def closed(stage: Stage, execution_id: str, *, seconds: float = 60) -> Snapshot:
    """Wait until an execution has ended and its records are closed."""
    wait_for(lambda: stage.executions.workflow_status(execution_id) != "RUNNING", "it has ended", seconds)

    def is_closed() -> Snapshot | None:
        seen = stage.executions.snapshot(execution_id)
        return seen if seen.record is not None and seen.record.status in FINAL_EXECUTION_STATUSES else None

    snapshot: Snapshot = wait_for(is_closed, "its records are closed", seconds)
    return snapshot


def test_a_stopped_execution_scores_only_the_rest(stage: Stage, shared_folder: Path) -> None:
    objects = {**OBJECTS, "c.parquet": bad(OBJECTS["c.parquet"], WaitsToBeKilled.FATAL_VISITS)}
    stage.put_dataset("resumed", objects)
    stage.register("resumed", WaitsToBeKilled(shared_folder), dataset="resumed")
    execution_id = stage.executions.start('{"models": ["resumed"]}', "resumed-1")
    wait_for((shared_folder / "waiting").exists, "an object is committed and another one is scored")

    def check() -> RequestCheck:
        return check_on_stage(stage.connection, "dev", ExecutionKind.SCORING, '{"resume": "resumed-1"}')

    assert "resumed-1, which is RUNNING" in check().problems[0]
    early = stage.run({"resume": "resumed-1"}, "resumed-early")
    assert early.status == ExecutionStatus.FAILED
    assert "resumed-1, which is RUNNING" in early.reason
    stop(stage, execution_id)
    # A stopped job uploads what it has committed until it ends.
    counts = wait_for(lambda: check().resume, "the stopped job has ended")
    before = {commit.object for commit in stage.commits("resumed-1", "resumed")}
    assert 0 < len(before) < len(objects)
    assert (counts.expected, counts.kept, counts.missing) == (len(objects), len(before), len(objects) - len(before))

    snapshot = stage.run({"resume": "resumed-1", "instance_type": "ml.c5.xlarge"}, "resumed-2")

    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert sorted(scored_in(stage, "resumed-2")["resumed"]) == sorted(objects.keys() - before)
    (job,) = snapshot.jobs
    assert (job.commits_kept, job.rows_scored, job.compute.instance_type) == (len(before), 240, "ml.c5.xlarge")
    assert_every_row_is_scored_once(stage, "resumed-2", objects, halves)


def test_an_execution_that_reached_its_time_limit_scores_only_the_rest(stage: Stage, shared_folder: Path) -> None:
    """Fleetscore sets no limit, but somebody may add one, and AWS ends every execution after a year."""
    objects = {**OBJECTS, "c.parquet": bad(OBJECTS["c.parquet"], WaitsToBeKilled.FATAL_VISITS)}
    stage.put_dataset("limited", objects)
    stage.register("limited", WaitsToBeKilled(shared_folder), dataset="limited")
    # Long enough on a busy machine until an object is committed and another one is scored: another round costs more
    # than a longer wait.
    for seconds in (20, 120):
        execution_id = f"limited-{seconds}"
        with stage.changed_workflow(lambda definition: definition.update(TimeoutSeconds=seconds)):  # noqa: B023
            stage.executions.start('{"models": ["limited"]}', execution_id)
        first = closed(stage, execution_id, seconds=180)
        if (shared_folder / "waiting").exists():
            break

    assert stage.executions.workflow_status(execution_id) == "TIMED_OUT"
    assert first.record is not None
    assert "The execution reached its time limit" in first.record.reason
    assert f"`fleetscore resume {execution_id}`" in first.record.reason
    (job,) = first.jobs
    assert (job.status, job.failure_kind) == (JobStatus.FAILED, FailureKind.STOPPED)

    def has_ended() -> bool:
        return [job["ProcessingJobStatus"] for job in stage.processing_jobs(execution_id)] == ["Stopped"]

    wait_for(has_ended, "the stopped job has uploaded what it has committed")
    before = {commit.object for commit in stage.commits(execution_id, "limited")}
    assert 0 < len(before) < len(objects)

    second = stage.run({"resume": execution_id}, "limited-2")

    assert (second.status, second.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert sorted(scored_in(stage, "limited-2")["limited"]) == sorted(objects.keys() - before)
    assert_every_row_is_scored_once(stage, "limited-2", objects, halves)


def test_a_partly_failed_execution_is_continued_after_everything_changed(stage: Stage) -> None:
    """Between the executions a model is fixed, one disabled, one object deleted, one replaced, one added."""
    objects = {**OBJECTS, "d.parquet": bad(OBJECTS["d.parquet"], RefusesOneRow.REFUSED_VISITS)}
    stage.put_dataset("mended", objects)
    stage.register("mended", refusing_graph(), dataset="mended")
    stage.register("whole", train_xgboost(1), dataset="mended")
    stage.register("mended-retired", train_xgboost(2), dataset="mended")
    models = ["mended", "whole", "mended-retired"]
    first = stage.run({"models": models, "models_per_job": 3}, "mended-1")
    assert first.status in (ExecutionStatus.PARTLY_FAILED, ExecutionStatus.FAILED)

    s3 = stage.client("s3")
    s3.delete_object(Bucket=stage.deployment.datasets_bucket, Key="mended/a.parquet")
    stage.put_dataset("mended", {"b.parquet": people(50, 99, first_row=1_000), "added.parquet": people(5, 5)})
    stage.register("mended", train_xgboost(3), dataset="mended", version="2")
    stage.catalog.set_enabled("mended-retired", enabled=False)
    second = stage.run({"resume": "mended-1", "models_per_job": 1, "instance_type": "ml.m5.large"}, "mended-2")

    assert (second.status, second.reason) == (ExecutionStatus.SUCCEEDED, "")
    rest = ["c.parquet", "d.parquet", "e.parquet", "f.parquet"]
    scored = scored_in(stage, "mended-2")
    assert scored["mended"] == ["b.parquet", *rest], "the fixed model scores all objects"
    assert set(scored["whole"]) <= {"b.parquet", "d.parquet"}, "of the other one, only what failed or was replaced"
    assert second.record is not None
    notes = "\n".join(second.record.notes)
    assert "objects that were removed since are not scored (1): mended/a.parquet" in notes
    assert "objects that were replaced since are scored as they are now (1): mended/b.parquet" in notes
    assert "objects that were added since are not part of this execution (1)" in notes
    assert "not scored any more: model 'mended-retired' (disabled)" in notes

    # A resumed execution can be resumed. Now everything is kept, and no SageMaker job starts.
    third = stage.run({"resume": "mended-2"}, "mended-3")
    assert (third.status, scored_in(stage, "mended-3")) == (ExecutionStatus.SUCCEEDED, {})
    assert stage.processing_jobs("mended-3") == []

    s3.delete_object(Bucket=stage.deployment.datasets_bucket, Key="mended/added.parquet")
    stage.run({"models": ["mended", "whole"], "dataset": "mended"}, "mended-undisturbed")
    expected = table_of(stage, "mended-undisturbed")
    assert table_of(stage, "mended-2").equals(expected)
    assert table_of(stage, "mended-3").equals(expected)
    assert stage.summary("mended-3").rows_scored == len(expected)


def test_joined_outputs_are_kept_and_only_the_failed_object_is_scored(stage: Stage) -> None:
    broken = {**OBJECTS, "d.parquet": parquet(OBJECTS["d.parquet"])[:-100]}
    stage.put_dataset("rejoined", broken)
    for number in (1, 2):
        stage.register(f"rejoined-{number}", train_xgboost(number), dataset="rejoined")
    models = ["rejoined-1", "rejoined-2"]
    stage.run({"models": models, "output_layout": "joined"}, "rejoined-1")
    stage.put_dataset("rejoined", OBJECTS)
    second = stage.run({"resume": "rejoined-1"}, "rejoined-2")
    assert (second.status, second.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert scored_in(stage, "rejoined-2") == {"rejoined-1.and-1-more": ["d.parquet"]}
    stage.run({"models": models, "output_layout": "joined"}, "rejoined-undisturbed")
    assert table_of(stage, "rejoined-2").equals(table_of(stage, "rejoined-undisturbed"))


def test_a_split_job_keeps_the_objects_of_its_parts(stage: Stage) -> None:
    objects = {"big.parquet": people(4_000, 1, first_row=10_000), **OBJECTS}
    stage.put_dataset("resplit", {**objects, "d.parquet": parquet(OBJECTS["d.parquet"])[:-100]})
    stage.register("resplit", train_xgboost(1), dataset="resplit", instance_count=2)
    first = stage.run({"models": ["resplit"]}, "resplit-1")
    assert len(first.parts["resplit"]) == 2
    stage.put_dataset("resplit", objects)
    second = stage.run({"resume": "resplit-1", "instance_count": 1}, "resplit-2")
    assert (second.status, second.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert scored_in(stage, "resplit-2") == {"resplit": ["d.parquet"]}
    model = train_xgboost(1)
    assert_every_row_is_scored_once(stage, "resplit-2", objects, lambda given: model.predict_proba(features_of(given)))


def test_retry_continues_a_fleet_alone_and_scores_its_failed_object(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command, as an operator does it."""
    objects = {
        key: table.append_column("store", pa.array([("north", "south")[row % 2] for row in range(len(table))]))
        for key, table in OBJECTS.items()
    }
    broken = {**objects, "d.parquet": parquet(objects["d.parquet"])[:-100]}
    stage.put_dataset("refleet", broken)
    stage.put_dataset("alone", {"a.parquet": people(10, 1)})
    Fleets(stage.connection, stage.deployment).set("stores", {"dataset": "refleet", "route_by": "store"})
    for number, route in enumerate(("north", "south")):
        stage.register(f"store-{route}", train_xgboost(number), dataset="refleet", fleet="stores", route=(route,))
    stage.register("alone", train_xgboost(1), dataset="alone")
    try:
        stage.run({"models": ["alone"], "fleets": ["stores"]}, "refleet-1")
        stage.put_dataset("refleet", objects)
        monkeypatch.setattr("cli.command_line.invocation.Connection", lambda *_: stage.connection)
        assert main(["retry", "refleet-1", "stores.fleet", "--check", "--json"]) == 0
        checked = json.loads(capsys.readouterr().out)
        assert checked["resume"] == {"expected": 6, "kept": 5, "again": 0, "missing": 1, "is_exact": True}
        assert main(["retry", "refleet-1", "stores.fleet", "--name", "refleet-2", "--wait"]) == 0
        assert "Continues refleet-1: kept 5 of 6 commits." in capsys.readouterr().out
        assert scored_in(stage, "refleet-2") == {"stores.fleet": ["d.parquet"]}
        stage.run({"fleets": ["stores"]}, "refleet-undisturbed")
    finally:
        for model_id in ("store-north", "store-south", "alone"):
            stage.catalog.set_enabled(model_id, enabled=False)
    assert table_of(stage, "refleet-2").equals(table_of(stage, "refleet-undisturbed"))
    assert stage.summary("refleet-2").commits_kept == 5


def test_an_execution_whose_only_model_is_disabled_is_not_resumed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command refuses it before an execution exists, and the plan refuses what comes another way."""
    stage.put_dataset("resting", {"a.parquet": people(20, 1)})
    stage.register("resting", train_xgboost(1), dataset="resting")
    assert stage.run({"models": ["resting"]}, "resting-1").status == ExecutionStatus.SUCCEEDED
    assert main(["models", "disable", "resting"]) == 0
    what_to_do = "Enable it with `fleetscore models enable resting`"
    for words in (["resume", "resting-1"], ["retry", "resting-1", "resting"]):
        capsys.readouterr()
        assert main([*words, "--name", "resting-2"]) == 2
        assert what_to_do in capsys.readouterr().err
    assert stage.executions.workflow_status("resting-2") is None, "nothing was started"
    refused = stage.start_unchecked(json.dumps({"resume": "resting-1"}), "resting-3")
    assert refused.status == ExecutionStatus.FAILED
    assert "none that can be scored: resting (disabled)" in refused.reason
    assert what_to_do in refused.reason
    assert main(["models", "enable", "resting"]) == 0
    assert main(["resume", "resting-1", "--name", "resting-4", "--wait"]) == 0
    assert stage.processing_jobs("resting-4") == [], "everything is scored already"
    stage.catalog.set_enabled("resting", enabled=False)
