"""How large the largest shard is."""

import random
from statistics import mean

import pytest

from contract.planner.algorithm.shards import Dataset


@pytest.mark.parametrize(("objects", "parts"), [(10, 7), (10, 5), (12, 9), (400, 7)])
def test_the_largest_part_is_about_known_before_objects_are_divided(objects: int, parts: int) -> None:
    """Ten objects in seven parts: two of them share a part, which has more than a seventh."""
    rng = random.Random(1)
    ratios = []
    for _ in range(20):
        dataset = Dataset([round(1e6 * rng.lognormvariate(0, 0.5)) for _ in range(objects)])
        if dataset.is_split(parts):
            ratios.append(max(dataset.divide(parts).sizes) / dataset.longest(parts))
    assert min(ratios, default=1) >= 1
    assert mean([1, *ratios]) < 1.1
