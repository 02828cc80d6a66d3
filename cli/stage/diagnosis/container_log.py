"""What the container's log says about a failure: objects, rows, and the texts that stay in the log."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from cli.stage.diagnosis.attempt_logs import AttemptLogs, LogLine
from contract.json_text import JsonError, parse_json
from contract.status import ExecutionKind
from contract.table.records import AttemptRecord

_READ_LINES = 200
"""Largest number of lines that are read of each kind."""
_FAILED_OBJECTS = '{ $.event = "object_failed" }'
_DETAIL = "Detail: "
_DETAILS = f'"{_DETAIL}"'
_ROW = re.compile(r"\brow [\d,]+\b")


@dataclass(frozen=True)
class FailedObject:
    """An object that could not be scored, as the container's log says."""

    moment: datetime
    key: str
    model: str
    kind: str
    reason: str
    row: str = ""
    """The row that the reason names, such as `row 7`."""
    detail: str = ""
    """Value or text of the exception that only the log has. It may have data."""


def failed_object(logs: AttemptLogs, attempt: AttemptRecord, kind: ExecutionKind, message: str) -> FailedObject | None:
    """Return the failed object of an attempt that its message names, else the first one.

    None for an attempt whose log names no object. `message` is the container's exit message.
    """
    if kind is ExecutionKind.TRAINING:
        return None
    failed = list(islice(logs.read([attempt], kind, pattern=_FAILED_OBJECTS), _READ_LINES))
    found = [item for line in failed for item in _of_line(line)]
    if not found:
        return None
    details = list(islice(logs.read([attempt], kind, pattern=_DETAILS), _READ_LINES))
    chosen, line = next(((item, line) for item, line in found if item.reason in message), found[0])
    return _with_detail(chosen, line, details)


def _of_line(line: LogLine) -> Iterable[tuple[FailedObject, LogLine]]:
    try:
        event: Any = parse_json(line.message)
    except JsonError:
        return
    if not isinstance(event, Mapping) or not isinstance(event.get("failures"), Sequence):
        return
    for failure in event["failures"]:
        if isinstance(failure, Mapping):
            reason = str(failure.get("reason") or "")
            row = _ROW.search(reason)
            item = FailedObject(
                moment=line.moment,
                key=str(event.get("object") or ""),
                model=str(failure.get("model") or ""),
                kind=str(failure.get("kind") or ""),
                reason=reason,
                row=row[0] if row else "",
            )
            yield item, line


def _with_detail(item: FailedObject, line: LogLine, details: Sequence[LogLine]) -> FailedObject:
    """Return the object with the last detail that its instance wrote before, of the same row."""
    before = [
        detail
        for found in details
        if found.stream == line.stream and found.moment <= line.moment
        for detail in _details(found.message)
    ]
    of_row = [detail for detail in before if not item.row or _names(detail, item.row)]
    if not of_row:
        return item
    return FailedObject(**{**vars(item), "detail": of_row[-1].strip()})


def _details(message: str) -> list[str]:
    """Return the details in a line of the log: an event with a traceback or a text, or a text itself."""
    try:
        event: Any = parse_json(message)
    except JsonError:
        event = message
    if isinstance(event, Mapping):
        event = event.get("traceback") or event.get("text")
    lines = str(event).splitlines()
    return [line.partition(_DETAIL)[2] for line in lines if _DETAIL in line]


def _names(detail: str, row: str) -> bool:
    return re.search(rf"\b{re.escape(row)}\b", detail) is not None
