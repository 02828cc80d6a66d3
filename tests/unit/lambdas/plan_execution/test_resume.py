"""The plan of a resumed execution chooses what the old one has planned, and says what it keeps."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import codec, layout
from contract.catalog.models import Compute
from contract.job.scoring_spec import JobSource
from contract.status import ExecutionKind, ExecutionStatus
from contract.table.records import job_key
from contract.triggers.uploads import execution_name
from contract.workflow.request_check import CheckInput, RequestCheck, ResumeCounts
from lambdas.check_request.handler import handler as check_handler
from lambdas.errors import InvalidRequestError, ObjectReplacedError, ResumedJobRunningError
from lambdas.planning.resume import coverage
from lambdas.stage.activity import Activity
from tests.unit.lambdas.builders import (
    Context,
    Stage,
    any_execution,
    any_model_spec,
    execution_arn,
    plan_event,
    pointer_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]
RESUME = {"resume": "e-1"}


def stop(summarize: Step, execution_id: str = "e-1") -> None:
    """Close an execution's records as an event about its end does."""
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}, execution_id))


@pytest.fixture
def stopped(opened: Stage, summarize: Step) -> Stage:
    """Return a stage whose execution e-1 was stopped after it had committed one of two objects."""
    opened.commit(objects=1)
    stop(summarize)
    return opened


def check(request: Any) -> RequestCheck:
    event = codec.to_json(CheckInput(ExecutionKind.SCORING, request))
    return codec.from_json(RequestCheck, check_handler(event, Context()))  # type: ignore[arg-type]


def refusal(plan: Step, request: dict[str, Any], execution_id: str = "e-2") -> str:
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event(request, execution_id))
    return str(refused.value)


def jobs(stage: Stage, execution_id: str = "e-2") -> dict[str, tuple[str, ...]]:
    """Return the models of each planned job."""
    return {job.job_id: job.model_ids for job in stage.deployment.table.jobs(execution_id)}


def keys(stage: Stage, job_id: str = "delays-ua", execution_id: str = "e-2") -> list[str]:
    return [item.key for item in stage.objects(execution_id, job_id)]


def counts(kept: int, again: int, missing: int) -> ResumeCounts:
    return ResumeCounts(kept + again + missing, kept, again, missing)


def test_a_stopped_execution_is_continued_with_its_commits(stopped: Stage, plan: Step) -> None:
    assert check(RESUME).resume == counts(1, 0, 1)
    plan(plan_event(RESUME, "e-2"))
    assert stopped.spec("e-2").sources == (JobSource("e-1", "delays-ua"),)
    assert keys(stopped) == ["a.parquet", "b.parquet"]
    record = stopped.execution("e-2")
    assert (record.resumes, record.status) == ("e-1", "RUNNING")
    assert record.notes == ("commits of e-1: 1 of 2 kept, 0 scored again, 1 not committed yet",)


def test_planning_twice_gives_the_same_plan(stopped: Stage, plan: Step) -> None:
    assert plan(plan_event(RESUME, "e-2")) == plan(plan_event(RESUME, "e-2"))


def test_a_version_with_another_name_keeps_and_another_artifact_does_not(stopped: Stage, plan: Step) -> None:
    spec = any_model_spec(version="2")
    stopped.register(version="2", spec=spec)
    # One row of the committed object is in quarantine, and names the version.
    assert check(RESUME).resume == counts(0, 1, 1)
    [note] = [note for note in check(RESUME).notes if "quarantine" in note]
    assert note.startswith("commits with rows in quarantine are scored again (1)")
    stopped.register(version="3", spec=replace(spec, version="3", method="margin"))
    found = check(RESUME)
    assert found.resume == counts(0, 1, 1)
    assert "scored again: 'delays-ua': method changed between versions '1' and '3'" in found.notes
    plan(plan_event(RESUME, "e-2"))
    assert stopped.spec("e-2").sources == ()


def test_a_replaced_object_is_scored_again_and_a_deleted_one_is_left_out(
    stage: Stage, plan: Step, record: Step, summarize: Step
) -> None:
    stage.register()
    stage.upload(keys=["a.parquet", "b.parquet", "c.parquet", "d.parquet"])
    plan(plan_event({}))
    record(pointer_event())
    stage.commit(objects=3)
    stop(summarize)
    stage.upload(keys=["b.parquet"], size=7)
    stage.s3.delete_object(Bucket=stage.datasets, Key="flights/c.parquet")
    stage.upload(keys=["new.parquet"])
    request = {**RESUME, "instance_count": 1}
    found = check(request)
    assert found.resume == counts(1, 1, 1)
    assert found.notes[1:] == (
        "objects that were removed since are not scored (1): flights/c.parquet",
        "objects that were replaced since are scored as they are now (1): flights/b.parquet",
        "objects that were added since are not part of this execution (1)",
        (
            "these predictions do not become the latest ones of flights, which lost objects and got others: rows may "
            "have moved. Start a new execution to score all"
        ),
    )
    plan(plan_event(request, "e-2"))
    assert stage.execution("e-2").moved_datasets == ("flights",)
    assert keys(stage) == ["a.parquet", "b.parquet", "d.parquet"]
    assert [item.size for item in stage.objects("e-2")] == [100, 7, 100]


def test_one_deleted_object_costs_no_other_object_of_any_model(
    stage: Stage, plan: Step, record: Step, verify: Step, summarize: Step
) -> None:
    stage.register("a")
    stage.register("b")
    stage.upload(keys=[f"{number:02}.parquet" for number in range(12)])
    plan(plan_event({}))
    stage.s3.delete_object(Bucket=stage.datasets, Key="flights/07.parquet")
    for job_id in ("a", "b"):
        record(pointer_event(job_id))
        stage.commit(job_id=job_id)
        with pytest.raises(ObjectReplacedError, match="removed"):
            verify(pointer_event(job_id))
    summarize(summary_event({}))
    assert stage.execution().status is ExecutionStatus.FAILED
    assert check(RESUME).resume == counts(22, 0, 0)


def test_disabled_and_deleted_models_are_left_out_with_a_note(stage: Stage, plan: Step, summarize: Step) -> None:
    for model_id in ("a", "b", "c"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({}))
    stop(summarize)
    stage.register("b", enabled=False)
    stage.table.delete_item(Key={"pk": "MODEL#c", "sk": "MODEL"})
    assert "not scored any more: model 'b' (disabled), model 'c' (deleted)" in check(RESUME).notes
    plan(plan_event(RESUME, "e-2"))
    assert jobs(stage) == {"a": ("a",)}
    named = refusal(plan, {**RESUME, "models": ["b"]}, "e-3")
    assert "models[0]: got 'b, which is disabled'" in named


def test_a_request_may_select_models_and_name_no_others(stage: Stage, plan: Step, summarize: Step) -> None:
    stage.register("a", tags={"team": "ads"})
    stage.register("b")
    stage.upload()
    plan(plan_event({"models": ["a", "b"]}))
    stop(summarize)
    stage.register("later")
    plan(plan_event({**RESUME, "models": ["b"]}, "e-2"))
    plan(plan_event({**RESUME, "models": {"tags": {"team": "ads"}}}, "e-3"))
    assert (jobs(stage, "e-2"), jobs(stage, "e-3")) == ({"b": ("b",)}, {"a": ("a",)})
    assert "'later', expected a model of the resumed execution" in refusal(plan, {**RESUME, "models": ["later"]}, "e-4")


def test_the_old_request_applies_unless_the_new_one_has_another_value(
    stage: Stage, plan: Step, summarize: Step
) -> None:
    stage.register("a")
    stage.register("b")
    stage.upload()
    request = {"models_per_job": 2, "instance_type": "ml.c5.large", "max_concurrency": 7, "execution_label": "nightly"}
    plan(plan_event({**request, "task_token": "secret"}))
    stop(summarize)
    assert plan(plan_event({**RESUME, "instance_type": "ml.m5.xlarge"}, "e-2"))["max_concurrency"] == 7
    job = stage.job("a.and-1-more", "e-2")
    assert (job.compute.instance_type, stage.execution("e-2").label) == ("ml.m5.xlarge", "nightly")
    stop(summarize, "e-2")
    # A resumed one inherits what the first request had.
    plan(plan_event({"resume": "e-2", "models_per_job": 1}, "e-3"))
    assert jobs(stage, "e-3") == {"a": ("a",), "b": ("b",)}
    assert stage.job("a", "e-3").compute.instance_type == "ml.m5.xlarge"
    assert "secret" not in json.dumps(stage.deployment.table.execution("e-3").request_json)


def test_models_share_a_job_only_if_they_lack_the_same_objects(
    stage: Stage, plan: Step, record: Step, summarize: Step
) -> None:
    for model_id in ("a", "b", "c", "d"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({}))
    for job_id, objects in (("a", 1), ("b", 1), ("c", 2)):
        record(pointer_event(job_id))
        stage.commit(job_id=job_id, objects=objects)
    stop(summarize)
    plan(plan_event({**RESUME, "models_per_job": 10}, "e-2"))
    assert jobs(stage) == {"a.and-1-more": ("a", "b"), "c": ("c",), "d": ("d",)}
    assert stage.spec("e-2", "a.and-1-more").sources == (JobSource("e-1", "a"), JobSource("e-1", "b"))


@pytest.mark.parametrize("more", [{}, {"models_per_job": "auto", "deadline": "PT9H"}], ids=["records", "planner"])
def test_the_estimate_has_no_instances_for_jobs_that_only_copy(
    stage: Stage, plan: Step, record: Step, summarize: Step, more: dict[str, Any]
) -> None:
    for model_id in ("a", "b", "c"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({}))
    for job_id, objects in (("a", 2), ("b", 2), ("c", 1)):
        record(pointer_event(job_id))
        stage.commit(job_id=job_id, objects=objects)
    stop(summarize)
    some, none = check({**RESUME, **more}), check({**RESUME, **more, "models": ["a", "b"]})
    assert some.expected is not None
    assert none.expected is not None
    only_c = check({**more, "models": ["c"]}).expected
    assert only_c is not None
    assert (some.expected.figures.jobs, none.expected.figures.jobs) == (1, 0)
    assert some.expected.figures.quota_needed == only_c.figures.quota_needed
    assert some.expected.figures.seconds.value == pytest.approx(only_c.figures.seconds.value, rel=0.01)
    assert (none.expected.figures.seconds.value, none.expected.figures.instance_hours) == (0, 0)
    seconds = {job.job_id[0]: job.seconds.value for job in some.jobs if job.seconds}
    assert seconds["c"] > 0
    assert {value for name, value in seconds.items() if name != "c"} == {0}
    plan(plan_event({**RESUME, **more}, "e-2"))
    assert sorted(model_id for models in jobs(stage).values() for model_id in models) == ["a", "b", "c"]


def test_models_of_a_joined_output_stay_together(stage: Stage, plan: Step, record: Step, summarize: Step) -> None:
    for model_id in ("a", "b", "c"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({"output_layout": "joined", "models_per_job": 2}))
    record(pointer_event("a.and-1-more"))
    stage.commit(job_id="a.and-1-more", objects=1)
    stop(summarize)
    assert check(RESUME).resume == counts(2, 0, 4)
    plan(plan_event(RESUME, "e-2"))
    assert jobs(stage) == {"a.and-1-more": ("a", "b"), "c": ("c",)}
    assert stage.spec("e-2", "a.and-1-more").output_layout == "joined"
    # Another model in the output is another output.
    stage.register("b", enabled=False)
    found = check(RESUME)
    assert found.resume == counts(0, 1, 3)
    assert "scored again: 'a': the models that share the output have changed" in found.notes


def test_a_resumed_execution_that_copied_nothing_is_continued_with_the_first_one(
    stopped: Stage, plan: Step, summarize: Step
) -> None:
    plan(plan_event(RESUME, "e-2"))
    stop(summarize, "e-2")
    plan(plan_event({"resume": "e-2"}, "e-3"))
    assert stopped.spec("e-3").sources == (JobSource("e-1", "delays-ua"),)
    assert stopped.execution("e-3").notes[0] == "commits of e-2: 1 of 2 kept, 0 scored again, 1 not committed yet"


def test_commits_of_another_image_are_kept_with_a_note(stopped: Stage, plan: Step) -> None:
    stopped.table.update_item(
        Key=job_key("e-1", "delays-ua"),
        UpdateExpression="SET image_uri = :older",
        ExpressionAttributeValues={":older": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/scoring:older"},
    )
    plan(plan_event(RESUME, "e-2"))
    kept, image = stopped.execution("e-2").notes
    assert kept == "commits of e-1: 1 of 2 kept, 0 scored again, 1 not committed yet"
    assert image == "up to 1 of the kept commits were scored by another image, of 1 models: delays-ua"


def test_too_many_commits_are_estimated(stopped: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "MAX_COUNTED", 1)
    found = check(RESUME)
    assert found.expected is not None
    assert found.expected.figures.jobs == 1
    assert found.resume == ResumeCounts(2, 1, 0, 1, is_exact=False)
    assert "commits of e-1: at most 1 of 2 kept; they are too many to count here" in found.notes
    plan(plan_event(RESUME, "e-2"))
    assert stopped.spec("e-2").sources == (JobSource("e-1", "delays-ua"),)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, "'e-1, which was never planned', expected an execution with a plan. Start a new execution"),
        ({"resumes": "e-0"}, "Resume 'e-0' instead"),
        ({"kind": ExecutionKind.TRAINING}, "a training execution', expected a scoring execution"),
    ],
    ids=["no plan", "no plan, resumes", "training"],
)
def test_what_cannot_be_resumed_is_refused(stage: Stage, plan: Step, record: dict[str, Any], said: str) -> None:
    stage.register()
    stage.deployment.table.open_execution(any_execution(status=ExecutionStatus.FAILED, **record))
    assert said in refusal(plan, RESUME)


def test_a_refused_execution_of_uploads_says_how_they_are_scored(stage: Stage, plan: Step) -> None:
    execution_id = execution_name("orders", "0" * 32)
    request = '{"dataset": "orders", "objects_manifest": "uploads/orders/0.json"}'
    refused = any_execution(status=ExecutionStatus.FAILED, execution_id=execution_id, request_json=request)
    stage.deployment.table.open_execution(refused)
    assert "with `fleetscore resume --uploads orders`" in refusal(plan, {"resume": execution_id})


@pytest.fixture
def split(stage: Stage, plan: Step, record: Step, summarize: Step) -> Stage:
    """Return a stage whose execution e-1, of one split job, was stopped."""
    stage.register(compute=Compute(instance_count=2))
    stage.upload(keys=["a.parquet"], size=1_000)
    stage.upload(keys=["b.parquet", "c.parquet"])
    plan(plan_event({}))
    assert len(jobs(stage, "e-1")) == 2
    stop(summarize)
    return stage


@pytest.mark.parametrize("lost", ["spec", "snapshot"])
def test_a_part_whose_files_have_expired_is_not_left_out(split: Stage, plan: Step, lost: str) -> None:
    """S3 deletes expired objects at different times, and the objects of one part are nowhere else."""
    part = split.deployment.table.jobs("e-1")[1].part
    assert part is not None
    key = layout.job_spec_key("e-1", part.id) if lost == "spec" else layout.snapshot_key("e-1", "flights", part.name)
    assert key in split.result_keys()
    split.s3.delete_object(Bucket=split.results, Key=key)
    assert "of 3 objects of 'flights'" in refusal(plan, RESUME)


def test_a_part_or_job_whose_record_is_lost_is_not_left_out(split: Stage, plan: Step) -> None:
    lost = split.deployment.table.jobs("e-1")[1]
    split.table.delete_item(Key=job_key("e-1", lost.job_id))
    assert "has records of 1 of 1 jobs, and 1 of 2 parts of split jobs" in refusal(plan, RESUME)


def test_an_unknown_execution_is_refused(stage: Stage, plan: Step) -> None:
    stage.register()
    assert "resume: got 'e-1', expected an execution of this stage whose records" in refusal(plan, RESUME)


def test_a_running_execution_is_refused_but_one_whose_end_was_not_recorded_is_not(
    opened: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = {execution_arn("e-1")}
    monkeypatch.setattr(Activity, "execution_runs", lambda _, arn: arn in running)
    assert "which is RUNNING" in refusal(plan, RESUME)
    running.clear()
    plan(plan_event(RESUME, "e-3"))
    assert keys(opened, execution_id="e-3") == ["a.parquet", "b.parquet"]


def test_a_plan_waits_for_the_old_sagemaker_jobs(stopped: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = {stopped.job().sagemaker_job_name: "Stopping"}
    monkeypatch.setattr(Activity, "running_job_status", lambda _, kind, name: statuses.get(name, ""))
    with pytest.raises(
        ResumedJobRunningError, match=r"1 of its SageMaker jobs have not: test-delays-ua-.* \(Stopping\)"
    ):
        plan(plan_event(RESUME, "e-2"))
    assert check(RESUME).problem_count == 1
    statuses.clear()
    plan(plan_event(RESUME, "e-2"))
    assert stopped.execution("e-2").plan is not None


@pytest.mark.parametrize(
    "field",
    [
        {"dataset": "flights"},
        {"objects_manifest": "uploads/flights/a.json"},
        {"train": {}},
        {"output_layout": "joined"},
    ],
    ids=str,
)
def test_fields_of_the_old_execution_are_refused(stopped: Stage, plan: Step, field: dict[str, Any]) -> None:
    [name] = field
    assert f"{name}: got" in refusal(plan, {**RESUME, **field})
    assert "because the request has resume" in check({**RESUME, **field}).problems[0]
