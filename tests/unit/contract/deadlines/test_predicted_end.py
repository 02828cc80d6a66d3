from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.deadlines.lateness import Lateness, lateness_of
from contract.deadlines.predicted_end import JobProgress, PredictedEnd, makespan, predict_end
from contract.planner.estimates import Estimate
from contract.status import JobStatus
from tests.unit.fuzzing import examples

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
SUCCEEDED = JobProgress(JobStatus.SUCCEEDED, 300.0, 300.0, 1.0)
RUNNING = JobProgress(JobStatus.RUNNING, 300.0, 100.0)
PENDING = JobProgress(JobStatus.PENDING, 300.0, 0.0)

seconds = st.floats(1.0, 10_000.0)
jobs = st.lists(
    st.builds(JobProgress, st.just(JobStatus.SUCCEEDED), seconds, seconds, st.just(1.0))
    | st.builds(JobProgress, st.just(JobStatus.RUNNING), seconds, seconds, st.floats(0.0, 1.0))
    | st.builds(
        JobProgress,
        st.sampled_from([JobStatus.PENDING, JobStatus.WAITING]),
        seconds,
        st.just(0.0),
        waits_for_instances=st.booleans(),
    )
    | st.builds(JobProgress, st.just(JobStatus.FAILED), seconds, seconds),
    max_size=12,
)


def seconds_until(predicted: PredictedEnd | None) -> tuple[float, float, float]:
    assert predicted is not None
    ends = (predicted.earliest, predicted.expected, predicted.latest)
    first, second, third = ((end - NOW).total_seconds() for end in ends)
    return first, second, third


def test_waiting_jobs_follow_the_running_ones() -> None:
    # One place is free after 200 seconds, and the plan's band is 240 to 450 for 300 seconds.
    found = predict_end([RUNNING, PENDING, PENDING], 1, NOW, Estimate(900.0, 720.0, 1_350.0))
    assert seconds_until(found) == (140 + 2 * 240, 200 + 2 * 300, 350 + 2 * 450)


def test_an_execution_whose_jobs_wait_for_a_quota_is_expected_to_keep_the_places_that_it_has() -> None:
    waiting = replace(PENDING, waits_for_instances=True)
    planned = Estimate(300.0, 300.0, 300.0)
    assert seconds_until(predict_end([RUNNING, PENDING, PENDING], 3, NOW, planned)) == (300.0, 300.0, 300.0)
    assert seconds_until(predict_end([RUNNING, waiting, PENDING], 3, NOW, planned)) == (300.0, 800.0, 800.0)
    # Nothing of it runs: it has to get one place at least.
    assert seconds_until(predict_end([waiting, PENDING], 3, NOW, planned)) == (300.0, 600.0, 600.0)


def test_jobs_that_took_twice_as_long_as_expected_double_the_rest() -> None:
    slow = [replace(SUCCEEDED, seconds=600.0)] * 5
    assert seconds_until(predict_end([*slow, PENDING], 10, NOW)) == (600.0, 600.0, 600.0)


def test_a_running_job_goes_on_at_its_own_pace() -> None:
    # Three quarters of the objects are committed after 40 minutes, although 20 minutes were expected.
    late = JobProgress(JobStatus.RUNNING, 1_200.0, 2_400.0, 0.75)
    _, expected, _ = seconds_until(predict_end([late], 1, NOW))
    assert expected == pytest.approx((2_400 - 240) / 3 * 0.75)


def test_without_any_estimate_jobs_that_ended_are_the_measure() -> None:
    unknown = [replace(job, expected_seconds=0.0) for job in (SUCCEEDED, PENDING)]
    assert seconds_until(predict_end(unknown, 1, NOW))[1] == 300.0
    assert predict_end(unknown[1:], 1, NOW) is None


def test_an_execution_without_open_jobs_ends_now() -> None:
    assert seconds_until(predict_end([SUCCEEDED], 1, NOW)) == (0.0, 0.0, 0.0)


@examples(quick=200, fuzz=5_000)
@given(jobs, st.integers(1, 20))
@example([replace(SUCCEEDED, expected_seconds=1.0, seconds=5.0), JobProgress(JobStatus.RUNNING, 3.0, 25.0)], 1)
def test_the_ends_are_in_order_and_never_past(found: list[JobProgress], places: int) -> None:
    earliest, expected, latest = seconds_until(predict_end(found, places, NOW))
    assert 0 <= earliest <= expected <= latest
    more_places = seconds_until(predict_end(found, places + 1, NOW))
    assert all(more <= few + 1e-6 for more, few in zip(more_places, (earliest, expected, latest), strict=True))


@examples(quick=200, fuzz=5_000)
@given(st.lists(seconds, max_size=8), st.lists(seconds, max_size=12), st.integers(1, 10))
def test_a_makespan_is_between_its_bounds(running: list[float], waiting: list[float], places: int) -> None:
    waiting = sorted(waiting, reverse=True)
    found = makespan(running, waiting, places)
    longest, total = max([*running, *waiting], default=0.0), sum(running) + sum(waiting)
    assert longest <= found + 1e-6
    assert total / max(places, len(running)) <= found + 1e-6
    assert found <= total + 1e-6


@pytest.mark.parametrize(
    ("minutes", "expected"), [(61, None), (59, Lateness.LIKELY), (29, Lateness.CERTAIN), (-1, Lateness.CERTAIN)]
)
def test_lateness_is_likely_by_the_expected_end_and_certain_by_the_earliest(
    minutes: int, expected: Lateness | None
) -> None:
    predicted = PredictedEnd(*(NOW + timedelta(minutes=each) for each in (30, 60, 90)))
    assert lateness_of(predicted, NOW + timedelta(minutes=minutes), NOW) is expected


def test_without_a_prediction_only_a_deadline_that_has_passed_is_missed() -> None:
    assert lateness_of(None, NOW + timedelta(seconds=1), NOW) is None
    assert lateness_of(None, NOW, NOW) is Lateness.CERTAIN
