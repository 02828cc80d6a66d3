"""A plan that keeps what is scored already asks one question per object and model, whatever executions scored it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import codec, layout
from contract.job.scoring_spec import JobSource
from contract.status import ExecutionKind
from contract.triggers.uploads import ObjectVersion, UploadManifest
from contract.workflow.request_check import CheckInput, RequestCheck, ResumeCounts, ScoredBefore
from lambdas.check_request.handler import handler as check_handler
from lambdas.planning.resume import coverage, earlier
from lambdas.stage.activity import Activity
from tests.unit.lambdas.builders import (
    STARTED_AT,
    Context,
    Stage,
    any_model_spec,
    plan_event,
    pointer_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]
KEEP = {"dataset": "flights", "keep_scored": True}


def check(request: Any = KEEP) -> RequestCheck:
    event = codec.to_json(CheckInput(ExecutionKind.SCORING, request))
    return codec.from_json(RequestCheck, check_handler(event, Context()))  # type: ignore[arg-type]


def scored(request: Any = KEEP) -> dict[str, tuple[int, int]]:
    """Return how many objects each model has scored, and how many there are."""
    return {item.id: (item.scored, item.objects) for item in check(request).scored_before}


def window(stage: Stage, name: str, *keys: str) -> dict[str, Any]:
    """Write the manifest of an upload window, and return the request of its execution."""
    listed = {entry.key: entry for entry in stage.deployment.store.dataset_objects("flights")}
    versions = tuple(ObjectVersion(key, f"v-{key}", listed[key].etag, listed[key].size) for key in keys)
    manifest = layout.upload_manifest_key("flights", name)
    stage.deployment.store.add_upload_manifest(manifest, UploadManifest("flights", "window", versions))
    return {"dataset": "flights", "objects_manifest": manifest}


def end(summarize: Step, execution_id: str, started_at: str = STARTED_AT) -> None:
    failure = {"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}
    summarize(summary_event(failure, execution_id, started_at))


@pytest.fixture
def run(stage: Stage, plan: Step, record: Step, summarize: Step) -> Callable[..., None]:
    """Return a function that runs an execution which commits some objects and is stopped then."""

    def run(
        request: dict[str, Any], execution_id: str, *, objects: int | None = None, started_at: str = STARTED_AT
    ) -> None:
        plan(plan_event(request, execution_id, started_at))
        for job in stage.deployment.table.jobs(execution_id):
            record(pointer_event(job.job_id, execution_id=execution_id))
            spec = stage.spec(execution_id, job.job_id)
            for item in stage.deployment.store.objects_of(spec)[:objects]:
                for model in spec.committing_models:
                    stage.commit_one(spec, model, item)
        end(summarize, execution_id, started_at)

    return run


@pytest.fixture
def dataset(stage: Stage) -> Stage:
    stage.register()
    stage.upload(keys=["a.parquet", "b.parquet", "c.parquet"])
    return stage


def test_executions_over_windows_count_for_the_objects_that_they_had(dataset: Stage, run: Callable[..., None]) -> None:
    assert scored() == {"delays-ua": (0, 3)}
    run(window(dataset, "w1", "a.parquet"), "upload-flights-w1")
    assert scored() == {"delays-ua": (1, 3)}
    run(window(dataset, "w2", "b.parquet", "c.parquet"), "upload-flights-w2")
    assert check().scored_before == (ScoredBefore("delays-ua", "1", False, "flights", 3, 3),)
    assert check().resume == ResumeCounts(3, 3, 0, 0)


def test_the_plan_names_the_jobs_to_keep_from_and_the_first_attempt_scores_the_rest(
    dataset: Stage, run: Callable[..., None], plan: Step, record: Step
) -> None:
    run(window(dataset, "w1", "a.parquet"), "upload-flights-w1")
    run({}, "nightly", objects=1)
    plan(plan_event(KEEP, "fill"))
    assert set(dataset.spec("fill").sources) == {
        JobSource("upload-flights-w1", "delays-ua"),
        JobSource("nightly", "delays-ua"),
    }
    assert [item.key for item in dataset.objects("fill")] == ["a.parquet", "b.parquet", "c.parquet"]
    found = dataset.execution("fill")
    assert found.notes == ("commits of 2 earlier executions: 1 of 3 kept, 0 scored again, 2 not committed yet",)
    assert (found.resumes, found.moved_datasets) == ("", ())
    assert json.loads(found.request_json) == KEEP
    record(pointer_event(execution_id="fill"))
    (job,) = dataset.deployment.table.jobs("fill")
    assert (job.object_count, job.commits_kept) == (3, 1)


def test_an_execution_that_was_stopped_before_it_copied_is_resumed_with_what_it_keeps(
    dataset: Stage, run: Callable[..., None], plan: Step, summarize: Step
) -> None:
    run(window(dataset, "w1", "a.parquet"), "upload-flights-w1")
    plan(plan_event(KEEP, "fill"))
    end(summarize, "fill")
    assert check({"resume": "fill"}).resume == ResumeCounts(3, 1, 0, 2)
    plan(plan_event({"resume": "fill"}, "again"))
    assert dataset.spec("again").sources == (JobSource("upload-flights-w1", "delays-ua"),)


def test_a_replaced_object_another_version_and_other_options_are_not_scored_yet(
    dataset: Stage, run: Callable[..., None]
) -> None:
    run({}, "nightly")
    assert scored() == {"delays-ua": (3, 3)}
    dataset.upload(keys=["b.parquet"], size=7)
    assert scored() == {"delays-ua": (2, 3)}
    dataset.upload(keys=["new.parquet"])
    assert scored() == {"delays-ua": (2, 4)}
    assert scored({**KEEP, "output_layout": "joined"}) == {"delays-ua": (0, 4)}
    dataset.register(version="2", spec=replace(any_model_spec(version="2"), method="margin"))
    assert scored() == {"delays-ua": (0, 4)}


def test_a_commit_whose_output_is_gone_does_not_count(dataset: Stage, run: Callable[..., None]) -> None:
    run({}, "nightly")
    prefix = layout.model_outputs_prefix("predictions", "flights", "nightly", "delays-ua", "delays-ua")
    dataset.s3.delete_object(Bucket=dataset.results, Key=f"{prefix}b.parquet")
    dataset.s3.put_object(Bucket=dataset.results, Key=f"{prefix}c.parquet", Body=b"another size")
    assert scored() == {"delays-ua": (1, 3)}


def test_a_running_execution_does_not_count_until_it_has_ended(
    dataset: Stage, plan: Step, record: Step, summarize: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Activity, "execution_runs", lambda *_: True)
    plan(plan_event({}, "nightly"))
    record(pointer_event(execution_id="nightly"))
    dataset.commit("nightly")
    assert scored() == {"delays-ua": (0, 3)}
    end(summarize, "nightly")
    assert scored() == {"delays-ua": (3, 3)}


def test_executions_of_other_models_and_datasets_do_not_count(dataset: Stage, run: Callable[..., None]) -> None:
    dataset.register("other")
    dataset.upload("days", ["a.parquet"])
    run({"models": ["other"]}, "other")
    run({"models": ["delays-ua"], "dataset": "days"}, "days")
    assert scored() == {"delays-ua": (0, 3), "other": (3, 3)}


def test_a_pointer_finds_an_execution_without_outputs(
    dataset: Stage, plan: Step, record: Step, verify: Step, summarize: Step
) -> None:
    plan(plan_event({}, "empty"))
    record(pointer_event(execution_id="empty"))
    spec = dataset.spec("empty")
    items = dataset.deployment.store.objects_of(spec)
    without_rows = {"rows_in": 0, "rows_scored": 0, "outputs": (), "keys": None}
    written = [dataset.write_outputs(spec, spec.models[0], item) for item in items]
    dataset.write_segment(spec, *[replace(commit, **without_rows) for commit in written])  # type: ignore[arg-type]
    for item in items:
        key = layout.model_outputs_prefix("predictions", "flights", "empty", "delays-ua", "delays-ua") + item.key
        dataset.s3.delete_object(Bucket=dataset.results, Key=key)
    verify(pointer_event(execution_id="empty"))
    summarize(summary_event({}, "empty"))
    assert scored() == {"delays-ua": (3, 3)}


def test_too_many_commits_count_by_the_records_of_jobs_that_succeeded(  # noqa: PLR0917 - fixtures
    dataset: Stage, run: Callable[..., None], plan: Step, record: Step, verify: Step, summarize: Step,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(coverage, "MAX_COUNTED", 2)
    run({}, "stopped", objects=2)
    assert scored() == {"delays-ua": (0, 3)}
    plan(plan_event({}, "whole"))
    record(pointer_event(execution_id="whole"))
    spec = dataset.spec("whole")
    for item in dataset.deployment.store.objects_of(spec):
        dataset.commit_one(spec, spec.models[0], item)
    verify(pointer_event(execution_id="whole"))
    summarize(summary_event({}, "whole"))
    assert scored() == {"delays-ua": (3, 3)}
    dataset.upload(keys=["new.parquet"])
    assert scored() == {"delays-ua": (3, 4)}
    assert any(
        "only those of jobs that succeeded without rows in quarantine are counted" in note for note in check().notes
    )


def test_only_the_newest_executions_are_read(
    dataset: Stage, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run({}, "a-older")
    run({}, "b-newer", objects=1, started_at="2027-01-01T00:00:00.000Z")
    assert scored() == {"delays-ua": (3, 3)}
    monkeypatch.setattr(earlier, "MAX_EARLIER", 1)
    assert scored() == {"delays-ua": (1, 3)}


@pytest.mark.usefixtures("stage")
def test_resume_and_keep_scored_exclude_each_other() -> None:
    (problem,) = check({"resume": "e-1", "keep_scored": True}).problems
    assert problem.startswith("keep_scored")
