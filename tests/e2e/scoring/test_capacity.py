"""Executions share a quota: each job waits for its instances without using up attempts, and nothing leaks."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.request_check import check_on_stage
from contract.pool import pool_records
from contract.pool.pool_records import JobKind, Lease, Pool, Share
from contract.status import ExecutionKind, ExecutionStatus, FailureKind, JobStatus
from contract.table import records
from embedded.faults import AccessDenied, CrashFunction, InstanceQuota, Throttle
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

MODELS = ("shared-a", "shared-b")
TYPE = "ml.m5.xlarge"
KEYS = [pool_records.QUOTAS_KEY, pool_records.pool_key(JobKind.PROCESSING, TYPE)]


def set_quota(stage: Stage, value: int) -> None:
    """Set the account's quota, and let the next plan read it."""
    quotas = stage.client("service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    name = pool_records.quota_name(JobKind.PROCESSING, TYPE)
    (code,) = [item["QuotaCode"] for page in pages for item in page["Quotas"] if item["QuotaName"] == name]
    quotas.request_service_quota_increase(ServiceCode="sagemaker", QuotaCode=code, DesiredValue=value)
    table(stage).delete_item(Key=pool_records.QUOTAS_KEY)


def table(stage: Stage) -> Any:
    return stage.connection.resource("dynamodb").Table(stage.deployment.table_name)


def leases(stage: Stage) -> list[str]:
    items = table(stage).query(
        KeyConditionExpression="pk = :pool AND begins_with(sk, :lease)",
        ExpressionAttributeValues={":pool": pool_records.POOL_PARTITION, ":lease": pool_records.LEASE_SORT_PREFIX},
        ConsistentRead=True,
    )["Items"]
    return [str(item["sagemaker_job_name"]) for item in items]


def held(stage: Stage) -> int:
    found = table(stage).get_item(Key=pool_records.pool_key(JobKind.PROCESSING, TYPE), ConsistentRead=True)
    # Without an item, no execution of the stage has used the pool yet.
    return records.read_item(Pool, found["Item"]).held if "Item" in found else 0


@pytest.fixture(scope="module")
def _models(stage: Stage) -> Iterator[None]:
    stage.put_dataset("shared", {f"{number}.parquet": people(40, number) for number in range(2)})
    for number, model in enumerate(MODELS):
        stage.register(model, train_xgboost(number), dataset="shared")
    yield
    for model in MODELS:
        stage.catalog.set_enabled(model, enabled=False)


@pytest.fixture
def shared(stage: Stage, _models: None) -> Iterator[Stage]:
    """Yield a stage without leases of other tests, and check that the test leaves none."""
    wait_for(lambda: not leases(stage), "earlier jobs release their instances")
    yield stage
    stage.aws.faults.clear()
    set_quota(stage, 1_000)
    wait_for(lambda: not leases(stage) and not held(stage), "nothing leaks")


def request(*models: str, **fields: Any) -> dict[str, Any]:
    return {"models": list(models or MODELS), **fields}


def start(stage: Stage, name: str, **fields: Any) -> str:
    return stage.executions.start(json.dumps(request(**fields)), name)


def check_first_attempts(executions: Sequence[Snapshot]) -> None:
    for execution in executions:
        assert execution.status == ExecutionStatus.SUCCEEDED, execution.reason
        assert {(job.status, job.attempt) for job in execution.jobs} == {(JobStatus.SUCCEEDED, 1)}
        assert not any(job.waiting_for or job.waiting_since for job in execution.jobs)


def test_two_executions_share_one_instance(shared: Stage) -> None:
    set_quota(shared, 1)
    names = ("share-one", "share-two")
    for name in names:
        start(shared, name, models=["shared-a"])
    check_first_attempts([shared.watch(name) for name in names])
    jobs = [job for name in names for job in shared.processing_jobs(name)]
    times = sorted((job["CreationTime"], job["ProcessingEndTime"]) for job in jobs)
    (_, ended), (created, _) = times
    assert created >= ended - timedelta(seconds=0.1), "two jobs ran at once"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("quota", InstanceQuota(instances=4, others=4, count=3)),
        ("rate", Throttle(service="sagemaker", operation="CreateProcessingJob", count=15)),
    ],
)
def test_what_others_use_up_delays_and_does_not_fail(shared: Stage, name: str, fault: Any) -> None:
    fault_id = shared.aws.faults.add(fault)
    execution = shared.run(request("shared-a"), f"others-{name}")
    assert len(shared.aws.faults.happened(fault_id)) == fault.count
    check_first_attempts([execution])
    assert execution.jobs[0].waited_seconds > 0
    (attempts,) = shared.executions.attempts(execution.execution_id).values()
    assert len(attempts) == 1


def test_a_job_that_waits_says_for_what_and_since_when(shared: Stage) -> None:
    """Another job holds the only instance; then it turns out to be long gone, and priority orders who comes next."""
    set_quota(shared, 1)
    wait_for(lambda: not leases(shared), "the first job releases its instance")
    leaked = Lease("dev-leaked-1", JobKind.PROCESSING, TYPE, 1, "no-such-execution", "gone", 1, "")
    pool = Pool(JobKind.PROCESSING, TYPE, 1_000, shares={leaked.execution_id: Share(5, held=1)})
    table(shared).put_item(Item=records.record_item(leaked, pool_records.lease_key("dev-leaked-1"), None))
    table(shared).put_item(Item=records.record_item(pool, KEYS[1], None))

    def waiting(name: str) -> str:
        jobs = shared.executions.snapshot(name).jobs
        return jobs[0].waiting_for if jobs else ""

    for name, priority in (("low", 0), ("high", 9)):
        start(shared, f"priority-{name}", models=["shared-a"], priority=priority)
        text = wait_for(lambda name=name: waiting(f"priority-{name}"), "the job waits")
        assert text == f"1 instance of {TYPE} for processing jobs: jobs of this stage use the quota of 1"
    (job,) = shared.executions.snapshot("priority-low").jobs
    assert (job.status, job.attempt) == (JobStatus.PENDING, 0)
    assert job.waiting_since
    shared.aws.clock.set(shared.aws.clock.now() + timedelta(minutes=15))
    executions = {name: shared.watch(f"priority-{name}") for name in ("high", "low")}
    check_first_attempts(list(executions.values()))
    assert executions["high"].jobs[0].started_at < executions["low"].jobs[0].started_at


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_function_leaks_nothing(shared: Stage, when: str) -> None:
    set_quota(shared, 1)
    # More often than the workflow repeats the call, so that the attempt fails.
    shared.aws.faults.add(CrashFunction(function="*RecordAttempt*", when=when, count=4))
    execution = shared.run(request("shared-a"), f"killed-{when}")
    assert execution.status == ExecutionStatus.SUCCEEDED, execution.reason


def test_a_job_whose_failure_nobody_could_record_leaves_its_instances_to_the_others(shared: Stage) -> None:
    set_quota(shared, 1)
    shared.aws.faults.add(CrashFunction(function="*RecordAttempt*", when="after", count=3))
    shared.aws.faults.add(CrashFunction(function="*ClassifyFailure*", when="before", count=3))
    noted = shared.aws.faults.add(
        AccessDenied(service="dynamodb", operation="UpdateItem", caller="*-StateMachineRole*", count=5)
    )
    name = start(shared, "no-trace", max_concurrency=1)
    wait_for(lambda: len(shared.aws.faults.happened(noted)) == 5, "the failure cannot be noted either", 120)
    wait_for(lambda: any(job.waiting_for for job in shared.executions.snapshot(name).jobs), "the other job waits")
    shared.aws.clock.set(shared.aws.clock.now() + timedelta(minutes=15))
    execution = shared.watch(name)
    assert sorted((job.status, job.attempt) for job in execution.jobs) == [
        (JobStatus.FAILED, 1),
        (JobStatus.SUCCEEDED, 1),
    ]


def test_a_stopped_execution_that_waits_leaves_nothing(shared: Stage) -> None:
    set_quota(shared, 1)
    shared.aws.faults.add(InstanceQuota(instances=4, others=4))
    name = start(shared, "stopped-waiting", models=["shared-a"])
    wait_for(lambda: [job for job in shared.executions.snapshot(name).jobs if job.waiting_for], "the job waits")
    assert leases(shared), "it has its share of the quota already"
    shared.executions.stop(shared.executions.execution_arn(name), "no longer needed")
    execution = shared.watch(name)
    assert execution.jobs[0].failure_kind is FailureKind.STOPPED


def test_the_first_plan_of_a_stage_knows_the_quotas_and_keeps_them_nowhere(shared: Stage) -> None:
    for quota in (3, 4):
        set_quota(shared, quota)
        found = check_on_stage(shared.connection, "dev", ExecutionKind.SCORING, json.dumps(request("shared-a")))
        assert found.expected is not None
        assert found.expected.quotas == {TYPE: quota}
        assert "Item" not in table(shared).get_item(Key=pool_records.QUOTAS_KEY, ConsistentRead=True)


def test_more_instances_than_the_quota_are_refused_by_the_plan(shared: Stage) -> None:
    set_quota(shared, 1)
    execution = shared.run(request("shared-a", instance_count=2), "too-many")
    assert execution.status == ExecutionStatus.FAILED
    assert "job 'shared-a': instance_count: got 2, expected at most 1, the quota of ml.m5.xlarge" in execution.reason
    assert "raise the quota" in execution.reason
    set_quota(shared, 2)
    assert shared.run(request("shared-a", instance_count=2), "enough").status == ExecutionStatus.SUCCEEDED
