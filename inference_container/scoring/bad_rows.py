"""Rows that cannot be scored, with the reason and their values as JSON."""

import base64
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from contract.status import FailureKind
from scoring.outputs.value_texts import json_values

_MAX_REASON_CHARACTERS = 500
_MAX_VALUE_LENGTH = 10_000


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be scored.

    `row` counts all rows of the object from 0. `raw` is the row's values as JSON, or its text if it
    could not be parsed.
    """

    row: int
    kind: FailureKind
    """DATA: the row is unreadable or lacks what the model needs. MODEL: the model cannot score
    it."""
    reason: str
    """Why, without values of the data."""
    raw: str
    raised: bool = False
    """Whether predict raised an exception for this row."""
    detail: str = ""
    """The value or the exception's text, which may only be quarantined and logged."""
    remedy: str = ""
    """What to do; empty if the data or the model is to be corrected."""

    def __post_init__(self) -> None:
        for name in ("reason", "detail"):
            text = getattr(self, name)
            if len(text) > _MAX_REASON_CHARACTERS:
                object.__setattr__(self, name, text[:_MAX_REASON_CHARACTERS] + "…")

    @property
    def full_reason(self) -> str:
        """The reason with its detail, for the quarantine file."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def raw_values(batch: pa.RecordBatch, index: int, names: Iterable[str]) -> str:
    """Return one row's values in these columns as JSON; long values are cut and end in '…'."""
    return json_text({name: _value(batch, name, index) for name in names}, _MAX_VALUE_LENGTH)


def json_text(value: Any, max_length: int | None = None) -> str:
    """Return a value of `json_values` as JSON; texts, bytes and lists are cut to `max_length`."""
    return json.dumps(_to_json(value, max_length), ensure_ascii=False, default=_json_default)


def _value(batch: pa.RecordBatch, name: str, index: int) -> Any:
    cell = batch.column(name).slice(index, 1)
    try:
        return json_values(cell)[0]
    # Text that is not UTF-8 and dates beyond all texts have no value.
    except ValueError:
        return str(cell.view(pa.binary())[0]) if pa.types.is_string(cell.type) else "(unreadable)"


def _to_json(value: Any, max_length: int | None) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return json_float(value)
    if isinstance(value, (str, bytes)) and max_length is not None and len(value) > max_length:
        return value[:max_length] + "…" if isinstance(value, str) else value[:max_length]
    if isinstance(value, dict):
        return {str(name): _to_json(item, max_length) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item, max_length) for item in value[:max_length]]
    return value


def json_float(value: float) -> str:
    """Return the text for NaN or an infinity, which JSON lacks."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _json_default(value: Any) -> Any:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)
