"""A job of several instances is split into parts of about equal bytes if its objects differ much in size."""

import pyarrow as pa
from rich.console import Console

from cli.views.executions.executions import jobs_table
from contract import layout
from contract.status import ExecutionStatus, FailureKind, JobStatus
from tests.e2e.failing_models import RefusesOneRow, refusing_graph
from tests.e2e.stage import Stage, join_by_key, people, train_xgboost

NAME = "skewed-job"
# Dealt in turn, the first of three instances would get both large objects.
ROWS = {"a": 9_000, "b": 100, "c": 200, "d": 6_000, "e": 300, "f": 150}


def test_a_skewed_job_scores_every_row_once_and_is_reported_as_one_job(stage: Stage) -> None:
    objects = {f"{key}.parquet": people(rows, 7, first_row=ord(key) * 100_000) for key, rows in ROWS.items()}
    stage.put_dataset("skewed", objects)
    stage.register("skewed", train_xgboost(1), dataset="skewed", instance_count=3)
    try:
        snapshot = stage.run({"models": ["skewed"]}, NAME)
    finally:
        stage.catalog.set_enabled("skewed", enabled=False)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, ""), snapshot.parts
    (job,) = snapshot.jobs
    assert (job.job_id, job.status, job.object_count) == ("skewed", JobStatus.SUCCEEDED, len(ROWS))
    assert job.rows_in == job.rows_scored == sum(ROWS.values())

    # Each row is in exactly one output, below the URIs that the summary names.
    (reported,) = stage.summary(NAME).jobs
    prefix = f"s3://{stage.deployment.results_bucket}/"
    written = {uri: stage.result_keys(uri.removeprefix(prefix)) for uri in reported.predictions_uris}
    assert sorted(key.rpartition("/")[2] for keys in written.values() for key in keys) == sorted(objects)
    parts = snapshot.parts["skewed"]
    outputs = [stage.predictions("skewed", "skewed", NAME, part.job_id) for part in parts]
    scored = join_by_key([table for tables in outputs for table in tables.values()])
    assert scored["row"].to_pylist() == join_by_key(list(objects.values()))["row"].to_pylist()

    # The two large objects are apart, each on an instance of its own job.
    assert [sorted(tables) for tables in outputs][:1] == [["a.parquet"]]
    assert "d.parquet" in outputs[1]
    requests = stage.processing_jobs(NAME)
    assert [request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] for request in requests] == [1, 1, 1]
    assert job.sharding is not None
    assert job.sharding.parts == len(reported.parts) == 3
    assert job.sharding.largest_shard_bytes > 1.2 * job.sharding.mean_shard_bytes
    assert stage.result_keys(layout.snapshot_key(NAME, "skewed")) == []

    with (console := Console(width=120)).capture() as shown:
        console.print(jobs_table(snapshot))
    names = [line[:13].strip() for line in shown.get().splitlines()[1:]]
    assert names == ["skewed", "part 1 of 3", "part 2 of 3", "part 3 of 3"]


def test_a_part_that_fails_is_named_and_the_other_parts_keep_their_joined_outputs(stage: Stage) -> None:
    objects = {f"{key}.parquet": people(rows, 7, first_row=ord(key) * 100_000) for key, rows in ROWS.items()}
    bad = objects["d.parquet"].to_pandas()
    bad.loc[17, "visits"] = RefusesOneRow.REFUSED_VISITS
    objects["d.parquet"] = pa.Table.from_pandas(bad, schema=objects["d.parquet"].schema)
    stage.put_dataset("part-fails", objects)
    models = {"part-fails-a": train_xgboost(1), "part-fails-b": refusing_graph()}
    for model_id, model in models.items():
        stage.register(model_id, model, dataset="part-fails", instance_count=3)
    request = {"models": list(models), "output_layout": "joined"}
    try:
        snapshot = stage.run(request, "part-fails")
    finally:
        for model_id in models:
            stage.catalog.set_enabled(model_id, enabled=False)

    assert snapshot.status == ExecutionStatus.FAILED
    (job,) = snapshot.jobs
    assert (job.job_id, job.status, job.failure_kind) == (
        "part-fails-a.and-1-more",
        JobStatus.FAILED,
        FailureKind.MODEL,
    )
    assert job.reason.startswith("part 2 of 3: ")
    assert "d.parquet" in job.reason
    (reported,) = stage.summary("part-fails").jobs
    assert [part.status for part in reported.parts] == [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.SUCCEEDED]
    # No output of the bad object, and one of every other.
    assert reported.predictions_uris == ()
    written = stage.result_keys("joined/dataset=part-fails/execution_id=part-fails/")
    assert sorted(key.rpartition("/")[2] for key in written) == sorted(objects.keys() - {"d.parquet"})
    assert job.rows_scored == 2 * sum(rows for key, rows in ROWS.items() if key != "d")
