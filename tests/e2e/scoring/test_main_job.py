"""The request `{}` scores every enabled model on its own dataset."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.stage.executions.execution_snapshot import Snapshot
from contract import layout
from contract.status import ExecutionStatus, JobStatus
from tests.e2e.stage import Stage, features_of, join_by_key, people, train_sklearn, train_xgboost

MODELS = {"clicks": "ads", "churn": "customers", "upsell": "customers"}


@pytest.fixture(scope="module")
def datasets() -> dict[str, dict[str, Any]]:
    return {
        "ads": {f"day={day}/part-{day}.parquet": people(700 + day, day, first_row=day * 10_000) for day in range(5)},
        "customers": {f"{index}.parquet": people(300, 50 + index, first_row=index * 1_000) for index in range(3)},
    }


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    # XGBoost handles the nulls of these datasets; the scikit-learn pipeline has its own test below.
    return {"clicks": train_xgboost(1), "churn": train_xgboost(2), "upsell": train_xgboost(3)}


@pytest.fixture(scope="module")
def execution(stage: Stage, datasets: dict[str, Any], models: dict[str, Any]) -> Iterator[Snapshot]:
    # `{}` means every enabled model, so disable those of other tests.
    for model, _ in stage.catalog.models():
        stage.catalog.set_enabled(model.model_id, enabled=False)
    for dataset, objects in datasets.items():
        stage.put_dataset(dataset, objects)
    for model_id, dataset in MODELS.items():
        instances = 2 if model_id == "clicks" else 1
        stage.register(model_id, models[model_id], dataset=dataset, instance_count=instances, tags={"test": "main"})
    yield stage.run({}, "main-job")
    for model_id in MODELS:
        stage.catalog.set_enabled(model_id, enabled=False)


def test_an_empty_request_scores_every_enabled_model(execution: Snapshot) -> None:
    assert (execution.status, execution.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert {job.job_id: job.status for job in execution.jobs} == dict.fromkeys(MODELS, JobStatus.SUCCEEDED)


@pytest.mark.parametrize("model_id", MODELS)
def test_predictions_equal_those_of_the_models_library(
    stage: Stage, execution: Snapshot, datasets: dict[str, Any], models: dict[str, Any], model_id: str
) -> None:
    dataset = MODELS[model_id]
    outputs = stage.predictions(dataset, model_id, execution.execution_id)
    assert set(outputs) == set(datasets[dataset])
    scored = join_by_key(list(outputs.values()))
    given = join_by_key(list(datasets[dataset].values()))
    assert scored["row"].to_pylist() == given["row"].to_pylist()
    expected = models[model_id].predict_proba(features_of(given))
    found = np.column_stack([scored[name].to_numpy() for name in ("prediction_0", "prediction_1")])
    np.testing.assert_array_equal(found.astype(expected.dtype), expected)


def test_input_columns_are_unchanged_in_the_output(stage: Stage, execution: Snapshot, datasets: dict[str, Any]) -> None:
    outputs = stage.predictions("ads", "clicks", execution.execution_id)
    for key, given in datasets["ads"].items():
        assert outputs[key].select(given.column_names).equals(given)


def test_a_job_with_two_instances_shards_its_objects(stage: Stage, execution: Snapshot) -> None:
    (job,) = [job for job in stage.processing_jobs(execution.execution_id) if "-clicks-" in job["ProcessingJobName"]]
    assert job["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 2
    events = stage.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=job["ProcessingJobName"]
    )
    assert len(events["logStreams"]) == 2
    assert len(stage.commits(execution.execution_id, "clicks")) == 5
    assert len(stage.result_keys(layout.ledger_prefix(execution.execution_id, "clicks"))) == 2, "one segment each"


def test_summary_and_records_agree_on_every_row(stage: Stage, execution: Snapshot, datasets: dict[str, Any]) -> None:
    summary = stage.summary(execution.execution_id)
    assert summary.status is ExecutionStatus.SUCCEEDED
    rows = {dataset: sum(table.num_rows for table in objects.values()) for dataset, objects in datasets.items()}
    assert {job.job_id: job.rows_in for job in summary.jobs} == {m: rows[d] for m, d in MODELS.items()}
    assert (summary.rows_in, summary.rows_scored, summary.rows_quarantined) == (
        sum(rows[dataset] for dataset in MODELS.values()),
        sum(rows[dataset] for dataset in MODELS.values()),
        0,
    )
    assert {job.job_id: job.rows_scored for job in execution.jobs} == {
        job.job_id: job.rows_scored for job in summary.jobs
    }
    assert all(job.predictions_uris for job in summary.jobs)


def test_jobs_are_isolated_and_encrypted_and_have_unique_names(stage: Stage, execution: Snapshot) -> None:
    jobs = stage.processing_jobs(execution.execution_id)
    assert len({job["ProcessingJobName"] for job in jobs}) == len(jobs) == len(MODELS)
    for job in jobs:
        assert job["NetworkConfig"]["EnableNetworkIsolation"] is True
        assert all(
            output["S3Output"]["S3UploadMode"] == "Continuous" for output in job["ProcessingOutputConfig"]["Outputs"]
        )
        assert job["ProcessingOutputConfig"]["KmsKeyId"].startswith("arn:aws:kms:")
    for prefix in (layout.ledger_prefix(execution.execution_id, "clicks"), f"predictions/dataset={MODELS['clicks']}/"):
        for key in stage.result_keys(prefix):
            head = stage.client("s3").head_object(Bucket=stage.deployment.results_bucket, Key=key)
            assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == (
                "aws:kms",
                jobs[0]["ProcessingOutputConfig"]["KmsKeyId"],
            )


def test_models_per_job_lets_models_of_one_dataset_share_a_job(
    stage: Stage, execution: Snapshot, datasets: dict[str, Any], models: dict[str, Any]
) -> None:
    for model_id in ("churn", "upsell"):
        stage.catalog.set_enabled(model_id, enabled=True)
    try:
        shared = stage.run({"models": ["churn", "upsell"], "models_per_job": 2}, "shared-job")
    finally:
        for model_id in ("churn", "upsell"):
            stage.catalog.set_enabled(model_id, enabled=False)
    assert shared.status == ExecutionStatus.SUCCEEDED
    (job,) = shared.jobs
    assert (job.job_id, job.model_ids, job.rows_scored) == ("churn.and-1-more", ("churn", "upsell"), 1_800)
    for model_id in ("churn", "upsell"):
        together = stage.predictions("customers", model_id, "shared-job", job.job_id)
        alone = stage.predictions("customers", model_id, execution.execution_id)
        assert all(together[key].equals(alone[key]) for key in datasets["customers"])


def test_a_request_can_name_another_dataset_for_a_model(stage: Stage, datasets: dict[str, Any]) -> None:
    complete = datasets["ads"]["day=0/part-0.parquet"].to_pandas().fillna({"spend": 0.0})
    table = datasets["ads"]["day=0/part-0.parquet"]
    table = table.set_column(table.column_names.index("spend"), "spend", [complete["spend"].to_numpy()])
    stage.put_dataset("no-nulls", {"all.parquet": table})
    model = train_sklearn(4)
    stage.register("big-spender", model, dataset="elsewhere", method="predict", columns="keys", enabled=True)
    try:
        snapshot = stage.run({"models": ["big-spender"], "dataset": "no-nulls"}, "other-dataset")
    finally:
        stage.catalog.set_enabled("big-spender", enabled=False)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    (output,) = stage.predictions("no-nulls", "big-spender", "other-dataset").values()
    assert output.column_names == ["row", "prediction"]
    assert output["prediction"].to_pylist() == model.predict(features_of(table)).tolist()


def test_the_command_starts_follows_and_reports_an_execution(stage: Stage, execution: Snapshot, tmp_path: Path) -> None:
    stage.catalog.set_enabled("clicks", enabled=True)
    try:
        ran = fleetscore("run", "--input", '{"models": ["clicks"]}', "--name", "by-command", "--wait", "--json")
        status = fleetscore("--json", "status", "by-command")
    finally:
        stage.catalog.set_enabled("clicks", enabled=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["status"] == "SUCCEEDED"
    assert json.loads(status.stdout)["jobs"][0]["status"] == "SUCCEEDED"


def fleetscore(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
