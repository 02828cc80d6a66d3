"""Names of time zones that EventBridge Scheduler takes, and hints for those that it refuses."""

import difflib
import functools
import zoneinfo

from contract.problems import Problem

_NO_ZONES = frozenset({"Factory", "localtime", "posixrules"})
"""Files of a time zone database that are no zones. `localtime` is whatever zone the computer has."""
_ABBREVIATIONS = {
    "EST": "America/Panama",
    "HST": "Pacific/Honolulu",
    "MST": "America/Phoenix",
    "ROC": "Asia/Taipei",
    "GMT+0": "UTC",
    "GMT-0": "UTC",
}
"""Names that Java's list of zones lacks, so that AWS may refuse them, each with a zone of the same times."""
_VARIANTS = ("posix/", "right/")
"""Folders of copies of the database; those in `right/` count leap seconds."""


@functools.cache
def known_zones() -> frozenset[str]:
    """Return the names of the IANA database that name a zone, older names such as US/Eastern included."""
    return frozenset(zoneinfo.available_timezones() - _NO_ZONES - _ABBREVIATIONS.keys())


def is_known(name: str) -> bool:
    """Return whether a name is one of the database, letter by letter.

    The files of a computer's database may have more names, and may be found by others: some file systems ignore
    case.

    >>> is_known("Europe/Berlin"), is_known("europe/berlin"), is_known("localtime")
    (True, False, False)
    """
    return name in known_zones()


def check_time_zone(field: str, name: str) -> list[Problem]:
    """Check that a name is one of the database."""
    if is_known(name):
        return []
    return [Problem(field, name, "a time zone of the IANA database, such as 'Europe/Berlin' or 'UTC'", hint_for(name))]


def hint_for(name: str) -> str:
    """Return what to write instead of a name that is not known, as a sentence; empty without an idea.

    >>> hint_for("right/Europe/Berlin"), hint_for("europe/berlin"), hint_for("HST")
    ("Write 'Europe/Berlin'.", "Write 'Europe/Berlin'.", "Write 'Pacific/Honolulu'.")
    """
    if name.lower() == "localtime":
        return "It is another zone on each computer: name the zone itself."
    plain = name
    for prefix in _VARIANTS:
        plain = plain.removeprefix(prefix)
    if plain in _ABBREVIATIONS:
        return f"Write {_ABBREVIATIONS[plain]!r}."
    by_letters = {zone.lower(): zone for zone in known_zones()}
    wanted = plain.strip().lower().replace(" ", "_")
    found = by_letters.get(wanted)
    if found is None:
        cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known_zones(), reverse=True)}
        found = cities.get(wanted) or next(
            (by_letters[close] for close in difflib.get_close_matches(wanted, by_letters, 1, 0.8)), None
        )
        return f"Is it {found!r}?" if found else ""
    return f"Write {found!r}."
