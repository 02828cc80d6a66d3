"""Hive partitions: parts of an object's key such as `carrier=UA/` that hold a value for all of its
rows."""

from collections.abc import Sequence
from urllib.parse import unquote

_NULL = "__HIVE_DEFAULT_PARTITION__"


def partition_values(key: str, names: Sequence[str]) -> dict[str, str | None]:
    """Return the values that a key has for these columns, URL-decoded.

    The value `__HIVE_DEFAULT_PARTITION__`, which Hive writes for null, becomes None.

    >>> partition_values("carrier=UA/day=2026-07-01/part-0.parquet", ["day"])
    {'day': '2026-07-01'}

    Raises:
        ValueError: if the key does not have each column exactly once.
    """
    found: dict[str, list[str]] = {}
    for part in key.split("/")[:-1]:
        name, mark, value = part.partition("=")
        if mark:
            found.setdefault(unquote(name), []).append(value)
    missing = [name for name in names if name not in found]
    if missing:
        parts = " and ".join(f"'{name}=…/'" for name in missing)
        raise ValueError(
            f"its key has no part {parts}, which partition_columns needs: move the object, or remove the "
            "name from the record's partition_columns"
        )
    twice = [name for name in names if len(found[name]) > 1]
    if twice:
        raise ValueError(f"its key has {', '.join(twice)} more than once, so its value is ambiguous")
    return {name: None if found[name][0] == _NULL else _decoded(name, found[name][0]) for name in names}


def _decoded(name: str, value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"its key has {name}={value}, which is not UTF-8 when decoded") from error
