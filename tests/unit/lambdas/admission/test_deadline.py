from datetime import UTC, datetime, timedelta

import pytest

from contract.status import ExecutionStatus
from contract.table.records import ExecutionRecord, record_time
from lambdas.admission.admit import Clock, deadline_passed

DEADLINE = datetime(2026, 3, 2, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("is_strict", "minutes", "gives_up"), [(True, 1, True), (True, -1, False), (False, 1, False), (False, -1, False)]
)
def test_jobs_give_up_waiting_after_a_strict_deadline_only(is_strict: bool, minutes: int, gives_up: bool) -> None:
    execution = ExecutionRecord(
        execution_id="nightly",
        execution_arn="",
        status=ExecutionStatus.RUNNING,
        started_at="2026-03-02T00:00:00.000Z",
        request_json="{}",
        deadline_at=record_time(DEADLINE),
        deadline_is_strict=is_strict,
    )
    assert deadline_passed(execution, Clock(DEADLINE + timedelta(minutes=minutes))) is gives_up


def test_without_a_deadline_nobody_gives_up_because_of_one() -> None:
    execution = ExecutionRecord("nightly", "", ExecutionStatus.RUNNING, "2026-03-02T00:00:00.000Z", "{}")
    assert not deadline_passed(execution, Clock(DEADLINE))
