"""The requests that the functions make for one job: each costs money and time, and counts against rate limits."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.client import BaseClient

from contract import layout
from contract.pool.pool_records import JobKind
from contract.status import AttemptStatus, FailureKind
from lambdas.errors import JobClosedError
from lambdas.stage.sagemaker_jobs import SageMakerJobs
from lambdas.stage.tables.job_table import JobTable
from tests.unit.lambdas.builders import STARTED_AT, Stage, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]


POOL = (JobKind.PROCESSING, "ml.m5.large")


def description_of(stage: Stage) -> dict[str, Any]:
    """Return what SageMaker says of the job's attempt, as far as its instances are read from it."""
    return {
        "ProcessingJobName": stage.job().sagemaker_job_name,
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": POOL[1]}},
    }


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count the requests in the block by operation."""
    requests: Counter[str] = Counter()
    call = BaseClient._make_api_call

    def count(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        requests[operation] += 1
        return call(client, operation, arguments)

    with monkeypatch.context() as patched:
        patched.setattr(BaseClient, "_make_api_call", count)
        yield requests


@pytest.mark.parametrize("is_first", [False, True])
def test_record_attempt_opens_an_attempt_with_its_lease_and_start_slot(
    planned: Stage, record: Step, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    if not is_first:
        planned.deployment.pools._expected = POOL
    with counted(monkeypatch) as requests:
        record(pointer_event())
    expected = {
        "BatchGetItem": 1,  # job, attempt, execution, pool, quotas and start slot
        "PutObject": 1,  # the models' manifest
        "TransactWriteItems": 1,  # attempt, job, lease, pool and start slot
    }
    # The first call of a process does not know the pool before it has read the job: lease, pool and quotas.
    assert requests == ({**expected, "BatchGetItem": 2, "UpdateItem": 2} if is_first else expected)
    assert [lease.sagemaker_job_name for lease in planned.deployment.pools.leases()] == [
        planned.attempt().sagemaker_job_name
    ]


def test_a_start_slot_takes_one_request_when_the_last_one_was_free_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = stage.deployment.pools
    pools.take_start_slot(JobKind.PROCESSING, 10_000, 1_000)
    with counted(monkeypatch) as requests:
        waits = [pools.take_start_slot(JobKind.PROCESSING, now, 1_000) for now in (20_000, 30_000)]
        assert (waits, requests) == ([0, 0], {"UpdateItem": 2})
        waits = [pools.take_start_slot(JobKind.PROCESSING, 30_000, 1_000) for _ in range(3)]
        assert (waits, requests) == ([1_000, 2_000, 3_000], {"UpdateItem": 6})


def test_verify_output_makes_no_request_per_object_except_for_checksums(
    opened: Stage, verify: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.commit()
    outputs, description = 3, description_of(opened)
    with counted(monkeypatch) as requests:
        verify({**pointer_event(), "description": description})
    assert requests == {
        "BatchGetItem": 1,  # job, attempt, execution, lease and pool
        "GetObject": 2,  # spec, and the segment of the ledger; this process has read the snapshot before
        "ListObjectsV2": 4,  # dataset, predictions, quarantine, ledger
        "HeadObject": outputs,
        "TransactWriteItems": 1,  # attempt, job, tally, lease and pool
    }
    assert list(opened.deployment.pools.leases()) == []


def _processing_input(key: str) -> dict[str, Any]:
    return {"ProcessingInputs": [{"InputName": "spec", "S3Input": {"S3Uri": f"s3://results/{key}"}}]}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (_processing_input(layout.job_spec_key("e-1", "delays-ua")), {"BatchGetItem": 1}),
        # An input that names another job, or none, proves nothing: the lease names the job.
        (_processing_input(layout.job_spec_key("e-1", "other")), {"BatchGetItem": 2, "GetItem": 1}),
        ({"ProcessingInputs": [{"S3Input": None}, "text"]}, {"BatchGetItem": 1, "GetItem": 1}),
        ({}, {"BatchGetItem": 1, "GetItem": 1}),
    ],
)
def test_the_start_of_a_job_takes_one_read_if_its_inputs_name_it(
    opened: Stage, reconcile: Step, monkeypatch: pytest.MonkeyPatch, inputs: Any, expected: Any
) -> None:
    monkeypatch.setattr(SageMakerJobs, "tags", None)
    name = opened.job().sagemaker_job_name
    detail = {"ProcessingJobName": name, "ProcessingJobArn": f"arn:{name}", "ProcessingJobStatus": "InProgress"}
    with counted(monkeypatch) as requests:
        reconcile({"source": "aws.sagemaker", "detail": {**detail, **inputs}})
    assert requests == expected


def test_the_end_of_an_execution_takes_one_request_per_new_pointer(
    opened: Stage, verify: Step, summarize: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.commit()
    verify(pointer_event())
    with counted(monkeypatch) as requests:
        summarize(summary_event({}))
    assert requests["PutObject"] == 2  # summary and manifest
    assert requests["GetObject"] == 0


def test_an_attempt_that_is_opened_between_two_reads_is_read_again(opened: Stage, record: Step) -> None:
    """BatchGetItem reads its items in any order."""
    table = opened.deployment.table
    reads = JobTable._get_each

    def before_it_was_opened(self: JobTable, *keys: Any) -> list[Any]:
        job, _, *others = reads(self, *keys)
        return [job, None, *others]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JobTable, "_get_each", before_it_was_opened)
        assert table.job_state("e-1", "delays-ua", 1).attempt == opened.attempt()


def test_an_attempt_that_ends_between_two_reads_is_read_again(opened: Stage, record: Step) -> None:
    """Otherwise a late call gets instances for a job that has failed."""
    table = opened.deployment.table
    running = table.job_state("e-1", "delays-ua", 1)
    table.close_job(running.job, ended_at=STARTED_AT, kind=FailureKind.STOPPED, reason="a reason")
    opened.deployment.pools.release(running.job.sagemaker_job_name)
    reads = JobTable._get_each

    def before_it_ended(self: JobTable, *keys: Any) -> list[Any]:
        job, attempt, *others = reads(self, *keys)
        return [job, attempt and {**attempt, "status": AttemptStatus.RUNNING.value}, *others]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JobTable, "_get_each", before_it_ended)
        assert table.job_state("e-1", "delays-ua", 1).attempt == opened.attempt()
        with pytest.raises(JobClosedError):
            record(pointer_event())
    assert list(opened.deployment.pools.leases()) == []
