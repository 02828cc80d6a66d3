"""A backfill scores exactly what no execution has scored yet, whatever ran before, meanwhile or in part."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.documents.dataset_template import Slot, expand
from cli.main import main
from cli.stage.executions.backfill import Backfill, Outcome, SlotResult
from contract import codec, layout
from contract.status import ExecutionStatus
from contract.triggers.slots import read_time
from contract.triggers.uploads import ObjectVersion, UploadManifest
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, parquet, people, train_xgboost, wait_for

THREE_DAYS = (read_time("from", "2026-01-01"), read_time("to", "2026-01-03"))
SUCCEEDED, SKIPPED, FAILED = Outcome.SUCCEEDED, Outcome.SKIPPED, Outcome.FAILED


@pytest.fixture(scope="module", autouse=True)
def catalog(stage: Stage) -> None:
    for model_id in ("fill-a", "fill-b"):
        stage.register(model_id, train_xgboost(1), dataset="fill", version="1")


def put(stage: Stage, dataset: str, *keys: str) -> Slot:
    """Upload objects of a dataset with one slot, and return the slot."""
    stage.put_dataset(dataset, {f"{key}.parquet": people(10, ord(key)) for key in keys})
    return Slot(dataset, f"{dataset}-fill")


class Run:
    """One backfill: its results, its progress and how many executions ran at once."""

    def __init__(self, stage: Stage, *slots: Slot, models: str = "fill-a", max_running: int = 2) -> None:
        self.events: list[tuple[str, str]] = []
        self.concurrency = 0
        self._running: set[str] = set()
        work = Backfill(stage.connection, stage.deployment, models=models.split(","))
        self.results = work.run(slots, max_running=max_running, report=self._report, seconds=0.2)

    def _report(self, _slot: Slot, execution_id: str, event: str) -> None:
        if execution_id:
            self.events.append((execution_id, event))
            (self._running.add if event in ("started", "already running") else self._running.discard)(execution_id)
            self.concurrency = max(self.concurrency, len(self._running))

    @property
    def started(self) -> list[str]:
        return [execution_id for execution_id, event in self.events if event == "started"]

    @property
    def counts(self) -> list[tuple[Outcome, int, int, int]]:
        """Outcome and kept, scored and unscored commits of each dataset."""
        return [(item.outcome, item.kept, item.scored, item.unscored) for item in self.results]


def request_of(stage: Stage, execution_id: str) -> Mapping[str, Any]:
    return stage.summary(execution_id).request


def latest(stage: Stage, dataset: str, model_id: str) -> str:
    """Return the execution to which the pointer of the latest predictions leads."""
    key = layout.latest_key(dataset, model_id, "")
    body = stage.client("s3").get_object(Bucket=stage.deployment.results_bucket, Key=key)["Body"].read()
    return str(json.loads(body)["execution_id"])


def test_a_backfill_scores_what_is_missing_and_nothing_twice(stage: Stage) -> None:
    days = expand("visits-{date}", *THREE_DAYS, "day", "fill")
    for index, slot in enumerate(days):
        stage.put_dataset(slot.dataset, {"a.parquet": people(10, index)})
    first = Run(stage, *days)
    assert first.counts == [(SUCCEEDED, 0, 1, 0)] * 3
    assert first.started == ["fill-20260101", "fill-20260102", "fill-20260103"]
    assert first.concurrency == 2

    again = Run(stage, *days)
    assert again.counts == [(SKIPPED, 1, 0, 0)] * 3
    assert again.events == []

    # After another upload and with another model, only the new combinations are scored.
    stage.put_dataset(days[1].dataset, {"b.parquet": people(10, 9)})
    third = Run(stage, *days[:2], models="fill-a,fill-b")
    assert third.counts == [(SUCCEEDED, 1, 1, 0), (SUCCEEDED, 1, 3, 0)]
    assert {name: request_of(stage, name)["models"] for name in third.started} == {
        "fill-20260101-2": ["fill-b"],
        "fill-20260102-2": ["fill-a", "fill-b"],
    }
    jobs = {job.model_ids: job for job in stage.executions.snapshot("fill-20260102-2").jobs}
    assert sum(job.commits_kept for job in jobs.values()) == 1
    assert set(stage.predictions(days[1].dataset, "fill-a", "fill-20260102-2", _job_of(jobs, "fill-a"))) == {
        "a.parquet",
        "b.parquet",
    }


def _job_of(jobs: Mapping[tuple[str, ...], Any], model_id: str) -> str:
    return str(next(job.job_id for models, job in jobs.items() if model_id in models))


def test_an_execution_over_an_upload_window_counts_only_for_its_objects(stage: Stage) -> None:
    slot = put(stage, "windowed", "a", "b", "c")
    bucket = stage.deployment.datasets_bucket
    head = stage.client("s3").head_object(Bucket=bucket, Key=layout.dataset_prefix("windowed") + "b.parquet")
    upload = ObjectVersion("b.parquet", head["VersionId"], head["ETag"].strip('"'), head["ContentLength"])
    manifest = layout.upload_manifest_key("windowed", "window-1")
    stage.client("s3").put_object(
        Bucket=stage.deployment.results_bucket,
        Key=manifest,
        Body=codec.dumps(UploadManifest("windowed", "window", (upload,))).encode(),
    )
    stage.run({"models": ["fill-a"], "objects_manifest": manifest}, "upload-windowed-1")

    assert Run(stage, slot).counts == [(SUCCEEDED, 1, 2, 0)]

    assert stage.scored("windowed-fill", "fill-a") == ["a.parquet", "c.parquet"]
    assert latest(stage, "windowed", "fill-a") == "windowed-fill"


def test_a_running_execution_of_other_models_is_not_waited_for(stage: Stage, shared_folder: Path) -> None:
    slot = put(stage, "others", "a")
    stage.register("fill-gate", Gate(shared_folder), dataset="others", version="1")
    stage.executions.start('{"dataset": "others", "models": ["fill-gate"]}', slot.execution_id)
    wait_for((shared_folder / "waiting").exists, "the other model scores")

    run = Run(stage, slot)

    assert run.counts == [(SUCCEEDED, 0, 1, 0)]
    assert run.started == ["others-fill-2"]
    assert stage.executions.workflow_status("others-fill") == "RUNNING"
    (shared_folder / "open").touch()
    assert stage.watch("others-fill").status == ExecutionStatus.SUCCEEDED


def test_a_running_execution_is_followed_and_what_it_leaves_is_scored(stage: Stage, shared_folder: Path) -> None:
    slot = put(stage, "follow", "a")
    stage.register("fill-slow", Gate(shared_folder), dataset="follow", version="1")
    stage.executions.start('{"dataset": "follow", "models": ["fill-slow"]}', "nightly-follow")
    wait_for((shared_folder / "waiting").exists, "it has pinned the objects and scores")
    put(stage, "follow", "b")
    events: list[tuple[str, str]] = []

    def report(_slot: Slot, execution_id: str, event: str) -> None:
        events.append((execution_id, event))
        (shared_folder / "open").touch()

    work = Backfill(stage.connection, stage.deployment, models=["fill-slow"])
    (result,) = work.run([slot], max_running=1, report=report, seconds=0.1)

    assert events[:-1] == [
        ("nightly-follow", "already running"),
        ("nightly-follow", "SUCCEEDED"),
        ("follow-fill", "started"),
        ("follow-fill", "SUCCEEDED"),
    ]
    assert result == SlotResult("follow", SUCCEEDED, 0, 2, 0, ("nightly-follow", "follow-fill"))
    assert stage.scored("follow-fill", "fill-slow") == ["b.parquet"]


def test_an_upload_that_ended_after_an_execution_and_deleted_predictions_are_scored(stage: Stage) -> None:
    """The upload began before the execution."""
    slot, s3 = put(stage, "late", "a"), stage.client("s3")
    target = {"Bucket": stage.deployment.datasets_bucket, "Key": layout.dataset_prefix("late") + "b.parquet"}
    upload = s3.create_multipart_upload(**target)["UploadId"]
    began = datetime.now(UTC)
    assert Run(stage, slot).counts == [(SUCCEEDED, 0, 1, 0)]
    part = s3.upload_part(**target, UploadId=upload, PartNumber=1, Body=parquet(people(10, 2)))
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload=parts)
    assert s3.head_object(**target)["LastModified"] <= began, "S3 dates the object from the start of its upload"
    assert Run(stage, slot).counts == [(SUCCEEDED, 1, 1, 0)]

    outputs = layout.model_outputs_prefix("predictions", "late", "late-fill-2", "fill-a", "fill-a")
    s3.delete_object(Bucket=stage.deployment.results_bucket, Key=f"{outputs}b.parquet")
    assert Run(stage, slot).counts == [(SUCCEEDED, 1, 1, 0)]


def test_what_stays_unscored_fails_and_only_that_is_scored_later(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    put(stage, "broken-2026-01-01", "a", "b")
    stage.put_dataset("broken-2026-01-01", {"c.parquet": b"no parquet"})
    words = ["backfill", "--dataset", "broken-{date}", "--from", "2026-01-01", "--to", "2026-01-02", "--name", "broken"]
    words += ["--models", "fill-a", "--json"]

    def run(status: int, *options: str) -> list[dict[str, Any]]:
        assert main([*words, *options]) == status
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    first, second = run(2, "--check")
    assert [first[name] for name in ("state", "expected", "scored", "unscored")] == ["UNSCORED", 3, 0, 3]
    assert second["state"] == "REFUSED"
    assert "no objects" in second["reason"]
    assert stage.executions.workflow_status("broken-20260101") is None

    first, second = run(1)
    assert [first[name] for name in ("outcome", "kept", "scored", "unscored")] == ["FAILED", 0, 2, 1]
    assert first["reason"] == "see `fleetscore status broken-20260101`"
    assert second["outcome"] == "FAILED"

    put(stage, "broken-2026-01-01", "c")
    put(stage, "broken-2026-01-02", "a")
    first, second = run(0)
    assert [first[name] for name in ("outcome", "kept", "scored", "executions")] == [
        "SUCCEEDED",
        2,
        1,
        ["broken-20260101-2"],
    ]
    assert second["outcome"] == "SUCCEEDED"
    assert stage.scored("broken-20260101-2", "fill-a") == ["c.parquet"]
    assert [item["state"] for item in run(0, "--check")] == ["SCORED", "SCORED"]
