"""Executions measure how long things take, and later plans estimate with that."""

import json
from typing import Any

import pytest
from boto3.dynamodb.conditions import Key

from cli.main import main
from cli.stage.connection import query_items
from contract.status import ExecutionStatus
from contract.table import records
from contract.table.estimate_items import estimate_key
from tests.e2e.stage import Stage, people, train_xgboost

ROWS = 500


def forget_instances(stage: Stage) -> None:
    """Delete what other tests have measured of instances."""
    table = stage.connection.resource("dynamodb").Table(stage.deployment.table_name)
    partition = Key(records.PARTITION_KEY).eq(estimate_key("INSTANCE", "")[records.PARTITION_KEY])
    for item in query_items(table, KeyConditionExpression=partition):
        table.delete_item(Key={name: item[name] for name in (records.PARTITION_KEY, records.SORT_KEY)})


def test_an_execution_leaves_estimates_of_its_models_and_instances(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.put_dataset("measured", {"a.parquet": people(ROWS, 1), "b.parquet": people(ROWS, 2, first_row=ROWS)})
    models = ["measured-a", "measured-b"]
    stage.register(models[0], train_xgboost(1), dataset="measured")
    stage.register(models[1], train_xgboost(2), dataset="measured")
    request = {"models": models, "models_per_job": 2}

    def estimates() -> dict[str, Any]:
        capsys.readouterr()
        assert main(["estimates", *(word for model_id in models for word in ("--model", model_id)), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        return {
            **{each["model_id"]: (each["source"], each["rows_per_second"]["samples"]) for each in found["models"]},
            **{each["instance_type"]: each["startup_seconds"]["samples"] for each in found["instance_types"]},
        }

    forget_instances(stage)
    before = estimates()
    assert all(before[model_id][0] != "measured" for model_id in models)
    first = stage.run(request, "measured-1")
    assert first.record is not None
    assert first.record.status is ExecutionStatus.SUCCEEDED, first.record.reason
    [job] = first.jobs
    assert job.measured is not None
    instance_type = job.measured.instance_type
    assert instance_type == job.compute.instance_type
    busy = [
        sum(commit.seconds for commit in stage.commits("measured-1", job.job_id) if commit.model_id == model_id)
        for model_id in job.model_ids
    ]
    assert job.measured.model_seconds == pytest.approx(busy, rel=1e-3)
    after = estimates()
    assert [after[model_id] for model_id in models] == [("measured", 1)] * 2
    assert after[instance_type] == 1
    [of_format] = job.measured.formats
    assert (of_format.rows, of_format.loads) == (4 * ROWS, 2)

    second = stage.run(request, "measured-2")
    for model_id in models:
        # `{}` in other tests scores every enabled model.
        stage.catalog.set_enabled(model_id, False)
    after = estimates()
    assert [after[model_id] for model_id in models] == [("measured", 2)] * 2
    assert after[instance_type] == 2
    # The first plan took four minutes for the start-up.
    assert second.record is not None
    assert first.record.estimate is not None
    assert second.record.estimate is not None
    assert second.record.estimate.seconds.value < first.record.estimate.seconds.value / 2
