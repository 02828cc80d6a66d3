"""Pointers to the latest complete predictions, in the table and in S3."""

import json

from contract import codec, layout
from contract.status import ExecutionStatus
from contract.table.latest_predictions import LatestPredictions
from tests.e2e.failing_models import RefusesOneRow, refusing_graph
from tests.e2e.stage import Stage, people, train_xgboost

DATASET = "latest-people"


def latest(stage: Stage, model_id: str) -> LatestPredictions | None:
    key = layout.latest_key(DATASET, model_id)
    if key not in stage.result_keys(layout.LATEST_PREFIX):
        return None
    body = stage.client("s3").get_object(Bucket=stage.deployment.results_bucket, Key=key)["Body"].read()
    return codec.loads(LatestPredictions, body)


def test_reruns_move_the_pointer_and_failed_or_late_ones_do_not(stage: Stage) -> None:
    good = people(30, 1)
    bad = people(10, 2).to_pandas()
    bad.loc[3, "visits"] = RefusesOneRow.REFUSED_VISITS
    stage.put_dataset(DATASET, {"a.parquet": good})
    stage.register("latest-steady", train_xgboost(1), dataset=DATASET)
    stage.register("latest-picky", refusing_graph(), dataset=DATASET)
    request = {"models": ["latest-steady", "latest-picky"]}
    assert stage.run(request, "latest-1").status == ExecutionStatus.SUCCEEDED
    found = latest(stage, "latest-picky")
    assert found is not None
    assert (found.execution_id, found.rows_scored) == ("latest-1", 30)
    folder = f"predictions/dataset={DATASET}/execution_id=latest-1/job_id=latest-picky/model_id=latest-picky/"
    assert found.predictions_uris == (f"s3://{stage.deployment.results_bucket}/{folder}",)

    # A row that one of the models refuses fails its job. The other one's predictions are complete.
    stage.put_dataset(DATASET, {"b.parquet": type(good).from_pandas(bad, schema=good.schema)})
    assert stage.run(request, "latest-2").status == ExecutionStatus.PARTLY_FAILED
    assert latest(stage, "latest-picky") == found
    moved = latest(stage, "latest-steady")
    assert moved is not None
    assert (moved.execution_id, moved.rows_scored) == ("latest-2", 40)

    # The object is corrected, and the execution resumed: all models have its snapshot.
    stage.put_dataset(DATASET, {"b.parquet": people(10, 3)})
    assert stage.run({"resume": "latest-2"}, "latest-3").status == ExecutionStatus.SUCCEEDED
    moved = latest(stage, "latest-steady")
    for found in (latest(stage, "latest-picky"), moved):
        assert found is not None
        assert (found.execution_id, found.rows_scored) == ("latest-3", 40)

    # The event of the first execution's end arrives once more.
    (function,) = [
        item["FunctionName"]
        for page in stage.client("lambda").get_paginator("list_functions").paginate()
        for item in page["Functions"]
        if "summarize" in item["FunctionName"].lower()
    ]
    described = stage.client("stepfunctions").describe_execution(
        executionArn=stage.executions.execution_arn("latest-1")
    )
    event = {
        "schema_version": codec.SCHEMA_VERSION,
        "execution_id": "latest-1",
        "execution_arn": described["executionArn"],
        "started_at": described["startDate"].isoformat(),
        "state": {},
    }
    answer = stage.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    assert "FunctionError" not in answer
    assert latest(stage, "latest-steady") == moved
