"""`aws stepfunctions redrive-execution` continues an execution that an outage has ended."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.status import ExecutionStatus, JobStatus
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people, train_xgboost, wait_for


@contextmanager
def undelivered_events(stage: Stage) -> Iterator[str]:
    """Let EventBridge deliver no event about ended executions and stopped jobs, so that records stay open.

    Yields the function to which it would deliver them.
    """
    events = stage.client("events")
    closing = ("Step Functions Execution Status", "SageMaker Processing Job State")
    # A rule with a schedule has no pattern.
    patterns = {rule["Name"]: rule.get("EventPattern", "") for rule in events.list_rules()["Rules"]}
    names = [name for name, pattern in patterns.items() if any(event in pattern for event in closing)]
    [function] = {target["Arn"] for name in names for target in events.list_targets_by_rule(Rule=name)["Targets"]}
    for name in names:
        events.disable_rule(Name=name)
    try:
        yield function
    finally:
        for name in names:
            events.enable_rule(Name=name)


def deliver_end(stage: Stage, function: str, described: dict[str, Any]) -> None:
    """Deliver the event about an execution's end, as it was described then."""
    times = {key: int(described[key].timestamp() * 1_000) for key in ("startDate", "stopDate")}
    detail = {key: described[key] for key in ("executionArn", "name", "status")} | times
    event = json.dumps({"source": "aws.states", "detail": detail})
    answer = stage.client("lambda").invoke(FunctionName=function, Payload=event.encode())
    assert "FunctionError" not in answer, answer["Payload"].read()


def test_a_redriven_execution_completes_and_doubles_no_row(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("outage", {"a.parquet": people(40, 1), "b.parquet": people(30, 2, first_row=40)})
    stage.register("outage", Gate(shared_folder), dataset="outage")
    stage.register("unaffected", train_xgboost(1), dataset="outage")
    stepfunctions = stage.client("stepfunctions")
    with undelivered_events(stage) as function:
        execution_id = stage.executions.start(json.dumps({"models": ["outage", "unaffected"]}), "outage")
        arn = stage.executions.execution_arn(execution_id)
        wait_for((shared_folder / "waiting").exists, "the model waits", seconds=180)

        def is_done(job_id: str) -> bool:
            jobs = {job.job_id: job for job in stage.executions.snapshot(execution_id).jobs}
            return job_id in jobs and jobs[job_id].status is JobStatus.SUCCEEDED

        wait_for(lambda: is_done("unaffected"), "the other job is done")
        stepfunctions.stop_execution(executionArn=arn, error="Outage", cause="The Region was impaired")
        wait_for(lambda: stepfunctions.describe_execution(executionArn=arn)["status"] == "ABORTED", "it ends")
        described = stepfunctions.describe_execution(executionArn=arn)
        assert (described["redriveStatus"], described["redriveCount"]) == ("REDRIVABLE", 0)
        stepfunctions.redrive_execution(executionArn=arn)
        deliver_end(stage, function, described)
        (shared_folder / "open").touch()

    snapshot = stage.watch(execution_id)
    assert snapshot.status == ExecutionStatus.SUCCEEDED, snapshot
    ended = stepfunctions.describe_execution(executionArn=arn)
    assert (ended["status"], ended["redriveCount"]) == ("SUCCEEDED", 1)
    jobs = {job.job_id: job for job in snapshot.jobs}
    # The job that had succeeded did not run again. The stopped one needed a second attempt.
    assert [jobs[name].attempt for name in ("unaffected", "outage")] == [1, 2]
    for model_id in ("outage", "unaffected"):
        tables = stage.predictions("outage", model_id, execution_id)
        rows = pa.concat_tables(tables.values()).column("row").to_pylist()
        assert sorted(rows) == list(range(70))
    [run] = stepfunctions.list_map_runs(executionArn=arn)["mapRuns"]
    map_run = stepfunctions.describe_map_run(mapRunArn=run["mapRunArn"])
    counts = map_run["itemCounts"]
    assert (map_run["redriveCount"], counts["succeeded"], counts["total"]) == (1, 2, 2)
    assert stage.summary(execution_id).rows_scored == 140


def test_a_redrive_of_a_closed_execution_scores_nothing_and_resume_does(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("closed", {"a.parquet": people(40, 1), "b.parquet": people(30, 2, first_row=40)})
    stage.register("closed", Gate(shared_folder), dataset="closed")
    execution_id = stage.executions.start(json.dumps({"models": ["closed"]}), "closed")
    arn = stage.executions.execution_arn(execution_id)
    wait_for((shared_folder / "waiting").exists, "the model waits", seconds=180)
    stepfunctions = stage.client("stepfunctions")
    stepfunctions.stop_execution(executionArn=arn)
    wait_for(lambda: stage.executions.snapshot(execution_id).closed, "its records are closed")
    (shared_folder / "open").touch()

    stepfunctions.redrive_execution(executionArn=arn)
    snapshot = stage.watch(execution_id)
    ended = stepfunctions.describe_execution(executionArn=arn)
    assert (ended["status"], ended["redriveCount"]) == ("FAILED", 1)
    [job] = snapshot.jobs
    assert (job.status, job.attempt, job.rows_scored) == (JobStatus.FAILED, 1, 0)
    assert f"fleetscore resume {execution_id}" in job.reason
    assert len(stage.processing_jobs(execution_id)) == 1

    resumed = stage.run({"resume": execution_id}, "closed-resumed")
    assert (resumed.status, stage.summary("closed-resumed").rows_scored) == (ExecutionStatus.SUCCEEDED, 70)
