import zoneinfo

import pytest

from contract.triggers.time_zones import hint_for, is_known


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "US/Eastern", "Etc/GMT+1", "America/Argentina/Ushuaia"])
def test_zones_of_the_database_and_their_older_names_are_known(name: str) -> None:
    assert is_known(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("localtime", "It is another zone on each computer: name the zone itself."),
        ("posix/Europe/Berlin", "Write 'Europe/Berlin'."),
        ("right/UTC", "Write 'UTC'."),
        ("europe/berlin", "Write 'Europe/Berlin'."),
        ("America/New York", "Write 'America/New_York'."),
        ("EST", "Write 'America/Panama'."),
        ("Tokyo", "Is it 'Asia/Tokyo'?"),
        ("Europe/Berln", "Is it 'Europe/Berlin'?"),
        ("Factory", ""),
        ("Mars/Olympus", ""),
        ("../../etc/passwd", ""),
        ("", ""),
    ],
)
def test_other_names_are_not_known_and_hint_at_the_right_one(name: str, hint: str) -> None:
    assert not is_known(name)
    assert hint_for(name) == hint


def test_each_hint_is_a_known_zone_with_the_same_times() -> None:
    for name in ("EST", "MST", "HST", "ROC"):
        found = hint_for(name).split("'")[1]
        assert is_known(found)
        assert name not in zoneinfo.available_timezones() or zoneinfo.ZoneInfo(name) is not None
