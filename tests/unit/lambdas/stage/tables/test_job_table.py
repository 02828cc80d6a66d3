import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contract.catalog.models import Model
from contract.status import ALLOWED_BEFORE, AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from contract.table import catalog_items, records
from contract.table.catalog_ids import catalog_id_key
from contract.table.records import AttemptRecord, JobRecord
from contract.workflow.messages import ExecutionPlan
from lambdas.errors import ExecutionClosedError, JobClosedError, StaleEventError
from lambdas.stage.tables.job_table import JobTable
from lambdas.stage.tables.table import in_transactions
from tests.unit.lambdas.builders import STARTED_AT, Stage, any_execution, any_job

MOVES = [(before, after) for before, after in itertools.product(JobStatus, JobStatus) if after is not JobStatus.PENDING]


@pytest.fixture
def table(stage: Stage) -> JobTable:
    return stage.deployment.table


def any_attempt(attempt: int = 1, **changes: Any) -> AttemptRecord:
    record = AttemptRecord(
        execution_id="e-1",
        job_id="delays-ua",
        attempt=attempt,
        status=AttemptStatus.RUNNING,
        sagemaker_job_name=f"test-delays-ua-0-{attempt}",
        object_count=2,
        instance_type="ml.m5.large",
        instance_count=2,
        started_at=STARTED_AT,
    )
    return replace(record, **changes)


def put_job(table: JobTable, status: JobStatus, attempt: int) -> JobRecord:
    job = any_job(status=status, attempt=attempt)
    table.add_jobs([job])
    return job


@pytest.mark.parametrize(("before", "after"), MOVES, ids=lambda status: status.value)
def test_a_job_makes_only_allowed_status_changes(table: JobTable, before: JobStatus, after: JobStatus) -> None:
    job = put_job(table, before, attempt=1)
    allowed = before in ALLOWED_BEFORE[after]
    move: Callable[[], Any]
    if after is JobStatus.RUNNING:
        job_attempt = any_attempt(2)
        move = lambda: table.open_attempt(job, job_attempt)  # noqa: E731
    else:
        moved = replace(job, status=after, attempt=1)
        move = lambda: table.end_attempt(job, moved, ended_at=STARTED_AT)  # noqa: E731
    if allowed:
        move()
    else:
        with pytest.raises((StaleEventError, JobClosedError)):
            move()
    assert table.job("e-1", "delays-ua").status is (after if allowed else before)


def test_concurrent_calls_open_one_attempt(table: JobTable) -> None:
    job = put_job(table, JobStatus.PENDING, attempt=0)
    offers = [any_attempt(sagemaker_job_name=f"offer-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        opened = set(threads.map(lambda offer: table.open_attempt(job, offer), offers))
    assert len(opened) == 1
    assert table.find_attempt("e-1", "delays-ua", 1) in opened


def test_a_job_that_changed_since_it_was_read_is_not_changed_again(table: JobTable) -> None:
    read = put_job(table, JobStatus.PENDING, attempt=0)
    table.open_attempt(read, any_attempt())
    with pytest.raises(StaleEventError):
        table.open_attempt(read, any_attempt(2))
    assert table.job("e-1", "delays-ua").attempt == 1


def test_an_existing_attempt_is_not_overwritten(stage: Stage) -> None:
    job = put_job(stage.deployment.table, JobStatus.PENDING, attempt=0)
    there = any_attempt(status=AttemptStatus.FAILED, sagemaker_job_name="earlier")
    stage.table.put_item(Item=records.attempt_item(there))
    assert stage.deployment.table.open_attempt(job, any_attempt()) == there
    assert stage.job() == job


def test_an_attempt_and_its_job_end_together_or_not_at_all(table: JobTable) -> None:
    job = put_job(table, JobStatus.PENDING, attempt=0)
    table.open_attempt(job, any_attempt())
    stale = replace(job, status=JobStatus.FAILED, attempt=1)
    with pytest.raises(StaleEventError):
        table.end_attempt(job, stale, ended_at=STARTED_AT)
    attempt = table.find_attempt("e-1", "delays-ua", 1)
    assert attempt is not None
    assert attempt.status is AttemptStatus.RUNNING


def test_adding_jobs_again_keeps_existing_ones(table: JobTable) -> None:
    assert table.add_jobs([any_job(job_id="a"), any_job(job_id="b")]) == 2
    assert table.add_jobs([any_job(job_id="b", status=JobStatus.RUNNING), any_job(job_id="c")]) == 1
    assert table.job("e-1", "b").status is JobStatus.PENDING


def test_more_jobs_than_threads_are_added_and_read_back(table: JobTable) -> None:
    jobs = [any_job(job_id=f"job-{number:04d}") for number in range(40)]
    assert table.add_jobs(jobs) == 40
    assert table.jobs("e-1") == jobs


def test_hundreds_of_jobs_take_few_writes(table: JobTable) -> None:
    jobs = [any_job(job_id=f"job-{number:04d}") for number in range(250)]
    table.add_jobs(jobs[120:121])
    calls: list[str] = []
    table._dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    assert table.add_jobs(jobs) == 249
    # Only the jobs of the transaction with the existing record are written one by one.
    assert sorted(calls) == ["PutItem"] * 100 + ["TransactWriteItems"] * 3
    assert table.jobs("e-1") == jobs


def test_a_throttled_transaction_is_written_one_by_one(table: JobTable) -> None:
    reasons = [{"Code": "ThrottlingError"}, {"Code": "None"}]
    answer = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
    table._dynamodb.meta.events.register(
        "before-call.dynamodb.TransactWriteItems", lambda **_: (SimpleNamespace(status_code=400), answer)
    )
    assert table.add_jobs([any_job(job_id="a"), any_job(job_id="b")]) == 2
    assert [job.job_id for job in table.jobs("e-1")] == ["a", "b"]


def test_a_transaction_has_as_many_items_as_dynamodb_takes() -> None:
    small, large = {"pk": "x"}, {"pk": "x" * (300 << 10)}
    assert [len(batch) for batch in in_transactions([small] * 250)] == [100, 100, 50]
    assert [len(batch) for batch in in_transactions([large] * 30)] == [13, 13, 4]
    assert list(in_transactions([])) == []


def test_jobs_are_found_by_status_in_the_index(stage: Stage) -> None:
    job = put_job(stage.deployment.table, JobStatus.PENDING, attempt=0)
    stage.deployment.table.open_attempt(job, any_attempt())
    found = {
        status: stage.table.query(
            IndexName=records.INDEX_NAME,
            KeyConditionExpression="index_pk = :status",
            ExpressionAttributeValues={":status": records.jobs_by_status("e-1", status)},
        )["Count"]
        for status in JobStatus
    }
    assert found[JobStatus.RUNNING] == 1
    assert sum(found.values()) == 1


def test_closing_a_job_closes_its_running_attempt(table: JobTable) -> None:
    job = put_job(table, JobStatus.PENDING, attempt=0)
    table.open_attempt(job, any_attempt())
    # `job` is out of date, because the attempt was opened since.
    closed = table.close_job(job, ended_at=STARTED_AT, kind=FailureKind.UNKNOWN, reason="the Map died")
    attempt = table.find_attempt("e-1", "delays-ua", 1)
    assert attempt is not None
    assert (closed.status, closed.attempt, attempt.status) == (JobStatus.FAILED, 1, AttemptStatus.FAILED)
    assert table.job("e-1", "delays-ua") == closed


def test_closing_a_job_keeps_its_current_fields(table: JobTable) -> None:
    present = any_job(status=JobStatus.WAITING, attempt=1, sagemaker_job_name="present")
    table.add_jobs([present])
    read = replace(present, status=JobStatus.RUNNING, sagemaker_job_name="out of date")
    closed = table.close_job(read, ended_at=STARTED_AT, kind=FailureKind.UNKNOWN, reason="the Map died")
    assert closed.sagemaker_job_name == "present"


def test_a_successful_job_is_not_closed_as_failed(table: JobTable) -> None:
    put_job(table, JobStatus.SUCCEEDED, attempt=1)
    stale = any_job(status=JobStatus.RUNNING, attempt=1)
    closed = table.close_job(stale, ended_at=STARTED_AT, kind=FailureKind.UNKNOWN, reason="the Map died")
    assert closed.status is JobStatus.SUCCEEDED


def test_an_execution_is_opened_once_and_closed_once(table: JobTable) -> None:
    first = any_execution()
    assert table.open_execution(first) == first
    assert table.open_execution(any_execution(label="second")) == first
    failed = replace(first, status=ExecutionStatus.FAILED, reason="refused")
    assert table.close_execution(failed)
    assert not table.close_execution(replace(first, status=ExecutionStatus.SUCCEEDED))
    assert table.execution("e-1") == failed


def test_the_first_plan_of_an_execution_is_kept(table: JobTable) -> None:
    record = table.open_execution(any_execution())
    first, second = (ExecutionPlan("e-1", "b", "k", count, 1, 100.0) for count in (1, 2))
    assert table.record_plan(record, first) == first
    assert table.record_plan(record, second) == first
    assert table.execution("e-1").plan == first


def test_a_closed_execution_gets_no_plan(table: JobTable) -> None:
    record = table.open_execution(any_execution())
    table.close_execution(replace(record, status=ExecutionStatus.FAILED))
    with pytest.raises(ExecutionClosedError, match="already FAILED"):
        table.record_plan(record, ExecutionPlan("e-1", "b", "k", 1, 1, 100.0))


def test_attempts_of_jobs_with_a_common_prefix_are_separate(table: JobTable) -> None:
    for job_id in ("delays", "delays-ua"):
        table.add_jobs([any_job(job_id=job_id)])
        table.open_attempt(table.job("e-1", job_id), any_attempt(job_id=job_id))
    assert [attempt.job_id for attempt in table.attempts("e-1", "delays")] == ["delays"]


def test_more_models_than_fit_into_one_batch_are_read(stage: Stage) -> None:
    with stage.table.batch_writer() as batch:
        for number in range(120):
            batch.put_item(Item=catalog_items.model_item(Model(f"m-{number:03d}", "1")))
    ids = [f"m-{number:03d}" for number in range(120)]
    assert sorted(stage.deployment.table.models([*ids, "nobody"])) == ids
    assert [model.model_id for model in stage.deployment.table.all_models()] == ids
    assert stage.deployment.table.models([]) == {}


def test_models_that_the_index_does_not_show_are_listed(stage: Stage) -> None:
    item = catalog_items.model_item(Model("new", "1"))
    for name in (records.INDEX_PARTITION_KEY, records.INDEX_SORT_KEY):
        del item[name]
    stage.table.put_item(Item=item)
    stage.table.put_item(Item=catalog_id_key("MODEL", "new"))
    stage.table.put_item(Item=catalog_id_key("MODEL", "deleted"))
    stage.table.put_item(Item=catalog_id_key("RECIPE", "recipe-only"))
    stage.table.put_item(Item=catalog_items.model_item(Model("earlier-release", "1")))
    assert [model.model_id for model in stage.deployment.table.all_models()] == ["earlier-release", "new"]
