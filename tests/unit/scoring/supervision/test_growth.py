"""The number of workers that a shard gets."""

from types import SimpleNamespace

import pytest

from scoring.supervision import growth
from scoring.supervision.growth import GrowthRule

MIB = 1 << 20


@pytest.mark.parametrize(
    ("cores", "fixed", "shard_mib", "open_tasks", "threads_help", "workers"),
    [
        (8, None, 1, 100, True, 1),
        (8, None, 200, 100, True, 4),
        (8, None, 10_000, 100, True, 4),
        (8, None, 10_000, 100, False, 8),
        (8, None, 10_000, 2, True, 2),
        (8, 3, 1, 100, True, 3),
    ],
)
def test_initial_workers_follow_data_cores_and_tasks(  # noqa: PLR0917
    cores: int, fixed: int | None, shard_mib: int, open_tasks: int, threads_help: bool, workers: int
) -> None:
    rule = GrowthRule(cores, fixed)
    rule.record_ready(1.0, threads_help=threads_help)
    rule.plan(shard_mib * MIB)
    assert rule.initial_workers(open_tasks) == workers


def test_workers_never_exceed_what_fitted_in_memory() -> None:
    rule = GrowthRule(8, None)
    rule.limit_alive(2)
    assert rule.max_workers(100) == 2


def test_workers_grow_when_the_rest_takes_longer_than_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(growth, "time", SimpleNamespace(monotonic=lambda: clock.now))
    rule = GrowthRule(4, None)
    rule.record_ready(2.0, threads_help=True)
    assert not rule.should_grow(10)  # nothing dispatched yet
    rule.record_dispatch()
    clock.now += 1.9
    assert not rule.should_grow(10)
    clock.now += 0.2
    assert rule.should_grow(10)  # nothing is done yet, so the rest may take forever
    rule.bytes_done = 10
    assert not rule.should_grow(10)  # 2.1 s left
    assert rule.should_grow(20)  # 4.2 s left
