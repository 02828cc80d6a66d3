"""The progress of a job follows from its record."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from contract.status import JobStatus
from contract.table.job_progress import progress_of
from tests.unit.lambdas.builders import STARTED_AT, any_job

STARTED = replace(any_job("e-1", "delays-ua"), status=JobStatus.RUNNING, attempt=1, started_at=STARTED_AT)
NOW = datetime.fromisoformat(STARTED_AT) + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("waiting_for", "status", "seconds", "waits"),
    [
        ("", JobStatus.RUNNING, 90.0, False),
        ("1 instance", JobStatus.PENDING, 0.0, True),
        # SageMaker has refused to create the job of the open attempt.
        ("1 instance", JobStatus.RUNNING, 0.0, True),
        ("1 instance", JobStatus.FAILED, 90.0, False),
    ],
)
def test_a_job_that_waits_for_instances_has_taken_no_time(
    waiting_for: str, status: JobStatus, seconds: float, *, waits: bool
) -> None:
    found = progress_of(replace(STARTED, status=status, waiting_for=waiting_for), 0.0, NOW)
    assert (found.seconds, found.waits_for_instances) == (seconds, waits)
