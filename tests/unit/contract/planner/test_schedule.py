"""List scheduling under quotas, places and the pace of the API."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.planner.algorithm.schedule import Item, schedule

QUOTAS = {"a": 3, "b": 1}
ITEMS = st.lists(
    st.one_of(
        st.builds(Item, st.just("a"), st.integers(1, 3), st.integers(0, 50)),
        st.builds(Item, st.just("b"), st.just(1), st.integers(0, 50)),
        st.builds(Item, st.just("c"), st.integers(1, 9), st.integers(0, 50)),
    ),
    max_size=30,
)


@given(ITEMS, st.integers(1, 5))
def test_quotas_places_and_pace_are_kept_at_every_moment(items: list[Item], places: int) -> None:
    found = schedule(items, max_concurrency=places, quotas=QUOTAS, starts_per_second=0.5)
    runs = [(start, start + item.seconds, item) for start, item in zip(found.starts, items, strict=True)]
    for now in found.starts:
        running = [item for start, end, item in runs if start <= now < end]
        assert len(running) <= places
        for name, quota in QUOTAS.items():
            assert sum(item.instances for item in running if item.instance_type == name) <= quota
    starts = sorted(found.starts)
    assert all(later - earlier >= 2 for earlier, later in pairwise(starts))
    assert found.makespan == max((end for _, end, _ in runs), default=0)
    assert all(found.peaks[name] <= quota for name, quota in QUOTAS.items() if name in found.peaks)


def test_items_start_as_soon_as_an_instance_is_free() -> None:
    items = [Item("b", 1, 10), Item("b", 1, 5), Item("a", 1, 20)]
    found = schedule(items, max_concurrency=9, quotas=QUOTAS, starts_per_second=1_000)
    assert [round(start) for start in found.starts] == [0, 10, 0]
    assert round(found.makespan) == 20


def test_an_item_above_its_quota_is_refused() -> None:
    with pytest.raises(ValueError, match="quota"):
        schedule([Item("b", 2, 1)], max_concurrency=9, quotas=QUOTAS, starts_per_second=1)
