"""Rows that cannot be scored: why, and what stood there."""

import base64
import datetime as dt
import decimal
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from contract.status import FailureKind

_LONGEST_REASON = 500
_LONGEST_VALUE = 10_000


@dataclass(frozen=True)
class BadRow:
    """`row` counts all rows of the object from 0; `raw` is JSON text or, for a row that could not be read, its text."""

    row: int
    kind: FailureKind
    """DATA: the row cannot be read or lacks what the model needs; MODEL: the model cannot score it."""
    reason: str
    raw: str
    raised: bool = False
    """Predict raised on it."""

    def __post_init__(self) -> None:
        if len(self.reason) > _LONGEST_REASON:
            object.__setattr__(self, "reason", self.reason[:_LONGEST_REASON] + "…")


def raw_values(batch: pa.RecordBatch, index: int, names: Iterable[str]) -> str:
    """These columns of one row as JSON text; a value that is very long is cut and ends in '…'."""
    return json_text({name: _value(batch, name, index) for name in names}, _LONGEST_VALUE)


def json_text(value: Any, longest: int | None = None) -> str:
    """Any column's value as JSON; texts, bytes and lists that are longer than `longest` are cut."""
    return json.dumps(_shown(value, longest), ensure_ascii=False, default=_plain)


def _value(batch: pa.RecordBatch, name: str, index: int) -> Any:
    column = batch.column(name)
    try:
        return column[index].as_py()
    # Dates beyond Python's and text that is no UTF-8 have no Python value.
    except (ValueError, OverflowError):
        return str(column.slice(index, 1).view(pa.binary())[0]) if pa.types.is_string(column.type) else "(unreadable)"


def _shown(value: Any, longest: int | None) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return json_float(value)
    if isinstance(value, (str, bytes)) and longest is not None and len(value) > longest:
        return value[:longest] + "…" if isinstance(value, str) else value[:longest]
    if isinstance(value, dict):
        return {str(name): _shown(item, longest) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item, longest) for item in value[:longest]]
    return value


def json_float(value: float) -> str:
    """What stands for the numbers that JSON lacks."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _plain(value: Any) -> Any:
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (decimal.Decimal, dt.timedelta)):
        return str(value)
    return repr(value)
