"""`run --check` finds what the plan would find, on a deployed stage, and leaves nothing behind."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli.main import main
from contract import layout
from contract.status import ExecutionStatus
from tests.e2e.stage import Stage, parquet, people, train_xgboost, wait_for

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def catalog(stage: Stage) -> None:
    table = people(20, 1)
    stage.put_dataset("checked", {"a.parquet": table, "b.parquet": table})
    stage.put_dataset("narrow", {"a.parquet": table.drop_columns(["spend"])})
    for dataset in ("checked", "narrow"):
        stage.register(f"on-{dataset}", train_xgboost(1), dataset=dataset)
        # `{}` in other tests scores every enabled model.
        stage.catalog.set_enabled(f"on-{dataset}", enabled=False)


def content(stage: Stage) -> Any:
    """Return what an execution would change: records, results and executions."""
    deployed = stage.deployment
    items = stage.client("dynamodb").scan(TableName=deployed.table_name)["Items"]
    states = stage.client("stepfunctions")
    machines = (deployed.state_machine_arn, deployed.training_state_machine_arn)
    executions = [states.list_executions(stateMachineArn=arn)["executions"] for arn in machines]
    return sorted(map(str, items)), stage.result_keys(""), [len(found) for found in executions]


def quiet_content(stage: Stage) -> Any:
    """Return the content after executions of other tests, which may have ended a moment ago, have written theirs."""

    def unchanged() -> Any:
        before = content(stage)
        time.sleep(1)
        return before if content(stage) == before else None

    return wait_for(unchanged, "nothing is written")


def check(stage: Stage, request: dict[str, Any], capsys: Captured) -> tuple[int, dict[str, Any]]:
    before = quiet_content(stage)
    capsys.readouterr()
    status = main(["run", "--check", "--json", "--input", json.dumps(request)])
    assert content(stage) == before
    return status, json.loads(capsys.readouterr().out)


def test_a_check_tells_what_would_run_and_finds_a_missing_column(stage: Stage, catalog: None, capsys: Captured) -> None:
    stage.catalog.set_enabled("on-checked", enabled=True)
    stage.catalog.set_enabled("on-narrow", enabled=True)
    try:
        status, found = check(stage, {"models": ["on-checked"]}, capsys)
        assert (status, found["valid"], found["job_count"], found["object_count"]) == (0, True, 1, 2)
        status, found = check(stage, {"models": ["on-checked", "on-narrow"]}, capsys)
        assert (status, found["valid"], found["problem_count"]) == (2, False, 1)
        assert "a.parquet without spend (double)" in found["problems"][0]
    finally:
        stage.catalog.set_enabled("on-checked", enabled=False)
        stage.catalog.set_enabled("on-narrow", enabled=False)


def test_an_archived_object_is_refused_until_it_is_restored(stage: Stage, capsys: Captured) -> None:
    table = people(20, 1)
    stage.put_dataset("archived", {"a.parquet": table})
    stage.register("on-archived", train_xgboost(1), dataset="archived")
    try:
        s3, bucket = stage.client("s3"), stage.deployment.datasets_bucket
        cold = {"Bucket": bucket, "Key": layout.dataset_prefix("archived") + "cold.parquet"}
        frozen = {"Bucket": bucket, "Key": layout.dataset_prefix("archived") + "frozen.parquet"}
        s3.put_object(**cold, Body=parquet(table), StorageClass="GLACIER")
        s3.put_object(**frozen, Body=parquet(table), StorageClass="DEEP_ARCHIVE")
        with pytest.raises(ClientError, match="InvalidObjectState"):
            s3.get_object(**frozen)
        request = {"models": ["on-archived"]}
        status, found = check(stage, request, capsys)
        assert status == 2
        assert "2 of 3 objects in archived storage" in found["problems"][0]
        refused = stage.run(request, "over-archived")
        assert refused.status == ExecutionStatus.FAILED
        assert "The first: cold.parquet (GLACIER), frozen.parquet (DEEP_ARCHIVE)." in refused.reason

        for key in (cold, frozen):
            s3.restore_object(**key, RestoreRequest={"Days": 1})
        for key in (cold, frozen):
            wait_for(lambda key=key: 'ongoing-request="false"' in s3.head_object(**key)["Restore"], "a restored copy")
        assert check(stage, request, capsys)[0] == 0
        assert stage.run(request, "over-restored").status == ExecutionStatus.SUCCEEDED
    finally:
        stage.catalog.set_enabled("on-archived", enabled=False)
