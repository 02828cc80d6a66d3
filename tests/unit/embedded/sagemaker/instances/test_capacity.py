"""Who gets a place when."""

import pytest

from embedded.sagemaker.instances.capacity import Capacity


def test_jobs_start_in_the_order_in_which_they_came_and_none_overtakes() -> None:
    started: list[str] = []
    capacity = Capacity(2)
    for name, instances in (("one", 1), ("wide", 2), ("late", 1)):
        capacity.submit(instances, lambda name=name: started.append(name))  # type: ignore[misc]
    assert started == ["one"]
    capacity.release(1)
    assert started == ["one", "wide"]
    capacity.release(2)
    assert started == ["one", "wide", "late"]


def test_a_job_wider_than_the_machine_gets_all_places() -> None:
    started: list[str] = []
    capacity = Capacity(2)
    capacity.submit(5, lambda: started.append("wide"))
    capacity.submit(1, lambda: started.append("next"))
    assert started == ["wide"]
    capacity.release(5)
    assert started == ["wide", "next"]


def test_a_withdrawn_job_never_starts_and_frees_the_way() -> None:
    started: list[str] = []
    capacity = Capacity(2)
    capacity.submit(1, lambda: started.append("one"))
    withdraw = capacity.submit(2, lambda: started.append("wide"))
    capacity.submit(1, lambda: started.append("late"))
    assert withdraw()
    assert started == ["one", "late"]
    assert not withdraw()


def test_there_must_be_a_place() -> None:
    with pytest.raises(ValueError, match="max_running_instances: 0 is too few"):
        Capacity(0)
