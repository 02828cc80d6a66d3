"""The planner's goals, in simulated executions with few seeds. `benchmarks.planning.simulation` has more."""

import random

import pytest

from benchmarks.planning.simulation.bounds import cost_bound, time_bound
from benchmarks.planning.simulation.compare import compare
from benchmarks.planning.simulation.execution import Item, Noise, packed_items, simulate
from benchmarks.planning.simulation.reference import safe_time_bound
from benchmarks.planning.simulation.scenarios import STARTUP_SECONDS, Scenario, many_datasets, skewed, small_models

CERTAIN = Noise(startup=0, work=0, slow_share=0, failure_share=0, starts_per_second=1e9)


def test_ten_thousand_small_models_cost_little_more_than_the_bound() -> None:
    found = compare(small_models(10_000), seeds=1, deadlines=[])
    assert found.way("planner").cost_to_bound <= 1.15
    assert found.way("planner").cost <= found.way("1 per job").cost / 5


def test_the_planner_is_never_much_more_expensive_than_fixed_packing() -> None:
    for scenario in (small_models(100), skewed(100), many_datasets(100)):
        found = compare(scenario, seeds=20, deadlines=[])
        assert found.way("planner").cost <= 1.05 * min(way.cost for way in found.ways)


def test_deadlines_that_leave_room_are_met() -> None:
    for scenario in (small_models(100), skewed(100), many_datasets(100)):
        [found] = compare(scenario, seeds=4, deadlines=[2.0]).deadlines
        assert found.met == found.executions


@pytest.mark.parametrize("scenario", [small_models(100), skewed(100), many_datasets(100)])
def test_deadlines_at_the_bound_are_met(scenario: Scenario) -> None:
    [found] = compare(scenario, seeds=4, deadlines=[1.0]).deadlines
    assert found.executions == 40
    assert found.met >= 39


def test_the_earliest_safe_end_leaves_room_for_a_failure() -> None:
    for scenario in (small_models(100), skewed(100), many_datasets(100)):
        draw = scenario.draw(1)
        certain, usual = safe_time_bound(draw, CERTAIN), safe_time_bound(draw, Noise())
        assert time_bound(draw) <= certain < 1.5 * time_bound(draw)
        assert certain + STARTUP_SECONDS < usual < 3.5 * certain


def test_the_earliest_safe_end_knows_that_a_job_has_one_dataset() -> None:
    """A second instance halves the time of two datasets."""
    one, two = (Scenario("few", 2, 2, 20_000_000_000, datasets=2, quotas={"ml.m5.xlarge": count}) for count in (1, 2))
    ends = [safe_time_bound(scenario.draw(1), CERTAIN) for scenario in (one, two)]
    assert 1.8 < ends[0] / ends[1] < 2.2


def test_no_execution_beats_the_bounds() -> None:
    draw = skewed(50).draw(3)
    for size in (1, 10, 50):
        items = packed_items(draw, size)
        found = simulate(items, max_concurrency=100, quotas=draw.scenario.quotas, noise=CERTAIN, rng=random.Random(1))
        assert found.cost >= cost_bound(draw) * 0.999
        assert found.makespan >= time_bound(draw)


def test_a_failed_attempt_is_repeated_and_paid() -> None:
    items = [Item("ml.m5.xlarge", 1, 100.0)]
    always = Noise(startup=0, work=0, slow_share=0, failure_share=1, attempts=3, retry_wait=30)
    failed = simulate(items, max_concurrency=1, quotas={"ml.m5.xlarge": 1}, noise=always, rng=random.Random(1))
    assert (failed.attempts, failed.failed_jobs) == (3, 1)
    assert failed.makespan > 3 * 240 + 2 * 30


def test_quotas_and_places_make_jobs_wait() -> None:
    items = [Item("ml.m5.xlarge", 1, 60.0)] * 4
    ends = [
        simulate(items, max_concurrency=places, quotas={"ml.m5.xlarge": quota}, noise=CERTAIN, rng=random.Random(1))
        for places, quota in ((4, 4), (4, 2), (1, 4))
    ]
    assert [round(end.makespan) for end in ends] == [300, 600, 1_200]
