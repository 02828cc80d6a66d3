"""Fleets: each row is scored by the model of its segment, in one output."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from cli import main as entry
from cli.stage.executions.execution_snapshot import Snapshot
from cli.views.executions.progress import watch
from contract import layout
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from contract.table.records import JobRecord
from tests.e2e.failing_models import RefusesOneRow, WaitsToBeKilled
from tests.e2e.scoring.test_failures import kill_containers
from tests.e2e.stage import Stage, features_of, parquet, people, train_xgboost, wait_for

FLEET = "segments"
JOB = f"{FLEET}.fleet"
DATASET = "segment-people"
ROUTES = {"gold": ("gold", "platinum"), "silver": ("silver",), "bronze": ("bronze",)}
SEGMENTS = ("gold", "platinum", "silver", "bronze", "unknown", None)
MODEL_OF = {route: model_id for model_id, routes in ROUTES.items() for route in routes}
Captured = pytest.CaptureFixture[str]
MODELS = {model_id: train_xgboost(seed) for seed, model_id in enumerate([*ROUTES, "rest"])}


def members_of_segments(rows: int, seed: int, *, first_row: int) -> pa.Table:
    """Return people with their segment, of which some have no model or none at all."""
    segments = np.random.default_rng(seed).choice(len(SEGMENTS), rows, p=[0.3, 0.1, 0.3, 0.2, 0.05, 0.05])
    return people(rows, seed, first_row=first_row).append_column(
        "segment", pa.array([SEGMENTS[index] for index in segments])
    )


OBJECTS = {f"{n}.parquet": members_of_segments(60 + n, n, first_row=1_000 * n) for n in range(4)}


def command(*words: str) -> None:
    assert entry.main(words) == 0, words


@pytest.fixture(scope="module")
def fleet(stage: Stage) -> Iterator[Stage]:
    """Return the stage with a fleet of three models, and a fourth for unmatched rows."""
    stage.put_dataset(DATASET, OBJECTS)
    command("fleets", "set", FLEET, "--dataset", DATASET, "--route-by", "segment")
    for model_id, model in MODELS.items():
        stage.register(model_id, model, dataset=DATASET, fleet=FLEET, route=ROUTES.get(model_id, ()))
    # The model of other rows is not among them until a test asks for it.
    stage.catalog.set_enabled("rest", enabled=False)
    yield stage
    for model_id in MODELS:
        stage.catalog.set_enabled(model_id, enabled=False)
    command("fleets", "delete", FLEET)


def run(stage: Stage, name: str, *, unmatched: str, **request: Any) -> Snapshot:
    command("fleets", "set", FLEET, "--dataset", DATASET, "--route-by", "segment", "--unmatched", unmatched)
    return stage.run({"fleets": [FLEET], **request}, name)


def outputs(stage: Stage, name: str, dataset: str = DATASET, job_id: str = JOB) -> dict[str, pa.Table]:
    prefix = layout.job_outputs_prefix("predictions", dataset, name, job_id, "fleet")
    s3, bucket = stage.client("s3"), stage.deployment.results_bucket
    return {
        key.removeprefix(prefix): pq.read_table(
            pa.BufferReader(s3.get_object(Bucket=bucket, Key=key)["Body"].read()), partitioning=None
        )
        for key in stage.result_keys(prefix)
    }


def check_scores(given: pa.Table, scored: pa.Table, models: Mapping[str, str]) -> None:
    """Check that each row has the scores of its segment's model, and which one that was."""
    frame = given.to_pandas()
    wanted = [models.get(segment) for segment in given["segment"].to_pylist()]
    kept = pd.Series([model_id is not None for model_id in wanted])
    assert scored["row"].to_pylist() == frame["row"][kept].tolist()
    assert scored.column_names == [
        *given.column_names,
        "prediction_0",
        "prediction_1",
        "model_id",
        "model_version",
    ]
    assert scored["model_id"].to_pylist() == [model_id for model_id in wanted if model_id is not None]
    assert set(scored["model_version"].to_pylist()) == {"1"}
    for model_id in {model_id for model_id in wanted if model_id is not None}:
        of_model = given.filter(pa.array([name == model_id for name in wanted]))
        found = scored.filter(pa.array([name == model_id for name in scored["model_id"].to_pylist()]))
        expected = MODELS[model_id].predict_proba(features_of(of_model))
        got = np.column_stack([found["prediction_0"].to_numpy(), found["prediction_1"].to_numpy()])
        np.testing.assert_array_equal(got, expected)


def unmatched_rows() -> int:
    return sum(segment not in MODEL_OF for table in OBJECTS.values() for segment in table["segment"].to_pylist())


def the_job(snapshot: Snapshot) -> JobRecord:
    (job,) = snapshot.jobs
    assert (job.job_id, job.fleet, job.model_ids) == (JOB, FLEET, (FLEET,))
    return job


def rows_of(job: JobRecord) -> tuple[int, int, int, int]:
    return job.rows_in, job.rows_scored, job.rows_quarantined, job.rows_skipped


ROWS = sum(table.num_rows for table in OBJECTS.values())


def test_unmatched_rows_go_to_quarantine(fleet: Stage, tmp_path: Path, capsys: Captured) -> None:
    name = "fleet-quarantine"
    snapshot = run(fleet, name, unmatched="quarantine", tolerated_quarantine_fraction=0.5)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    job = the_job(snapshot)
    unmatched = unmatched_rows()
    assert job.fleet_models == 3
    assert rows_of(job) == (ROWS, ROWS - unmatched, unmatched, 0)
    found = outputs(fleet, name)
    assert sorted(found) == sorted(OBJECTS)
    for key, table in OBJECTS.items():
        check_scores(table, found[key], MODEL_OF)
    commits = fleet.commits(name, JOB)
    assert [(commit.model_id, commit.object) for commit in commits] == [(FLEET, key) for key in sorted(OBJECTS)]

    (listed,) = fleet.summary(name).jobs
    bucket = fleet.deployment.results_bucket
    folder = f"dataset={DATASET}/execution_id={name}/job_id={JOB}/"
    assert listed.predictions_uris == (f"s3://{bucket}/fleets/{folder}",)
    assert listed.quarantine_uris == (f"s3://{bucket}/quarantine/{folder}model_id={FLEET}/",)
    quarantined = []
    for key in fleet.result_keys(f"quarantine/{folder}"):
        body = fleet.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        quarantined += pq.read_table(pa.BufferReader(body)).to_pylist()
    assert len(quarantined) == unmatched
    assert {row["model"] for row in quarantined} == {FLEET}
    assert any("segment" in row["reason"] for row in quarantined)

    # All executions of the fleet read back as one table.
    command("predictions", "--model", FLEET, "--download", str(tmp_path / "all"))
    command("predictions", "--execution", name, "--quarantine", "--model", FLEET, "--download", str(tmp_path / "bad"))
    assert len(pd.read_parquet(tmp_path / "bad")) == unmatched
    read = ds.dataset(tmp_path / "all/fleets", format="parquet", partitioning="hive").to_table()
    assert read.num_rows == ROWS - unmatched
    assert set(read["job_id"].to_pylist()) == {JOB}
    command("status", name)
    assert f"{JOB}, note: fleet {FLEET} of 3 models" in capsys.readouterr().out


def test_unmatched_rows_are_scored_by_the_model_for_them(fleet: Stage) -> None:
    fleet.catalog.set_enabled("rest", enabled=True)
    try:
        snapshot = run(fleet, "fleet-rest", unmatched="model:rest")
    finally:
        fleet.catalog.set_enabled("rest", enabled=False)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert rows_of(the_job(snapshot)) == (ROWS, ROWS, 0, 0)
    found = outputs(fleet, "fleet-rest")
    for key, table in OBJECTS.items():
        check_scores(table, found[key], {**dict.fromkeys(SEGMENTS, "rest"), **MODEL_OF})


def test_routes_may_be_in_the_keys_and_unmatched_rows_are_skipped(fleet: Stage, capsys: Captured) -> None:
    table = people(50, 7)
    objects = {f"segment={route}/part.parquet": table for route in ("gold", "platinum", "bronze", "other")}
    fleet.put_dataset("people-by-segment", objects)
    snapshot = run(fleet, "fleet-keys", unmatched="skip", dataset="people-by-segment")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    assert rows_of(the_job(snapshot)) == (200, 150, 0, 50)
    assert fleet.summary("fleet-keys").rows_skipped == 50
    assert fleet.result_keys("quarantine/dataset=people-by-segment/execution_id=fleet-keys/") == []
    command("status", "fleet-keys")
    assert "50 of them skipped" in capsys.readouterr().out
    found = outputs(fleet, "fleet-keys", "people-by-segment")
    for route in ("gold", "platinum", "bronze"):
        scored = found[f"segment={route}/part.parquet"]
        assert set(scored["model_id"].to_pylist()) == {MODEL_OF[route]}
        expected = MODELS[MODEL_OF[route]].predict_proba(features_of(table))[:, 1]
        np.testing.assert_array_equal(scored["prediction_1"].to_numpy(), expected)


def test_a_fleet_over_a_skewed_dataset_is_split_and_reported_as_one_job(fleet: Stage) -> None:
    rows = {"a": 3_000, "b": 60, "c": 2_000, "d": 70}
    objects = {
        f"{key}.parquet": members_of_segments(count, ord(key), first_row=ord(key) * 10_000)
        for key, count in rows.items()
    }
    fleet.put_dataset("skewed-segments", objects)
    name = "fleet-split"
    snapshot = run(fleet, name, unmatched="skip", dataset="skewed-segments", instance_count=2)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    job = the_job(snapshot)
    routed = sum(segment in MODEL_OF for table in objects.values() for segment in table["segment"].to_pylist())
    assert rows_of(job) == (sum(rows.values()), routed, 0, sum(rows.values()) - routed)
    parts = snapshot.parts[JOB]
    assert [part.job_id for part in parts] == [f"{JOB}.part-1-of-2", f"{JOB}.part-2-of-2"]
    found = {
        key: table for part in parts for key, table in outputs(fleet, name, "skewed-segments", part.job_id).items()
    }
    assert sorted(found) == sorted(objects)
    for key, table in objects.items():
        check_scores(table, found[key], MODEL_OF)


def test_a_check_reports_a_fleet_as_one_job_of_its_models(fleet: Stage, capsys: Captured) -> None:
    command("fleets", "set", FLEET, "--dataset", DATASET, "--route-by", "segment", "--unmatched", "skip")
    capsys.readouterr()
    command("run", "--fleets", FLEET, "--check", "--json")
    check = json.loads(capsys.readouterr().out)
    assert (check["job_count"], check["model_count"], check["jobs"][0]["models"]) == (1, 3, 3)
    assert any("'skip'" in note for note in check["notes"])
    assert entry.main(["run", "--models", "gold", "--check"]) == 2
    assert '"fleets": ["segments"]' in capsys.readouterr().err


class TestFailures:
    """A fleet of a good model and one that fails."""

    def _set(self, stage: Stage, fleet: str, dataset: str, models: Mapping[str, Any]) -> None:
        command("fleets", "set", fleet, "--dataset", dataset, "--route-by", "segment")
        for model_id, model in models.items():
            stage.register(f"{fleet}-{model_id}", model, dataset=dataset, fleet=fleet, route=(model_id,))

    def _clear(self, stage: Stage, fleet: str, models: Mapping[str, Any]) -> None:
        for model_id in models:
            stage.catalog.set_enabled(f"{fleet}-{model_id}", enabled=False)
        command("fleets", "delete", fleet)

    def test_an_object_that_a_model_cannot_score_fails_alone(self, stage: Stage) -> None:
        models = {"gold": MODELS["gold"], "picky": RefusesOneRow()}
        good = people(40, 1).append_column("segment", pa.array(["gold", "picky"] * 20))
        bad = good.to_pandas()
        bad.loc[[5, 8], "visits"] = RefusesOneRow.REFUSED_VISITS  # Row 8 is of the other model.
        objects = {"bad.parquet": pa.Table.from_pandas(bad, schema=good.schema), "good.parquet": good}
        stage.put_dataset("partly", objects)
        self._set(stage, "partly", "partly", models)
        try:
            snapshot = stage.run({"fleets": ["partly"]}, "fleet-partly")
            tolerant = stage.run({"fleets": ["partly"], "tolerated_quarantine_fraction": 0.1}, "fleet-tolerant")
        finally:
            self._clear(stage, "partly", models)
        (job,) = snapshot.jobs
        assert (snapshot.status, job.status, job.fleet) == (ExecutionStatus.FAILED, JobStatus.FAILED, "partly")
        assert "bad.parquet" in job.reason
        assert [commit.object for commit in stage.commits("fleet-partly", "partly.fleet")] == ["good.parquet"]
        (job,) = tolerant.jobs
        assert (tolerant.status, rows_of(job)) == (ExecutionStatus.SUCCEEDED, (80, 79, 1, 0))

    def test_a_retry_scores_only_the_objects_that_are_not_committed(self, stage: Stage, shared_folder: Path) -> None:
        models = {"gold": MODELS["gold"], "mortal": WaitsToBeKilled(shared_folder)}
        first = people(6_000, 1).append_column("segment", pa.array(["gold", "mortal"] * 3_000))
        frame = people(70, 2).append_column("segment", pa.array(["mortal"] * 70)).to_pandas()
        frame.loc[3, "visits"] = WaitsToBeKilled.FATAL_VISITS
        stage.put_dataset("killed-fleet", {"a.parquet": parquet(first), "b.parquet": pa.Table.from_pandas(frame)})
        self._set(stage, "killed-fleet", "killed-fleet", models)
        try:
            execution_id = stage.executions.start('{"fleets": ["killed-fleet"]}', "fleet-killed")
            wait_for((shared_folder / "waiting").exists, "an object is committed and another one is scored", 120.0)
            kill_containers()
            snapshot = watch(stage.executions, execution_id, None)
        finally:
            self._clear(stage, "killed-fleet", models)
        assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
        killed, retried = stage.executions.attempts("fleet-killed")["killed-fleet.fleet"]
        assert (killed.failure_kind, killed.object_count) == (FailureKind.TRANSIENT, 2)
        assert (retried.status, retried.object_count) == (AttemptStatus.SUCCEEDED, 1)
        (job,) = snapshot.jobs
        assert rows_of(job) == (6_070, 6_070, 0, 0)
