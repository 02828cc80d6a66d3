"""The rows that make a function fail are found, whatever the others are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.columns.bisection import bisect_failures
from scoring.errors import DataError


@given(st.integers(1, 200), st.sets(st.integers(0, 199)))
def test_exactly_the_failing_rows_are_found(rows: int, bad: set[int]) -> None:
    def function(start: int, stop: int) -> list[int]:
        if failing := sorted(bad & set(range(start, stop))):
            raise ValueError(failing[0])
        return list(range(start, stop))

    found = bisect_failures(rows, function, max_failures=rows)

    assert set(found.failures) == {row for row in bad if row < rows}
    assert [row for _, values in found.results for row in values] == [row for row in range(rows) if row not in bad]
    assert all(values[0] == start for start, values in found.results)


def test_search_stops_after_the_tolerated_failures() -> None:
    calls = []

    def function(start: int, stop: int) -> None:
        calls.append((start, stop))
        raise ValueError

    assert len(bisect_failures(1_024, function, max_failures=2).failures) == 3
    assert len(calls) <= 2 * 3 * 10


@pytest.mark.parametrize("error", [DataError("about the object"), MemoryError()])
def test_errors_that_are_not_about_rows_are_raised(error: Exception) -> None:
    def function(start: int, stop: int) -> None:
        raise error

    with pytest.raises(type(error)):
        bisect_failures(200, function, max_failures=200)


def test_memory_errors_of_large_ranges_are_split() -> None:
    def function(start: int, stop: int) -> int:
        if stop - start > 300:
            raise MemoryError
        return stop - start

    found = bisect_failures(1_000, function, max_failures=0)
    assert sum(count for _, count in found.results) == 1_000
    assert found.failures == {}
