"""What an execution has used: attempts times instances, at the prices of its plan."""

from dataclasses import replace

import pytest

from contract.catalog.models import Compute
from contract.planner.estimates import Estimate
from contract.planner.figures import PlanFigures
from contract.status import AttemptStatus
from contract.table.records import AttemptRecord
from lambdas.closing.figures import actual_figures
from tests.unit.lambdas.builders import any_job

ESTIMATE = PlanFigures(
    jobs=2,
    seconds=Estimate(600, 600, 600),
    instance_hours=1,
    usd_per_hour={"ml.m5.large": 0.1, "spot-training:ml.m5.large": 0.04},
)
JOBS = [
    any_job(job_id="one", created_at="2026-01-05T10:00:00.000Z", ended_at="2026-01-05T11:00:00.000Z"),
    any_job(job_id="two", created_at="2026-01-05T10:00:00.000Z", ended_at="2026-01-05T11:30:00.000Z"),
]
SPOT = [replace(job, compute=Compute(spot=True)) for job in JOBS]
FIRST = AttemptRecord(
    "e-1", "one", 1, AttemptStatus.FAILED, "s-1", 5, "ml.m5.large", 2, "2026-01-05T10:00:00.000Z",
    ended_at="2026-01-05T10:30:00.000Z",
)  # fmt: skip
SECOND = replace(FIRST, job_id="two", started_at="2026-01-05T10:30:00.000Z", ended_at="2026-01-05T11:30:00.000Z")


def test_attempts_count_with_their_instances_at_the_plans_prices() -> None:
    actual = actual_figures(ESTIMATE, JOBS, [FIRST, SECOND])
    assert actual is not None
    assert (actual.jobs, actual.seconds) == (2, 5_400.0)
    assert actual.instance_hours == pytest.approx(3.0)
    assert actual.cost == pytest.approx(0.3)
    on_spot = actual_figures(ESTIMATE, SPOT, [FIRST, SECOND])
    assert on_spot is not None
    assert on_spot.cost == pytest.approx(0.12)


def test_attempts_without_a_job_or_an_end_do_not_count() -> None:
    actual = actual_figures(ESTIMATE, JOBS, [replace(FIRST, object_count=0), replace(SECOND, ended_at="")])
    assert actual is not None
    assert (actual.jobs, actual.instance_hours, actual.cost) == (0, 0, 0)


def test_type_without_a_price_has_no_cost() -> None:
    actual = actual_figures(ESTIMATE, JOBS, [replace(FIRST, instance_type="ml.m5.xlarge")])
    assert actual is not None
    assert actual.cost is None


def test_execution_without_jobs_has_used_nothing_to_compare() -> None:
    assert actual_figures(ESTIMATE, [], []) is None
