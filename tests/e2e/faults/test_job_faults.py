"""Faults of requests, functions and jobs in a workflow: each really happens, and the workflow recovers."""

from collections.abc import Iterator, Sequence

import pytest

from cli.stage.executions.execution_snapshot import Snapshot
from contract.status import AttemptStatus, ExecutionStatus, FailureKind
from contract.table.records import AttemptRecord
from embedded.faults import (
    CrashFunction,
    FailUpload,
    Fault,
    FullDisk,
    InstanceQuota,
    KillInstance,
    NoCapacity,
    ServerError,
    SlowUpload,
    Throttle,
    TimeOutFunction,
)
from tests.e2e.stage import Stage, people, train_xgboost

MODEL = "faulty"


@pytest.fixture(scope="module")
def _model(stage: Stage) -> Iterator[None]:
    stage.put_dataset("faulty-people", {f"{n}.parquet": people(50, n) for n in range(3)})
    stage.register(MODEL, train_xgboost(3), dataset="faulty-people")
    yield
    stage.catalog.set_enabled(MODEL, enabled=False)


@pytest.fixture
def faulty(stage: Stage, _model: None) -> Iterator[Stage]:
    yield stage
    stage.aws.faults.clear()


def run(stage: Stage, name: str, *faults: Fault) -> Snapshot:
    """Run an execution with faults, and check that each of them happened and none is left."""
    ids = [stage.aws.faults.add(fault) for fault in faults]
    execution = stage.run({"models": [MODEL]}, name)
    for fault_id in ids:
        assert stage.aws.faults.happened(fault_id), fault_id
    assert stage.aws.faults.pending() == []
    return execution


def attempts(stage: Stage, name: str) -> Sequence[AttemptRecord]:
    return stage.executions.attempts(name)[MODEL]


CAPACITY, TRANSIENT = FailureKind.CAPACITY, FailureKind.TRANSIENT


@pytest.mark.parametrize(
    ("name", "fault", "kind", "reason"),
    [
        ("no-capacity", NoCapacity(), CAPACITY, "CapacityError: Unable to provision requested ML compute capacity"),
        ("lost", KillInstance(objects=1), TRANSIENT, "InternalServerError: We encountered an internal error"),
        ("memory", KillInstance(cause="out-of-memory"), TRANSIENT, "exit code: 137"),
        ("full-disk", FullDisk(), TRANSIENT, "Data download failed:Insufficient disk space"),
        ("upload", FailUpload(key="predictions/*"), TRANSIENT, "InternalError: We encountered an internal"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failed_attempt_is_followed_by_another(
    faulty: Stage, name: str, fault: Fault, kind: FailureKind, reason: str
) -> None:
    execution = run(faulty, f"faulty-{name}", fault)
    first, *rest = attempts(faulty, f"faulty-{name}")
    assert (first.status, first.failure_kind) == (AttemptStatus.FAILED, kind)
    assert reason in first.reason
    assert execution.status == ExecutionStatus.SUCCEEDED, (execution.reason, [each.reason for each in rest])


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        (
            "refused-requests",
            (
                Throttle(service="dynamodb", operation="*Item*", caller="*Plan*", count=2),
                Throttle(service="lambda", operation="Invoke", caller="*/faulty-refused-requests*"),
                ServerError(service="lambda", resource="*Verify*", when="after"),
                ServerError(service="sagemaker", operation="CreateProcessingJob"),
                SlowUpload(key="predictions/*", seconds=0.5),
            ),
        ),
        (
            "ended-functions",
            (
                CrashFunction(function="*RecordAttempt*"),
                CrashFunction(function="*Verify*", when="before"),
                TimeOutFunction(function="*Plan*"),
            ),
        ),
        ("quota", (InstanceQuota(instances=1, others=1, count=1),)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_workflow_recovers(faulty: Stage, name: str, faults: tuple[Fault, ...]) -> None:
    """Several faults happen in one execution, because `make soak` has each of them alone."""
    execution = run(faulty, f"faulty-{name}", *faults)
    assert execution.status == ExecutionStatus.SUCCEEDED, execution.reason
    predictions = faulty.predictions("faulty-people", MODEL, f"faulty-{name}")
    assert sum(table.num_rows for table in predictions.values()) == 150
