"""Instances are shared in proportion, nobody starves, and no wait fills the history of an execution."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.pool.pool_records import JobKind, Lease, Pool
from contract.pool.quota_settings import CAPACITY_WAIT_LIMITS
from lambdas.admission.decisions import (
    LONGEST_WAIT_SECONDS,
    MAX_SHARES,
    Ask,
    Waited,
    acquire,
    leave,
    release,
    wait_seconds,
    why_given_up,
)
from tests.unit.fuzzing import examples

POOL = Pool(JobKind.PROCESSING, "ml.m5.large")


def lease(execution_id: str, instances: int = 1, job: int = 0) -> Lease:
    return Lease(
        f"{execution_id}-{job}", JobKind.PROCESSING, "ml.m5.large", instances, execution_id, f"job-{job}", 1, ""
    )


def ask(execution_id: str, priority: int = 5, instances: int = 1, at: int = 1_000, wait: int = 60) -> Ask:
    return Ask(lease(execution_id, instances), priority, at, wait)


class Scheduler:
    """Executions that always have another job, in one pool. Each step ends a job and lets all ask again."""

    def __init__(self, quota: int) -> None:
        self.pool, self.quota, self.at = POOL, quota, 1_000
        self.running: list[Lease] = []
        self.served: list[str] = []

    def all_ask(self, wanting: dict[str, tuple[int, int]]) -> None:
        for execution_id, (priority, instances) in wanting.items():
            admitted, self.pool = acquire(self.pool, ask(execution_id, priority, instances, self.at), self.quota)
            if admitted:
                self.running.append(lease(execution_id, instances))
                self.served.append(execution_id)
            assert self.pool.held == sum(item.instances for item in self.running) <= self.quota

    def end(self, index: int) -> None:
        self.at += 60
        if self.running:
            self.pool = release(self.pool, self.running.pop(index % len(self.running)))


@examples(quick=40, fuzz=1_000)
@given(
    quota=st.integers(1, 6),
    wanting=st.dictionaries(
        st.sampled_from("abcdefg"), st.tuples(st.integers(0, 9), st.integers(1, 6)), min_size=2, max_size=7
    ),
    seed=st.integers(0, 1 << 32),
)
def test_everybody_is_served_and_never_above_the_quota(
    quota: int, wanting: dict[str, tuple[int, int]], seed: int
) -> None:
    order = random.Random(seed)
    wanting = {name: (priority, min(instances, quota)) for name, (priority, instances) in wanting.items()}
    scheduler = Scheduler(quota)
    for _ in range(150):
        names = list(wanting)
        order.shuffle(names)
        scheduler.all_ask({name: wanting[name] for name in names})
        scheduler.end(order.randrange(6))
    # Even an execution of weight 1 among six of weight 10 has its turn within 61 grants.
    assert set(scheduler.served) == set(wanting)


@given(newcomers=st.integers(70, 120))
@settings(max_examples=10, deadline=None)
def test_a_stream_of_more_urgent_executions_starves_nobody(newcomers: int) -> None:
    scheduler = Scheduler(1)
    scheduler.all_ask({"first": (9, 1)})
    patient = {"patient": (0, 1)}
    scheduler.all_ask(patient)
    for number in range(newcomers):
        scheduler.end(0)
        scheduler.all_ask({f"urgent-{number}": (9, 1), f"urgent-{number + 1}": (9, 1), **patient})
        if "patient" in scheduler.served:
            return
    pytest.fail("never served")


def test_shares_follow_the_weights() -> None:
    """Priorities 9 and 4: ten shares to five, of 15 instances."""
    scheduler = Scheduler(15)
    for number in range(120):
        scheduler.all_ask({"a": (9, 1), "b": (4, 1)})
        if scheduler.pool.held == 15:
            scheduler.end(7 * number)
    scheduler.all_ask({"a": (9, 1), "b": (4, 1)})
    assert {name: share.held for name, share in scheduler.pool.shares.items()} == {"a": 10, "b": 5}


def test_on_one_instance_turns_follow_the_weights() -> None:
    scheduler = Scheduler(1)
    for _ in range(110):
        # Further jobs of both ask while the first one runs.
        for _ in range(2):
            scheduler.all_ask({"slow": (0, 1), "urgent": (9, 1)})
        scheduler.end(0)
    counts = Counter(scheduler.served)
    assert 8 <= counts["urgent"] / counts["slow"] <= 12


def test_the_execution_of_higher_priority_comes_first() -> None:
    _, pool = acquire(POOL, ask("running", 5), 1)
    _, pool = acquire(pool, ask("low", 0), 1)
    _, pool = acquire(pool, ask("high", 9), 1)
    pool = release(pool, lease("running"))
    admitted, pool = acquire(pool, ask("low", 0), 1)
    assert not admitted
    assert acquire(pool, ask("high", 9), 1)[0]


def test_a_stream_of_small_jobs_does_not_starve_a_job_of_many_instances() -> None:
    scheduler = Scheduler(3)
    for number in range(20):
        scheduler.all_ask({f"small-{number}": (5, 1), f"small-{number + 1}": (5, 1), "large": (5, 3)})
        if "large" in scheduler.served:
            return
        scheduler.end(0)
    pytest.fail("never served")


@pytest.mark.parametrize("ends", ["it asks no more", "its execution ends"])
def test_an_abandoned_place_blocks_nobody(ends: str) -> None:
    _, pool = acquire(POOL, ask("running"), 1)
    _, pool = acquire(pool, ask("dead", 9), 1)
    pool = release(pool, lease("running"))
    assert not acquire(pool, ask("other", 0), 1)[0]
    later = 1_000 + 60 + 151
    if ends == "its execution ends":
        pool, later = leave(pool, "dead"), 1_000
    assert acquire(pool, ask("other", 0, at=later), 1)[0]


def test_unknown_quotas_limit_nothing_but_are_counted() -> None:
    pool = POOL
    for number in range(50):
        admitted, pool = acquire(pool, ask(f"e-{number}"), None)
        assert admitted
    assert pool.held == 50


def test_polls_of_a_waiting_execution_change_nothing() -> None:
    """Otherwise hundreds of waiting jobs would write the pool's item all the time."""
    _, pool = acquire(POOL, ask("running"), 1)
    _, waiting = acquire(pool, ask("other", wait=60), 1)
    assert acquire(waiting, ask("other", at=1_050, wait=60), 1) == (False, waiting)


def test_the_item_of_a_pool_stays_small() -> None:
    _, pool = acquire(POOL, ask("running"), 1)
    for number in range(MAX_SHARES + 50):
        _, pool = acquire(pool, ask(f"e-{number}"), 1)
    assert len(pool.shares) == MAX_SHARES
    _, pool = acquire(pool, ask("late", at=1_000_000), 1)
    assert set(pool.shares) == {"running", "late"}, "abandoned places make room"


def test_waits_grow_with_the_time_waited() -> None:
    for waited, low, high in ((0, 5, 10), (600, 30, 60), (100_000, 150, 300)):
        waits = [wait_seconds(waited, f"job-{number}") for number in range(200)]
        assert low <= min(waits) <= max(waits) <= high
        assert len(set(waits)) > 3, "jobs that began together do not ask together"
    assert wait_seconds(70, "job") == wait_seconds(70, "job")


@pytest.mark.parametrize("refused", [False, True])
def test_the_longest_wait_fits_into_the_history_of_an_execution(refused: bool) -> None:
    # Events of one round, with a margin for retries of its function.
    events_per_round, rounds, waited = (25 if refused else 11), 0, 0
    while waited < LONGEST_WAIT_SECONDS:
        waited += wait_seconds(waited, "any job", refused=refused)
        rounds += 1
    assert rounds * events_per_round < 24_000
    assert CAPACITY_WAIT_LIMITS[1] <= LONGEST_WAIT_SECONDS


def test_a_job_gives_up_after_the_time_of_the_setting_or_at_the_deadline() -> None:
    waits = Waited(now=3_600, in_all=7_200)
    assert why_given_up(waits, 3_600, deadline_passed=False) == ""
    assert "deadline" in why_given_up(waits, 3_600, deadline_passed=True)
    assert "capacity_wait_seconds is 3,599" in why_given_up(waits, 3_599, deadline_passed=False)
    assert "five days" in why_given_up(replace(waits, in_all=432_001), 3_600, deadline_passed=False)
