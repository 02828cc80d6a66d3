"""The clock follows what any process sets."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from embedded.scheduler.clock import EmbeddedClock

DAY = timedelta(days=1)


def offset(clock: EmbeddedClock) -> timedelta:
    return timedelta(minutes=round((clock.now() - datetime.now(UTC)) / timedelta(minutes=1)))


def test_a_clock_follows_the_clock_of_another_process(tmp_path: Path) -> None:
    ours, theirs = EmbeddedClock(tmp_path), EmbeddedClock(tmp_path)
    assert offset(ours) == timedelta()
    for days in (1, 2, 1):
        theirs.set(datetime.now(UTC) + days * DAY)
        assert [offset(ours), offset(ours)] == [days * DAY] * 2
    (tmp_path / "clock.json").unlink()
    assert offset(ours) == timedelta()


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        EmbeddedClock(tmp_path).set(datetime(2026, 1, 2))  # noqa: DTZ001 - refused
