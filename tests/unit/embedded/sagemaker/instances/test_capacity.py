"""Slots for instances, in order of arrival."""

import pytest

from embedded.sagemaker.instances.capacity import Capacity


def test_jobs_start_in_order_of_arrival() -> None:
    started: list[str] = []
    capacity = Capacity(2)
    for name, instances in (("one", 1), ("wide", 2), ("late", 1)):
        capacity.submit(instances, lambda name=name: started.append(name))  # type: ignore[misc]
    assert started == ["one"]
    capacity.release(1)
    assert started == ["one", "wide"]
    capacity.release(2)
    assert started == ["one", "wide", "late"]


def test_a_job_with_more_instances_than_slots_gets_all_slots() -> None:
    started: list[str] = []
    capacity = Capacity(2)
    capacity.submit(5, lambda: started.append("wide"))
    capacity.submit(1, lambda: started.append("next"))
    assert started == ["wide"]
    capacity.release(5)
    assert started == ["wide", "next"]


def test_a_withdrawn_job_does_not_block_others() -> None:
    started: list[str] = []
    capacity = Capacity(2)
    capacity.submit(1, lambda: started.append("one"))
    withdraw = capacity.submit(2, lambda: started.append("wide"))
    capacity.submit(1, lambda: started.append("late"))
    assert withdraw()
    assert started == ["one", "late"]
    assert not withdraw()


def test_there_must_be_a_slot() -> None:
    with pytest.raises(ValueError, match="max_running_instances: 0 is too few"):
        Capacity(0)
