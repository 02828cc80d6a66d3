"""Compatibility of features with columns of objects.

The plan and the container share the rule. Types are named as pyarrow prints them.
"""

import re
from collections.abc import Collection, Iterable

from contract.dataset.feature_types import FeatureType, feature_type

_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS = frozenset({"halffloat", "float", "double"})
_TEXT = frozenset({"string", "large_string", "string_view"})
_BINARY = frozenset({"binary", "large_binary", "binary_view"})
_DATES = frozenset({"date32[day]", "date64[ms]"})
_UTC = frozenset({"UTC", "Etc/UTC", "GMT", "Z", "Zulu", "Etc/UCT", "UCT", "Universal", "+00:00", "-00:00", "+00"})
_LIST = re.compile(r"(?:fixed_size_list|(?:large_)?list(?:_view)?)<(?:[^<>]*: )?([^<>]+?)(?: not null)?>(?:\[\d+\])?")


def is_readable_as(declared: str, found: str) -> bool:
    """Tell whether a feature of the declared type can be read from a column of another type.

    Single values may still not fit, such as 1.5 for an integer. Their rows are bad.

    >>> is_readable_as("int32", "double"), is_readable_as("float", "double"), is_readable_as("string", "binary")
    (True, False, True)
    """
    if found in (declared, "null"):
        return True
    wanted = feature_type(declared)
    if wanted.kind == "list":
        match = _LIST.fullmatch(found)
        return match is not None and (match[1] == "double" or _holds_numbers(wanted.item, match[1]))
    if wanted.kind != "scalar":
        return _holds_times(wanted, found)
    if declared == "string":
        return found in _TEXT or found in _BINARY or found.startswith("fixed_size_binary")
    return declared != "bool" and _holds_numbers(declared, found)


def zone_problem(declared: str, found: str) -> str:
    """Return why a time cannot be read because of its zone, and what to do; "" for other reasons.

    The text follows the declared type in a message.
    """
    wanted = feature_type(declared)
    if wanted.kind not in ("date", "timestamp") or _holds_times(wanted, found):
        return ""
    if found in _DATES or found.startswith("timestamp["):
        if _zone_of(found):
            return "which has no time zone: name the column's zone in the record, or write the column without one"
        return "which has a time zone, and so the column's instants are unknown: write it with a zone, or declare none"
    return ""


def is_utc(zone: str) -> bool:
    """Return whether a time zone is UTC, in which a time without a zone is read."""
    return zone in _UTC


def _holds_numbers(declared: str, found: str) -> bool:
    if found in _INTEGERS or found == "bool" or found.startswith("decimal"):
        return True
    if declared in _INTEGERS:
        return found in _FLOATS
    # Almost every double changes when it becomes a float.
    return found in ("halffloat", "float") or found == declared


def _holds_times(wanted: FeatureType, found: str) -> bool:
    if found not in _DATES and not found.startswith("timestamp["):
        return False
    zone = _zone_of(found)
    return bool(wanted.zone) if zone else not wanted.zone or is_utc(wanted.zone)


def _zone_of(found: str) -> str:
    return found.partition("tz=")[2].removesuffix("]")


def similar_name(name: str, names: Iterable[str]) -> str:
    """Return the first of some names that differs only in case or in blanks around it; else empty.

    >>> similar_name("age", ["id", " Age"]), similar_name("age", ["id"])
    (' Age', '')
    """
    wanted = name.strip().casefold()
    return next((other for other in names if other.strip().casefold() == wanted and other != name), "")


def may_be_absent(name: str, nullable: bool, found: Collection[str], features: Iterable[str]) -> bool:
    """Tell whether JSON Lines may lack a feature, which is null then.

    Spark leaves out nulls, so that an object may lack a feature. If the object has none of the
    model's features or a similar name, the name is probably a mistake.

    >>> may_be_absent("b", True, ["a"], ["a", "b"]), may_be_absent("b", True, ["a", "B"], ["a", "b"])
    (True, False)
    """
    return nullable and not similar_name(name, found) and any(feature in found for feature in features)
