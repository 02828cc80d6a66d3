import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import codec, layout
from contract.catalog.models import Compute, Model
from contract.status import ExecutionStatus, FailureKind, JobStatus
from contract.table.catalog_items import model_item, model_key
from contract.table.records import execution_key, job_key
from contract.workflow.messages import JobPointer
from lambdas.errors import ExecutionClosedError, ExecutionNameUsedError, InvalidRequestError, PlanChangedError
from tests.unit.lambdas.builders import (
    CORE_IMAGE,
    PYTORCH_IMAGE,
    STAGE_COMPUTE,
    STARTED_AT,
    Stage,
    any_model_spec,
    of_framework,
    plan_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]


def test_an_empty_request_plans_one_job_per_enabled_model(stage: Stage, plan: Step) -> None:
    stage.register("delays-ua", dataset="flights-ua")
    stage.register("delays-aa", dataset="flights-aa")
    stage.register("delays-dl", dataset="flights-dl", enabled=False)
    stage.upload("flights-ua", ["2013/01.parquet"], size=100)
    stage.upload("flights-aa", ["2013/01.parquet", "2013/02.parquet"], size=100)

    result = plan(plan_event({}))

    assert result == {
        "schema_version": 2,
        "execution_id": "e-1",
        "jobs_bucket": "results-test",
        "jobs_key": "executions/e-1/jobs.json",
        "job_count": 2,
        "max_concurrency": 20,
        "tolerated_failure_percentage": 100.0,
        "tolerated_failed_objects_percentage": 100.0,
        "tolerated_quarantined_rows_percentage": 100.0,
        "object_count": 3,
    }
    pointers = [codec.from_json(JobPointer, item) for item in stage.read_json(result["jobs_key"])]
    # The job with more bytes comes first.
    assert pointers == [JobPointer("e-1", "delays-aa", 1), JobPointer("e-1", "delays-ua", 1)]
    spec = stage.spec(job_id="delays-aa")
    assert (spec.dataset, spec.dataset_bucket) == ("flights-aa", "datasets-test")
    objects = stage.objects(job_id="delays-aa")
    assert [(item.key, item.size) for item in objects] == [("2013/01.parquet", 100), ("2013/02.parquet", 100)]
    head = stage.s3.head_object(Bucket="datasets-test", Key="flights-aa/2013/01.parquet")
    assert f'"{objects[0].etag}"' == head["ETag"]
    assert stage.read_json(layout.snapshot_manifest_key("e-1", "flights-aa")) == [
        {"prefix": "s3://datasets-test/"},
        "flights-aa/2013/01.parquet",
        "flights-aa/2013/02.parquet",
    ]
    job = stage.job("delays-aa")
    assert (job.status, job.attempt, job.object_count, job.input_bytes) == (JobStatus.PENDING, 0, 2, 200)
    record = stage.execution()
    assert (record.status, record.request_json) == (ExecutionStatus.RUNNING, "{}")
    assert record.plan is not None
    assert codec.to_json(record.plan) == result


def test_a_second_plan_returns_the_first(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload()
    first = plan(plan_event({"execution_label": "nightly"}))
    spec = stage.spec()
    stage.upload(keys=["later.parquet"])
    stage.register("another")

    assert plan(plan_event({"execution_label": "nightly"})) == first
    assert stage.spec() == spec
    assert [job.job_id for job in stage.deployment.table.jobs("e-1")] == ["delays-ua"]
    assert stage.execution().label == "nightly"


def remove_plan(stage: Stage) -> None:
    """Remove the plan from the record, as if the call had been interrupted before that write."""
    stage.table.update_item(
        Key=execution_key("e-1"),
        UpdateExpression="REMOVE #plan",
        ExpressionAttributeNames={"#plan": "plan"},
    )


def test_an_interrupted_plan_is_completed(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload()
    plan(plan_event({}))
    pinned = stage.spec()
    stage.table.delete_item(Key=job_key("e-1", "delays-ua"))
    remove_plan(stage)

    assert plan(plan_event({}))["job_count"] == 1
    assert stage.spec() == pinned
    assert stage.job().status is JobStatus.PENDING


@pytest.mark.parametrize(
    "change",
    [
        lambda stage: stage.upload(keys=["later.parquet"]),
        lambda stage: stage.register(version="2"),
        lambda stage: stage.register("another"),
    ],
    ids=["another object", "another version", "another model"],
)
def test_an_interrupted_plan_is_not_mixed_with_later_changes(
    stage: Stage, plan: Step, change: Callable[[Stage], None]
) -> None:
    """Job records of the new plan with specs of the old one would name versions and objects that
    are not scored.
    """
    stage.register()
    stage.upload()
    plan(plan_event({}))
    written = stage.spec()
    stage.table.delete_item(Key=job_key("e-1", "delays-ua"))
    remove_plan(stage)
    change(stage)

    with pytest.raises(PlanChangedError, match="another name"):
        plan(plan_event({}))
    assert stage.spec() == written
    assert stage.deployment.table.jobs("e-1") == []


def test_files_of_an_expired_execution_are_not_reused(stage: Stage, plan: Step) -> None:
    """Records expire and names become free again, but specs and ledgers may stay in S3 forever."""
    stage.register()
    stage.upload()
    plan(plan_event({}))
    for key in (execution_key("e-1"), job_key("e-1", "delays-ua")):
        stage.table.delete_item(Key=key)
    stage.register(version="2")
    with pytest.raises(PlanChangedError, match="another name"):
        plan(plan_event({}, started_at="2027-01-05T10:00:00.000Z"))


def test_an_execution_that_ends_during_planning_leaves_no_open_job(stage: Stage, plan: Step, summarize: Step) -> None:
    """A running function continues when its execution is stopped."""
    stage.register()
    stage.upload()
    plan(plan_event({}))
    stage.table.delete_item(Key=job_key("e-1", "delays-ua"))
    remove_plan(stage)
    writes = stage.deployment.table.add_jobs

    def stop_then_write(jobs: Any) -> int:
        failure = {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}
        summarize(summary_event({"request": {}, "failure": failure}))
        return writes(jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.deployment.table, "add_jobs", stop_then_write)
        with pytest.raises(ExecutionClosedError):
            plan(plan_event({}))
    job = stage.job()
    assert (job.status, job.failure_kind) == (JobStatus.FAILED, FailureKind.STOPPED)
    assert "start a new execution" in job.reason.lower()


def test_an_invalid_label_is_not_recorded(stage: Stage, plan: Step) -> None:
    """The request contains it already; a second copy of a large label would not fit into a record."""
    with pytest.raises(InvalidRequestError, match="execution_label"):
        plan(plan_event({"execution_label": "x" * 250_000}))
    assert stage.execution().label == ""


def test_an_execution_name_invalid_in_tags_is_refused(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload()
    with pytest.raises(InvalidRequestError, match=r"execution name: got 'wow!\(1\)', expected 1 to 80"):
        plan(plan_event({}, execution_id="wow!(1)"))
    assert plan(plan_event({}, execution_id="ex=a+b@c.d_e-f"))["job_count"] == 1


def test_an_unreadable_catalog_record_is_named(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload()
    stage.table.update_item(
        Key=model_key("delays-ua"), UpdateExpression="SET enabled = :text", ExpressionAttributeValues={":text": "yes"}
    )
    with pytest.raises(InvalidRequestError, match="item MODEL#delays-ua / MODEL: enabled: got 'yes'"):
        plan(plan_event({}))


def test_a_late_second_plan_does_not_reset_a_running_job(planned: Stage, plan: Step, record: Step) -> None:
    record({"schema_version": 2, "execution_id": "e-1", "job_id": "delays-ua", "attempt": 1})
    remove_plan(planned)
    plan(plan_event({}))
    assert planned.job().status is JobStatus.RUNNING


def test_all_problems_of_a_request_are_reported_together(stage: Stage, plan: Step) -> None:
    stage.register("delays-ua", dataset="empty")
    stage.register("delays-aa", dataset="mixed")
    stage.register("delays-dl", enabled=False)
    stage.register("delays-b6", dataset="mixed")
    stage.register("delays-ev", dataset="mixed")
    stage.table.put_item(Item=model_item(Model("orphan", "7")))
    stage.upload("mixed", ["a.parquet", "b.xlsx", "_SUCCESS", "sub/.hidden", "folder/"])
    stage.s3.delete_object(Bucket="models-test", Key="delays-b6/1/model.tar.gz")
    stage.s3.put_object(Bucket="models-test", Key="delays-ev/1/model.tar.gz", Body=b"other")
    wanted = ["delays-ua", "delays-aa", "delays-dl", "delays-b6", "delays-ev", "orphan", "delay-ua"]

    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event({"models": wanted}))

    reason = str(refusal.value)
    assert reason.startswith("The request was refused with 7 problems:")
    for part in (
        "models[2]: got 'delays-dl', expected a model that is enabled. Enable it with `fleetscore models enable",
        "models[6]: got 'delay-ua', expected the id of a registered model. Did you mean 'delays-ua'",
        "model 'orphan': current_version: got '7', expected a version that is registered",
        "dataset 'empty': got 'no objects', expected at least one object with data below s3://datasets-test/empty/",
        "dataset 'mixed': got '1 of 2 objects in another format by their names', expected objects that end in",
        "These do not: b.xlsx (a spreadsheet).",
        "model 'delays-b6' version '1': artifact: got 'no object', expected an object at s3://models-test/delays-b6/1/model",
        "model 'delays-ev' version '1': artifact: got '5 bytes', expected the 25 bytes that were registered",
    ):
        assert part in reason
    record = stage.execution()
    assert (record.status, record.reason) == (ExecutionStatus.FAILED, reason)
    assert record.ended_at
    assert stage.result_keys() == []
    assert stage.deployment.table.jobs("e-1") == []


@pytest.mark.parametrize(
    ("request_data", "expected"),
    [
        ({"model": ["a"]}, "model: got ['a'], expected no such field"),
        ({"max_concurrency": "many"}, "max_concurrency: got 'many', expected a whole number"),
        ({"max_concurrency": 0, "instance_type": "huge"}, "2 problems"),
        (["delays-ua"], "request: got ['delays-ua'], expected a JSON object"),
    ],
)
def test_a_malformed_request_is_refused_and_recorded(
    stage: Stage, plan: Step, request_data: Any, expected: str
) -> None:
    with pytest.raises(InvalidRequestError, match="refused") as refusal:
        plan(plan_event(request_data))
    assert expected in str(refusal.value)
    record = stage.execution()
    assert record.status is ExecutionStatus.FAILED
    assert expected in record.reason
    assert json.loads(record.request_json) == request_data


def test_a_refused_request_is_refused_again_with_the_same_text(stage: Stage, plan: Step) -> None:
    with pytest.raises(InvalidRequestError) as first:
        plan(plan_event({}))
    stage.register()
    stage.upload()
    with pytest.raises(InvalidRequestError) as second:
        plan(plan_event({}))
    assert str(first.value) == str(second.value)
    assert "`fleetscore models register`" in str(first.value)


def test_a_used_execution_name_is_refused_and_its_records_are_kept(planned: Stage, plan: Step) -> None:
    before = planned.execution()
    with pytest.raises(ExecutionNameUsedError, match="another name"):
        plan(plan_event({}, started_at="2026-09-01T00:00:00.000Z"))
    assert planned.execution() == before


def test_a_tag_filter_chooses_enabled_models_with_all_tags(stage: Stage, plan: Step) -> None:
    stage.register("a", tags={"team": "ops", "kind": "delay"})
    stage.register("b", tags={"team": "ops"})
    stage.register("c", tags={"team": "ops", "kind": "delay"}, enabled=False)
    stage.upload()
    assert plan(plan_event({"models": {"tags": {"team": "ops", "kind": "delay"}}}))["job_count"] == 1
    with pytest.raises(InvalidRequestError, match=r"models\.tags: got .*kind=delay, team=ops"):
        plan(plan_event({"models": {"tags": {"team": "none"}}}, execution_id="e-2"))


def test_compute_of_request_overrides_model_and_stage(stage: Stage, plan: Step) -> None:
    stage.register(compute=Compute(instance_type="ml.c5.xlarge", max_runtime_seconds=60))
    stage.upload(keys=[f"{number}.parquet" for number in range(5)])
    request = {"instance_count": 9, "max_concurrency": 3, "tolerated_failure_percentage": 0}
    result = plan(plan_event(request))
    assert (result["max_concurrency"], result["tolerated_failure_percentage"]) == (3, 0)
    # The request asks for nine instances, but five objects keep only five busy.
    expected = replace(STAGE_COMPUTE, instance_type="ml.c5.xlarge", instance_count=5, max_runtime_seconds=60)
    assert stage.job().compute == expected


def test_records_expire_counted_from_their_last_change(planned: Stage) -> None:
    """A redriven execution ends long after it has started, and its records must not expire before."""
    table = planned.deployment.table
    record = table.execution("e-1")
    table.close_execution(replace(record, status="FAILED", ended_at="2026-03-06T10:00:00.000Z"))
    item = planned.table.get_item(Key=execution_key("e-1"))["Item"]
    assert item["expires_at"] == 1_767_607_200 + (60 + 90) * 86_400


def test_models_share_a_job_only_with_equal_dataset_compute_and_attempts(stage: Stage, plan: Step) -> None:
    for model_id in ("a", "b", "c"):
        stage.register(model_id)
    stage.register("d", max_attempts=1)
    stage.register("e", dataset="other")
    stage.upload()
    stage.upload("other")
    plan(plan_event({"models_per_job": 2}))
    jobs = {job.job_id: job.model_ids for job in stage.deployment.table.jobs("e-1")}
    assert jobs == {"a.and-1-more": ("a", "b"), "c": ("c",), "d": ("d",), "e": ("e",)}
    assert next(pointer["job_id"] for pointer in stage.read_json("executions/e-1/jobs.json")) == "a.and-1-more"


def test_a_shared_dataset_is_listed_once(stage: Stage, plan: Step) -> None:
    for number in range(30):
        stage.register(f"m-{number}", dataset=f"own-{number}")
    stage.upload("shared")
    listed: list[dict[str, Any]] = []
    stage.deployment.store._s3.meta.events.register(
        "provide-client-params.s3.ListObjectsV2",
        lambda params, **_: listed.append(params),
    )
    assert plan(plan_event({"dataset": "shared"}))["job_count"] == 30
    assert [params["Prefix"] for params in listed if params["Bucket"] == "datasets-test"] == ["shared/"]


def test_records_expire_after_the_stages_record_days(planned: Stage) -> None:
    item = planned.table.get_item(Key=execution_key("e-1"))["Item"]
    # 90 days after 2026-01-05T10:00:00Z.
    assert item["expires_at"] == 1_767_607_200 + 90 * 86_400
    assert STARTED_AT.startswith("2026-01-05T10:00:00")


def test_models_share_a_job_only_with_the_same_image(stage: Stage, plan: Step) -> None:
    for model_id in ("delays-aa", "delays-ua"):
        stage.register(model_id)
    for model_id in ("network-aa", "network-ua"):
        stage.register(model_id, spec=of_framework("pytorch", model_id))
    stage.upload()

    plan(plan_event({"models_per_job": 10}))

    jobs = {job.job_id: (job.model_ids, job.image_uri) for job in stage.deployment.table.jobs("e-1")}
    assert jobs == {
        "delays-aa.and-1-more": (("delays-aa", "delays-ua"), CORE_IMAGE),
        "network-aa.and-1-more": (("network-aa", "network-ua"), PYTORCH_IMAGE),
    }


def test_a_model_whose_image_is_not_deployed_is_refused(stage: Stage, plan: Step) -> None:
    stage.register("network-ua", spec=of_framework("tensorflow", "network-ua"))
    stage.register("delays-ua", dataset="missing")
    stage.upload()
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event({}))
    text = str(refused.value)
    assert (
        "model 'network-ua': framework: got 'tensorflow', expected one that the deployed images have (core, pytorch); "
        "the image 'tensorflow' has it. Add 'tensorflow' to the setting image_variants and deploy again" in text
    )
    assert "dataset 'missing'" in text


def test_a_model_whose_accelerator_is_not_deployed_is_refused(stage: Stage, plan: Step) -> None:
    fast = any_model_spec("delays-ua", format="xgboost-ubj", accelerator="daal4py")
    stage.register("delays-ua", spec=fast)
    stage.upload()
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event({}))
    assert (
        "model 'delays-ua': accelerator: got 'daal4py', expected one that the deployed images have (core, pytorch); "
        "the image 'trees' has it. Add 'trees' to the setting image_variants and deploy again" in str(refused.value)
    )


def test_an_instance_type_that_the_stage_does_not_allow_is_refused(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload()
    with pytest.raises(InvalidRequestError, match=r"instance_type: got 'ml\.p4d\.24xlarge', expected an instance type"):
        plan(plan_event({"instance_type": "ml.p4d.24xlarge"}))
    assert stage.deployment.table.jobs("e-1") == []
