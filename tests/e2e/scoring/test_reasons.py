"""A value of the data reaches no record, event, message or log of a function when its job fails."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.main import main
from contract import layout
from contract.status import ExecutionStatus, FailureKind
from tests.e2e.failing_models import QuotesValues
from tests.e2e.stage import Stage, people, train_xgboost, wait_for
from tests.e2e.triggers.test_events import Listener

CELL = "123-45-6789"
NUMBER = str(QuotesValues.QUOTED_VISITS)
SAGEMAKER_LOGS = "/aws/sagemaker/"


@pytest.fixture
def listener(stage: Stage) -> Iterator[Listener]:
    found = Listener(stage)
    yield found
    found.close()


def put_failing_datasets(stage: Stage) -> None:
    frame = people(40, 1).to_pandas()
    frame.loc[7, "visits"] = QuotesValues.QUOTED_VISITS
    stage.put_dataset("quoted", {"a.parquet": pa.Table.from_pandas(frame)})
    good = people(20, 2).select(["row", "spend", "age", "visits"]).to_pandas()
    csv = good.astype({"visits": object})
    csv.loc[3, "visits"] = CELL
    jsonl = good.to_json(orient="records", lines=True) + json.dumps({"row": 1, "age": CELL}) + "\n"
    stage.put_dataset("cells", {"a.csv": csv.to_csv(index=False).encode(), "b.jsonl": jsonl.encode()})
    stage.put_dataset("no-head", {"a.csv": f"{CELL},{CELL}\n".encode()})
    stage.register("quotes", QuotesValues(), dataset="quoted")
    for dataset in ("cells", "no-head"):
        stage.register(f"on-{dataset}", train_xgboost(1), dataset=dataset)


def test_values_stay_in_the_quarantine_and_the_jobs_log(
    stage: Stage, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    put_failing_datasets(stage)
    models = ["quotes", "on-cells"]

    refused = stage.run({"models": ["on-no-head"]}, "canary-refused")
    failed = stage.run({"models": models}, "canary-strict")

    assert (refused.status, failed.status) == (ExecutionStatus.FAILED, ExecutionStatus.FAILED)
    assert "a.csv without age (double)" in refused.reason
    reasons = {job.job_id: job.reason for job in failed.jobs}
    assert "row 7" in reasons["quotes"]
    assert "ValueError at failing_models.py:" in reasons["quotes"]
    assert "row 3 cannot be scored: has a value in column 'visits' that is not int64" in reasons["on-cells"]
    assert {job.failure_kind for job in failed.jobs} == {FailureKind.MODEL, FailureKind.DATA}
    assert {job.attempt for job in failed.jobs} == {1}
    heard = wait_for(
        lambda: (found := listener.listen("canary-strict")) and ended(found) == {*models, ""} and found, "its events"
    )

    tolerated = stage.run({"models": ["quotes", "on-cells"], "tolerated_quarantine_fraction": 0.2}, "canary-tolerant")

    assert (tolerated.status, tolerated.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert main(["status", "canary-strict"]) == 0
    assert main(["status", "canary-strict", "--json"]) == 0
    shown = capsys.readouterr()
    for where, text in {
        "status": shown.out + shown.err,
        "snapshots": repr([refused, failed]),
        "events": repr(heard),
        "table": repr(table_items(stage)),
        "files": repr(files_of(stage)),
        "history": repr(list(history(stage, "canary-strict"))),
        "jobs": repr(stage.processing_jobs("canary-strict")),
        "logs of functions": repr(logs(stage, sagemaker=False)),
    }.items():
        assert "canary" in text, where
        assert CELL not in text, where
        assert NUMBER not in text, where
    job_logs = "\n".join(logs(stage, sagemaker=True))
    assert f"could not predict for {NUMBER} visits" in job_logs
    assert f"'{CELL}'" in job_logs
    quarantined = repr([row["reason"] for row in quarantine(stage, "canary-tolerant")])
    assert f"could not predict for {NUMBER} visits" in quarantined
    assert CELL in quarantined


def ended(events: dict[str, dict[str, Any]]) -> set[str]:
    return {event.get("job_id", "") for event in events.values() if event["status"] == "FAILED"}


def table_items(stage: Stage) -> list[Any]:
    pages = stage.client("dynamodb").get_paginator("scan").paginate(TableName=stage.deployment.table_name)
    return [item for page in pages for item in page["Items"]]


def files_of(stage: Stage) -> dict[str, bytes]:
    """Return all files of results but predictions and quarantine."""
    s3, bucket = stage.client("s3"), stage.deployment.results_bucket
    keys = [
        key
        for key in stage.result_keys("")
        if not key.startswith((layout.PREDICTIONS_PREFIX, layout.QUARANTINE_PREFIX)) and "canary" in key
    ]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def history(stage: Stage, name: str) -> Iterator[Any]:
    """Yield the history of an execution, and its description."""
    workflows = stage.client("stepfunctions")
    machine = stage.deployment.state_machine_arn
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
    yield workflows.describe_execution(executionArn=arn)
    yield workflows.get_execution_history(executionArn=arn)["events"]


def logs(stage: Stage, *, sagemaker: bool) -> list[str]:
    found = []
    client = stage.client("logs")
    for group in client.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        if name.startswith(SAGEMAKER_LOGS) == sagemaker:
            # A page has at most 50 streams, and other tests of the stage have written some.
            for page in client.get_paginator("describe_log_streams").paginate(logGroupName=name):
                for stream in page["logStreams"]:
                    events = client.get_log_events(logGroupName=name, logStreamName=stream["logStreamName"])["events"]
                    found += [event["message"] for event in events]
    return found


def quarantine(stage: Stage, execution_id: str) -> list[dict[str, Any]]:
    s3, bucket = stage.client("s3"), stage.deployment.results_bucket
    rows: list[dict[str, Any]] = []
    for key in stage.result_keys(layout.QUARANTINE_PREFIX):
        if f"execution_id={execution_id}/" in key:
            rows += pq.read_table(pa.BufferReader(s3.get_object(Bucket=bucket, Key=key)["Body"].read())).to_pylist()
    return rows
