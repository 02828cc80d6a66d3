"""The types that a feature may have, and their grammar.

A type is written as pyarrow prints it, such as `double` or `timestamp[us, tz=Europe/Berlin]`. Lists
of a fixed length are `list<float>[768]`.
"""

import functools
import re
from dataclasses import dataclass
from typing import Literal

ARROW_TYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "string"}
)
"""Arrow types of single values other than times, as `str(pyarrow.DataType)` prints them."""

FEATURE_TYPES_TEXT = (
    ", ".join(sorted(ARROW_TYPES)) + ", date32[day], timestamp[s|ms|us|ns], timestamp[unit, tz=Zone], "
    "list<float>[n], list<double>[n]"
)
"""All types of features, for messages and for the reference."""

MAX_LIST_LENGTH = 65_536
"""Most values that a list may have."""

Unit = Literal["s", "ms", "us", "ns"]

_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=([A-Za-z0-9_+\-/:]{1,64}))?\]")
_LIST = re.compile(r"list<(float|double)>\[([1-9][0-9]{0,8})\]")
_ITEM = re.compile(r",(?![ ]*tz=[^\[\],]*\]|[ ]*[0-9]+[ ]*\))")
"""Matches a comma between features, but not inside a type."""
_FEATURE = re.compile(r"(?P<name>[^:]+):(?P<type>[^:\[]+(?:\[[^\[\]]*\])?)(?::(?P<mark>.*))?", re.DOTALL)
_INSTEAD = {
    **dict.fromkeys(("float64", "real", "number", "double precision"), "double"),
    **dict.fromkeys(("float32", "float16", "halffloat"), "float"),
    **dict.fromkeys(("int", "integer"), "int32, or int64"),
    **dict.fromkeys(("bigint", "long"), "int64"),
    **dict.fromkeys(("str", "text", "varchar", "char", "object", "category", "large_string", "utf8"), "string"),
    **dict.fromkeys(("boolean",), "bool"),
    **dict.fromkeys(("date", "date32"), "date32[day]"),
    **dict.fromkeys(("datetime", "timestamp", "datetime64[ns]"), "timestamp[us], or another unit"),
}
"""Types to use, by names of pandas, SQL and Spark."""
_ZONE_BLANKS = re.compile(r",[ ]*tz=")


@dataclass(frozen=True)
class FeatureType:
    """A parsed type of a feature."""

    name: str
    kind: Literal["scalar", "date", "timestamp", "list"]
    unit: Unit = "s"
    """Unit of a timestamp."""
    zone: str = ""
    """Time zone of a timestamp; empty if it has none."""
    item: str = ""
    """Type of a list's values: float or double."""
    length: int = 1
    """Number of values: 1, or a list's length."""


@functools.lru_cache(maxsize=4_096)
def parse_feature_type(name: str) -> FeatureType | None:
    """Return the parsed type; None if features cannot have it.

    >>> parse_feature_type("list<float>[768]").length, parse_feature_type("decimal128(9, 2)")
    (768, None)
    """
    if name in ARROW_TYPES:
        return FeatureType(name, "scalar")
    if name == "date32[day]":
        return FeatureType(name, "date")
    if match := _TIMESTAMP.fullmatch(name):
        unit: Unit = match[1]  # type: ignore[assignment]
        return FeatureType(name, "timestamp", unit=unit, zone=match[2] or "")
    if (match := _LIST.fullmatch(name)) and int(match[2]) <= MAX_LIST_LENGTH:
        return FeatureType(name, "list", item=match[1], length=int(match[2]))
    return None


def suggested_type(name: str) -> str:
    """Return which type to use for one that features cannot have, in a sentence; empty if unknown.

    >>> suggested_type("decimal(18,4)"), suggested_type("decimal128(9, 0)"), suggested_type("large_string")
    ('Use double: decimals are read as the nearest number.', 'Use int64, or double.', 'Use string.')
    """
    text = name.strip().lower()
    if re.match(r"(decimal|numeric)\d{0,3}\b", text):
        is_whole = re.search(r",\s*0\s*\)$", text) is not None
        return "Use int64, or double." if is_whole else "Use double: decimals are read as the nearest number."
    used = _INSTEAD.get(text.partition("(")[0])
    return f"Use {used}." if used else ""


def feature_type(name: str) -> FeatureType:
    """Return the parsed type of a feature, which its record has checked."""
    found = parse_feature_type(name)
    if found is None:
        raise ValueError(f"{name!r} is no type of a feature, expected one of {FEATURE_TYPES_TEXT}")
    return found


def split_features(text: str) -> list[str]:
    """Split `name:type,...` into its items.

    >>> split_features("t:timestamp[us, tz=UTC]:required,x:double")
    ['t:timestamp[us, tz=UTC]:required', 'x:double']
    """
    return [item.strip() for item in _ITEM.split(text)]


def parse_feature(item: str) -> tuple[str, str, str] | None:
    """Return name, type and mark of `name:type` or `name:type:mark`; None for anything else.

    The type is not checked. Blanks before a time zone do not matter.

    >>> parse_feature("t:timestamp[us,tz=+05:30]:required")
    ('t', 'timestamp[us, tz=+05:30]', 'required')
    """
    match = _FEATURE.fullmatch(item)
    if match is None:
        return None
    return match["name"], _ZONE_BLANKS.sub(", tz=", match["type"]), match["mark"] or ""
