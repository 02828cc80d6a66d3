"""Timestamps of RFC 3339, the only ones that Step Functions accepts."""

import re
from datetime import datetime
from typing import Any

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def moment(value: Any) -> datetime | None:
    """Return the time of an RFC 3339 timestamp; None for everything else.

    >>> moment("2026-01-02T03:04:05Z").isoformat()
    '2026-01-02T03:04:05+00:00'
    >>> moment("2026-01-02 03:04:05Z")
    """
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
