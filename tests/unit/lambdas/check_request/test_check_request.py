"""A check says what the plans would say, and writes nothing."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from contract import codec, layout
from contract.status import ExecutionKind
from contract.triggers.uploads import ObjectVersion, UploadManifest
from contract.workflow.request_check import MAX_LISTED_JOBS, CheckedJob, CheckInput, RequestCheck
from lambdas.check_request.handler import handler
from lambdas.errors import InvalidRequestError
from tests.unit.lambdas.builders import Context, Stage, plan_event
from tests.unit.lambdas.conftest import Step
from tests.unit.lambdas.training_builders import FLIGHTS, any_recipe, put_recipe, put_trainable

TRAINING = ExecutionKind.TRAINING


def content(stage: Stage) -> list[Any]:
    """Return every item of the table and every object of the buckets."""
    found: list[Any] = sorted(stage.table.scan()["Items"], key=str)
    for bucket in (stage.datasets, stage.models, stage.results):
        listed = stage.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        found += [(bucket, entry["Key"], entry["ETag"]) for entry in listed]
    return found


def check(
    stage: Stage, request: Any, kind: ExecutionKind = ExecutionKind.SCORING, *, all_jobs: bool = False
) -> RequestCheck:
    before = content(stage)
    event = codec.to_json(CheckInput(kind, request, all_jobs))
    found = codec.from_json(RequestCheck, handler(event, Context()))  # type: ignore[arg-type]
    assert content(stage) == before
    return found


def test_the_jobs_of_a_valid_request_are_reported(stage: Stage) -> None:
    stage.register()
    stage.register("other")
    stage.register("small", dataset="days")
    stage.upload()
    stage.upload("days", ["one.parquet"], size=7)
    found = check(stage, {"instance_type": "ml.c5.large"})
    assert (found.problem_count, found.job_count, found.model_count, found.dataset_count) == (0, 3, 3, 2)
    assert (found.object_count, found.input_bytes, found.training_job_count) == (3, 207, 0)
    scoring = ExecutionKind.SCORING
    assert [replace(job, seconds=None) for job in found.jobs] == [
        CheckedJob(scoring, "delays-ua", "flights", 1, 2, 200, "ml.c5.large", 2, volume_gb=30),
        CheckedJob(scoring, "other", "flights", 1, 2, 200, "ml.c5.large", 2, volume_gb=30),
        CheckedJob(scoring, "small", "days", 1, 1, 7, "ml.c5.large", 1, volume_gb=30),
    ]
    assert all(job.seconds is not None and job.seconds.value > 0 for job in found.jobs)
    assert found.expected is not None
    assert found.expected.figures.jobs == 3


@pytest.mark.parametrize(
    "request_",
    ["no object", {"modles": []}, {"models": ["delays-au"]}, {"dataset": "nothing"}, {"instance_type": "ml.p4d.x"}],
)
def test_a_check_finds_the_problems_of_the_plan(stage: Stage, plan: Step, request_: Any) -> None:
    stage.register()
    stage.upload()
    found = check(stage, request_)
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event(request_))
    assert found.problem_count == len(found.problems) > 0
    assert found.jobs == ()
    assert all(f"- {problem}" in refused.value.reason for problem in found.problems)


def test_a_missing_column_is_found(stage: Stage) -> None:
    stage.register()
    stage.upload_table(pa.table({"distance": [1.0]}))
    (problem,) = check(stage, {}).problems
    assert "a.parquet without hour (int32)" in problem


def test_many_jobs_and_problems_are_listed_in_part_unless_all_are_wanted(stage: Stage) -> None:
    stage.upload()
    names = [f"model-{number:02d}" for number in range(MAX_LISTED_JOBS + 2)]
    for name in names:
        stage.register(name)
    found = check(stage, {})
    assert (found.job_count, len(found.jobs)) == (len(names), MAX_LISTED_JOBS)
    assert [job.job_id for job in check(stage, {}, all_jobs=True).jobs] == names
    unknown = check(stage, {"models": [f"unknown-{number}" for number in range(60)]})
    assert (unknown.problem_count, unknown.problems[-1]) == (60, "and 10 more")


def test_a_training_request_is_checked_against_its_data(stage: Stage) -> None:
    put_trainable(stage)
    found = check(stage, {}, TRAINING)
    assert (found.training_job_count, found.job_count, found.object_count) == (1, 0, 1)
    assert [(job.kind, job.job_id, job.dataset) for job in found.jobs] == [(TRAINING, "delays-ua", "flights-to-learn")]
    stage.upload_table(FLIGHTS.drop_columns(["late"]), "flights-to-learn")
    assert "an object with the label 'late'" in check(stage, {}, TRAINING).problems[0]


def test_a_request_that_trains_first_is_checked_as_a_whole(stage: Stage) -> None:
    put_trainable(stage)
    stage.register("by-hand")
    stage.upload()
    found = check(stage, {"models": ["delays-ua", "by-hand"], "train": {}})
    assert (found.problems, found.training_job_count, found.job_count, found.model_count) == ((), 1, 1, 2)
    assert found.notes == ("models without a current version, which only the training can give them: delays-ua",)
    put_recipe(stage, any_recipe(training_dataset="nothing"))
    problems = check(stage, {"models": ["delays-ua", "by-hand"], "train": {}, "dataset": "gone"}).problems
    assert [problem.partition(":")[0] for problem in problems] == ["dataset 'nothing'", "dataset 'gone'"]


def test_an_empty_catalog_may_be_trained_first(stage: Stage) -> None:
    put_trainable(stage)
    assert check(stage, {"train": {}}).problems == ()


def test_a_failing_training_is_noted_if_scoring_continues(stage: Stage) -> None:
    put_recipe(stage, any_recipe(training_dataset="nothing"))
    stage.register()
    stage.upload()
    found = check(stage, {"train": {"continue_on_failure": True}})
    assert (found.problems, found.job_count, found.training_job_count) == ((), 1, 0)
    assert "the training would fail" in found.notes[0]
    assert "dataset 'nothing'" in found.notes[0]


def test_skipped_uploads_are_noted(stage: Stage) -> None:
    stage.register()
    stage.upload()
    listed = {item.key: item for item in stage.deployment.store.dataset_objects("flights")}
    entries = tuple(ObjectVersion(key, "", item.etag, item.size) for key, item in listed.items())
    changed = (replace(entries[0], etag="another"), *entries[1:])
    key = layout.upload_manifest_key("flights", "w")
    stage.deployment.store.add_upload_manifest(key, UploadManifest("flights", "window", changed))
    found = check(stage, {"objects_manifest": key})
    assert (found.object_count, len(found.notes)) == (1, 1), found
    assert "objects of the manifest that are not scored: a.parquet (replaced" in found.notes[0]
