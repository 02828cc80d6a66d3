import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from contract import codec, environment, layout
from contract.job.parts import JobPart
from contract.status import ExecutionStatus, JobStatus
from contract.table.latest_predictions import LatestPredictions, latest_key, read_latest
from contract.table.records import JobRecord, execution_item
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.resources import resources
from lambdas.stage.tables.latest_pointers import LatestPointers
from tests.unit.lambdas.builders import (
    STARTED_AT,
    Stage,
    any_execution,
    any_job,
    plan_event,
    pointer_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]
EARLIEST = "2026-01-04T10:00:00.000Z"
LATER = "2026-01-06T10:00:00.000Z"
LATEST_OF_ALL = "2026-01-07T10:00:00.000Z"


def manifest(stage: Stage, model_id: str = "delays-ua", fleet: str = "") -> LatestPredictions:
    return codec.from_json(LatestPredictions, stage.read_json(layout.latest_key("flights", model_id, fleet)))


def pointer(stage: Stage, model_id: str = "delays-ua", fleet: str = "") -> LatestPredictions | None:
    item = stage.table.get_item(Key=latest_key("flights", model_id, fleet)).get("Item")
    return read_latest(item) if item else None


def latest_execution(stage: Stage) -> str:
    """Return the execution that both the table and the manifest point to; empty if none does."""
    found = pointer(stage)
    if found is None:
        assert not [key for key in stage.result_keys() if key.startswith(layout.LATEST_PREFIX)]
        return ""
    assert manifest(stage) == found
    return found.execution_id


def run(stage: Stage, execution_id: str, planned_at: str, *jobs: JobRecord, **changes: Any) -> None:
    """Write the records of an execution whose jobs have ended, before it is summarized."""
    stage.table.put_item(Item=execution_item(any_execution(execution_id, started_at=planned_at, **changes)))
    done = {"status": JobStatus.SUCCEEDED, "started_at": planned_at, "ended_at": planned_at}
    jobs = jobs or (any_job(**done),)
    fields = {"execution_id": execution_id, "created_at": planned_at}
    stage.deployment.table.add_jobs(replace(job, commits=job.objects_pinned, **fields) for job in jobs)


def test_the_time_of_the_plan_is_that_of_step_functions(stage: Stage, plan: Step) -> None:
    """A function's clock may be wrong, and the order of executions decides which predictions are the latest."""
    stage.register()
    stage.upload()
    plan({**plan_event({}), "entered_at": LATER})
    assert stage.job().created_at == LATER


def test_a_job_that_succeeded_moves_the_pointer(opened: Stage, verify: Step, summarize: Step) -> None:
    opened.commit()
    verify(pointer_event())
    assert latest_execution(opened) == ""
    summarize(summary_event({}))
    assert latest_execution(opened) == "e-1"
    found = manifest(opened)
    folder = "dataset=flights/execution_id=e-1/job_id=delays-ua/model_id=delays-ua/"
    assert found.predictions_uris == (f"s3://results-test/predictions/{folder}",)
    assert found.quarantine_uris == (f"s3://results-test/quarantine/{folder}",)
    assert (found.model_version, found.object_count, found.models_in_job) == ("1", 2, 1)
    assert (found.rows_in, found.rows_scored, found.rows_quarantined) == (20, 19, 1)
    assert found.planned_at == opened.job().created_at
    assert found.outputs_expire_at == ""


def test_only_jobs_that_succeeded_count(stage: Stage, plan: Step, record: Step, verify: Step, summarize: Step) -> None:
    for model_id in ("bad", "good"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({}))
    for model_id in ("bad", "good"):
        record(pointer_event(model_id))
    stage.commit(job_id="good")
    verify(pointer_event("good"))
    stopped = {"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}
    assert summarize(summary_event(stopped))["status"] == "PARTLY_FAILED"
    good = pointer(stage, "good")
    assert good is not None
    assert good.execution_id == "e-1"
    assert pointer(stage, "bad") is None


def test_a_job_whose_accounting_does_not_hold_moves_no_pointer(stage: Stage, summarize: Step) -> None:
    run(stage, "e-1", STARTED_AT, any_job(status=JobStatus.SUCCEEDED, started_at=STARTED_AT, rows_in=3))
    summarize(summary_event({}))
    assert latest_execution(stage) == ""


def test_a_rerun_moves_the_pointer_and_a_failed_rerun_does_not(stage: Stage, summarize: Step) -> None:
    run(stage, "e-1", STARTED_AT)
    summarize(summary_event({}, "e-1"))
    run(stage, "e-2", LATER)
    summarize(summary_event({}, "e-2", LATER))
    run(stage, "e-3", LATEST_OF_ALL, any_job(status=JobStatus.FAILED))
    summarize(summary_event({}, "e-3", LATEST_OF_ALL))
    assert latest_execution(stage) == "e-2"


def test_late_and_doubled_events_of_an_older_execution_change_nothing(stage: Stage, summarize: Step) -> None:
    run(stage, "e-1", STARTED_AT)
    run(stage, "e-2", LATER)
    for _ in range(2):
        summarize(summary_event({}, "e-2", LATER))
        summarize(summary_event({}, "e-1"))
    assert latest_execution(stage) == "e-2"


def test_pointers_of_a_throttled_transaction_are_written_one_by_one(stage: Stage, summarize: Step) -> None:
    """The client does not retry throttled transactions."""
    run(stage, "e-1", STARTED_AT)
    run(stage, "e-2", LATER)
    older, newer = manifest_of(stage, summarize, "e-1"), manifest_of(stage, summarize, "e-2", LATER)
    dynamodb = boto3.resource("dynamodb").meta.client
    reasons = [{"Code": "ThrottlingError"}]
    answer = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
    dynamodb.meta.events.register(
        "before-call.dynamodb.TransactWriteItems", lambda **_: (SimpleNamespace(status_code=400), answer)
    )
    pointers = LatestPointers(dynamodb, stage.deployment.settings.table_name, stage.deployment.store)
    assert pointers.move([newer]) == 1
    assert pointers.move([older]) == 0
    assert latest_execution(stage) == "e-2"


@pytest.mark.parametrize("is_first", [True, False])
def test_an_execution_that_was_overtaken_does_not_replace_the_newer_manifest(
    stage: Stage, summarize: Step, is_first: bool
) -> None:
    """The older one wrote its item first, and its manifest last."""
    run(stage, "e-1", STARTED_AT)
    run(stage, "e-2", LATER)
    older = manifest_of(stage, summarize, "e-1")
    if not is_first:
        run(stage, "e-0", EARLIEST)
        summarize(summary_event({}, "e-0", EARLIEST))
    deployment, client = stage.deployment, boto3.client("s3")

    class Overtaken:
        """Runs the newer execution to its end before the older one writes the manifest."""

        def get_object(self, **request: Any) -> Any:
            return client.get_object(**request)

        def put_object(self, **request: Any) -> Any:
            found = pointer(stage)
            if found is not None and found.execution_id == "e-1":
                summarize(summary_event({}, "e-2", LATER))
            return client.put_object(**request)

    table_name = deployment.settings.table_name
    store = ObjectStore(
        Overtaken(), datasets_bucket=stage.datasets, models_bucket=stage.models, results_bucket=stage.results
    )
    pointers = LatestPointers(boto3.resource("dynamodb").meta.client, table_name, store)
    assert pointers.move([older]) == 0
    assert latest_execution(stage) == "e-2"


def manifest_of(stage: Stage, summarize: Step, execution_id: str, planned_at: str = STARTED_AT) -> LatestPredictions:
    """Return the pointer that an execution writes, and remove it again."""
    summarize(summary_event({}, execution_id, planned_at))
    found = manifest(stage)
    stage.s3.delete_object(Bucket=stage.results, Key=found.key)
    stage.table.delete_item(Key=latest_key(found.dataset, found.model_id))
    return found


def test_a_manifest_that_was_lost_is_written_again(stage: Stage, summarize: Step) -> None:
    run(stage, "e-1", STARTED_AT)
    summarize(summary_event({}))
    stage.s3.put_object(Bucket=stage.results, Key=layout.latest_key("flights", "delays-ua"), Body=b"not JSON")
    summarize(summary_event({}))
    assert latest_execution(stage) == "e-1"


@pytest.mark.parametrize(
    ("manifest_name", "moves"),
    [("window-7-1.json", False), ("b-1.json", False), ("table-part-0123.json", False), ("table-0123abcd.json", True)],
)
def test_an_execution_of_uploads_is_a_part_and_that_of_a_table_is_whole(
    stage: Stage, summarize: Step, manifest_name: str, moves: bool
) -> None:
    request = json.dumps({"objects_manifest": f"uploads/flights/{manifest_name}"})
    run(stage, "e-1", STARTED_AT, request_json=request)
    summarize(summary_event({}))
    assert latest_execution(stage) == ("e-1" if moves else "")


def test_a_resumed_execution_counts_as_old_as_the_snapshot_that_it_has(stage: Stage, summarize: Step) -> None:
    failed = any_job(status=JobStatus.FAILED)
    run(stage, "first", STARTED_AT, failed, status=ExecutionStatus.FAILED)
    run(stage, "whole", LATER)
    summarize(summary_event({}, "whole", LATER))
    run(stage, "resumed", LATEST_OF_ALL, resumes="first")
    summarize(summary_event({}, "resumed", LATEST_OF_ALL))
    assert latest_execution(stage) == "whole"


def test_a_resumed_execution_moves_the_pointer_if_none_was_planned_since(stage: Stage, summarize: Step) -> None:
    run(stage, "first", STARTED_AT, any_job(status=JobStatus.FAILED), status=ExecutionStatus.FAILED)
    run(stage, "again", LATER, any_job(status=JobStatus.FAILED), status=ExecutionStatus.FAILED, resumes="first")
    run(stage, "resumed", LATEST_OF_ALL, resumes="again")
    summarize(summary_event({}, "resumed", LATEST_OF_ALL))
    assert latest_execution(stage) == "resumed"
    assert manifest(stage).planned_at == STARTED_AT


def test_of_two_that_continue_the_same_execution_the_later_one_is_the_latest(stage: Stage, summarize: Step) -> None:
    run(stage, "first", STARTED_AT, any_job(status=JobStatus.FAILED), status=ExecutionStatus.FAILED)
    run(stage, "z", LATER, resumes="first")
    summarize(summary_event({}, "z", LATER))
    run(stage, "a", LATEST_OF_ALL, resumes="z")
    for _ in range(2):
        summarize(summary_event({}, "a", LATEST_OF_ALL))
        summarize(summary_event({}, "z", LATER))
    assert latest_execution(stage) == "a"


def test_a_resumed_execution_without_objects_that_moved_is_no_whole(stage: Stage, summarize: Step) -> None:
    run(stage, "first", STARTED_AT, any_job(status=JobStatus.FAILED), status=ExecutionStatus.FAILED)
    run(stage, "resumed", LATER, resumes="first", moved_datasets=("flights",))
    summarize(summary_event({}, "resumed", LATER))
    assert latest_execution(stage) == ""


def test_a_request_that_was_too_long_for_its_record_is_no_whole(stage: Stage, summarize: Step) -> None:
    run(stage, "e-1", STARTED_AT, request_json='{"left_out": "The request has 400,000 characters"}')
    summarize(summary_event({}))
    assert latest_execution(stage) == ""


def test_a_resumed_execution_replaces_the_one_that_it_resumed(stage: Stage, summarize: Step) -> None:
    run(stage, "first", STARTED_AT)
    summarize(summary_event({}, "first"))
    run(stage, "resumed", LATER, resumes="first")
    for _ in range(2):
        summarize(summary_event({}, "resumed", LATER))
        summarize(summary_event({}, "first"))
    assert latest_execution(stage) == "resumed"
    assert manifest(stage).planned_at == STARTED_AT


@pytest.mark.parametrize("request_json", [None, '{"objects_manifest": "uploads/flights/window-1.json"}'])
def test_a_resumed_execution_of_uploads_or_of_unknown_origin_is_no_whole(
    stage: Stage, summarize: Step, request_json: str | None
) -> None:
    if request_json:
        run(stage, "first", STARTED_AT, status=ExecutionStatus.FAILED, request_json=request_json)
    run(stage, "resumed", LATER, resumes="first")
    summarize(summary_event({}, "resumed", LATER))
    assert latest_execution(stage) == ""


def test_all_parts_of_a_split_job_must_have_succeeded(stage: Stage, summarize: Step) -> None:
    parts = [JobPart("delays-ua", number, 2) for number in (1, 2)]
    done = {"status": JobStatus.SUCCEEDED, "started_at": STARTED_AT, "ended_at": STARTED_AT}
    jobs = [any_job(job_id=part.id, model_ids=("delays-ua",), part=part, **done) for part in parts]
    run(stage, "e-1", STARTED_AT, jobs[0], replace(jobs[1], status=JobStatus.FAILED))
    summarize(summary_event({}))
    assert latest_execution(stage) == ""
    run(stage, "e-2", LATER, jobs[0], replace(jobs[1], rows_in=3, rows_quarantined=3))
    summarize(summary_event({}, "e-2", LATER))
    assert latest_execution(stage) == "e-2"
    found = manifest(stage)
    assert [uri.split("/")[-3] for uri in found.predictions_uris] == [f"job_id={part.id}" for part in parts]
    assert [uri.split("/")[-3] for uri in found.quarantine_uris] == [f"job_id={parts[1].id}"]
    assert found.object_count == 4


def test_models_of_a_joined_job_point_to_their_common_output(stage: Stage, summarize: Step) -> None:
    names = ("delays-ua", "delays-wn")
    job = any_job(
        job_id="delays-ua.and-1-more",
        status=JobStatus.SUCCEEDED,
        model_ids=names,
        model_versions=("1", "7"),
        output_layout="joined",
        started_at=STARTED_AT,
    )
    run(stage, "e-1", STARTED_AT, job)
    summarize(summary_event({}))
    found = [manifest(stage, model_id) for model_id in names]
    uri = "s3://results-test/joined/dataset=flights/execution_id=e-1/job_id=delays-ua.and-1-more/"
    assert [item.predictions_uris for item in found] == [(uri,), (uri,)]
    assert [(item.model_version, item.output_layout, item.models_in_job) for item in found] == [
        ("1", "joined", 2),
        ("7", "joined", 2),
    ]


def test_a_fleet_has_one_pointer_that_no_model_shares(stage: Stage, summarize: Step) -> None:
    job = any_job(
        job_id="delays-ua.fleet",
        status=JobStatus.SUCCEEDED,
        model_ids=("delays-ua",),
        fleet="delays-ua",
        output_layout="fleet",
        started_at=STARTED_AT,
    )
    run(stage, "e-1", STARTED_AT, job)
    summarize(summary_event({}))
    found = manifest(stage, fleet="delays-ua")
    assert found.predictions_uris == (
        "s3://results-test/fleets/dataset=flights/execution_id=e-1/job_id=delays-ua.fleet/",
    )
    assert pointer(stage, fleet="delays-ua") == found
    assert pointer(stage) is None


def test_a_pointer_says_when_outputs_expire_and_expires_with_them(
    stage: Stage, summarize: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(environment.PREDICTIONS_EXPIRY_DAYS, "30")
    resources.cache_clear()
    run(stage, "e-1", "2026-01-05T10:00:00.000Z")
    summarize(summary_event({}, "e-1", "2026-01-05T10:00:00.000Z"))
    assert manifest(stage).outputs_expire_at == "2026-02-04T10:00:00.000Z"
    item = stage.table.get_item(Key=latest_key("flights", "delays-ua"))["Item"]
    assert item["expires_at"] == 1770199200
