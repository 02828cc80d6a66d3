"""How many objects at the beginning of the queue are scored together."""

import pytest

from contract.job.scoring_spec import PinnedObject
from scoring.fleets.setup import batches_for_members
from scoring.supervision.packing import GroupPacking

MB = 1 << 20


def _queue(size: int, count: int = 40) -> list[PinnedObject]:
    return [PinnedObject(f"{index}.parquet", size, "etag") for index in range(count)]


@pytest.mark.parametrize(
    ("members", "size", "expected"),
    [(1, MB // 4, 5), (1, MB, 5), (1, 3 * MB, 1), (1_000, 3 * MB, 5), (1_000, 40 * MB, 5), (1_000, 80 * MB, 1)],
)
def test_a_fleet_of_many_models_gets_larger_objects_together(members: int, size: int, expected: int) -> None:
    packing = GroupPacking(1, batches_for_members(members))
    assert packing.next_group(_queue(size), cores=4) == expected


def test_a_group_is_a_part_of_the_remaining_work() -> None:
    assert GroupPacking(1, 16).next_group(_queue(MB, count=8), cores=2) == 2


def test_a_group_of_large_objects_ends_at_its_bytes() -> None:
    assert GroupPacking(1, 16).next_group(_queue(60 * MB, count=100), cores=2) == 4
