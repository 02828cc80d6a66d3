"""FilterLogEvents: one page of the matching events of a log group's streams."""

import base64
import hashlib
import heapq
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from embedded.cloudwatch.filter_patterns import FilterPatternError, compile_pattern

Event = dict[str, Any]
Request = Mapping[str, Any]

MAX_EVENTS = 10_000
"""Largest number of events read per page. As on AWS, a page may therefore be empty."""
_MAX_PAGE_BYTES = 1 << 20
_EVENT_BYTES = 26
"""Bytes that CloudWatch Logs adds to the size of each event."""
_DESCENDING_SINCE = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
_SUPPORTED = {
    "logGroupName", "logGroupIdentifier", "logStreamNames", "logStreamNamePrefix", "startTime", "endTime",
    "filterPattern", "nextToken", "limit", "startFromHead", "interleaved",
}  # fmt: skip
_PER_PAGE = {"nextToken", "limit", "startFromHead", "interleaved"}
"""Parameters that may differ between the pages of one search."""


class InvalidSearchError(ValueError):
    """FilterLogEvents refuses the request, as InvalidParameterException."""


class MissingStreamError(LookupError):
    """A named log stream does not exist."""


@dataclass(frozen=True)
class _Position:
    """The last event of a page."""

    timestamp: int
    event_id: str


def filter_log_events(
    request: Request, streams: Mapping[str, Sequence[Event]], event_id: Callable[[Event], str]
) -> dict[str, Any]:
    """Return the response to a request.

    Args:
        streams: The events of each stream of the group, in chronological order.
        event_id: Returns an event's id, which never changes.

    Raises:
        InvalidSearchError: The request is invalid, or not supported here.
        MissingStreamError: A named stream does not exist.
    """
    limit = _checked(request)
    try:
        matches = compile_pattern(request.get("filterPattern", ""))
    except FilterPatternError as failure:
        raise InvalidSearchError(f"Invalid filter pattern: {failure}") from failure
    after, ascending = _start(request)
    chosen = _chosen_streams(request, streams)
    found: list[dict[str, Any]] = []
    size = 0
    last: tuple[Event, str] | None = None
    has_more = False
    in_order = _after(_merged(chosen, request, after, ascending=ascending), after, event_id, ascending)
    for read, (stream, event) in enumerate(in_order):
        message = event["message"]
        bytes_of_event = len(message.encode()) + _EVENT_BYTES
        if len(found) == limit or read == MAX_EVENTS or (found and size + bytes_of_event > _MAX_PAGE_BYTES):
            has_more = True
            break
        last = event, stream
        if matches(message):
            size += bytes_of_event
            found.append(
                {
                    "logStreamName": stream,
                    "timestamp": event["timestamp"],
                    "message": message,
                    "ingestionTime": event["ingestionTime"],
                    "eventId": event_id(event),
                }
            )
    answer: dict[str, Any] = {"events": found, "searchedLogStreams": []}
    if has_more and last is not None:
        answer["nextToken"] = _token(request, _Position(last[0]["timestamp"], event_id(last[0])), ascending=ascending)
    return answer


def _checked(request: Request) -> int:
    """Check the request's parameters, and return the limit of its page."""
    unsupported = sorted(name for name in request.keys() - _SUPPORTED if request[name])
    if unsupported:
        raise InvalidSearchError(f"The embedded AWS does not support {', '.join(unsupported)} of FilterLogEvents")
    if ("logGroupName" in request) == ("logGroupIdentifier" in request):
        raise InvalidSearchError("Specify either logGroupName or logGroupIdentifier, but not both")
    if "logStreamNames" in request and "logStreamNamePrefix" in request:
        raise InvalidSearchError("logStreamNamePrefix and logStreamNames are mutually exclusive")
    limit = int(request.get("limit", MAX_EVENTS))
    if not 1 <= limit <= MAX_EVENTS:
        raise InvalidSearchError(f"limit must be between 1 and {MAX_EVENTS}")
    return limit


def _chosen_streams(request: Request, streams: Mapping[str, Sequence[Event]]) -> dict[str, Sequence[Event]]:
    if "logStreamNames" in request:
        names = dict.fromkeys(request["logStreamNames"])
        if missing := [name for name in names if name not in streams]:
            raise MissingStreamError(f"The specified log stream does not exist: {missing[0]}")
        return {name: list(streams[name]) for name in names}
    prefix = request.get("logStreamNamePrefix", "")
    return {name: list(events) for name, events in streams.items() if name.startswith(prefix)}


def _merged(
    streams: Mapping[str, Sequence[Event]], request: Request, after: _Position | None, *, ascending: bool
) -> Iterator[tuple[str, Event]]:
    """Yield the events of the time range in the order of the search, with their streams."""
    first, end = int(request.get("startTime", 0)), request.get("endTime")
    if after is not None and ascending:
        first = max(first, after.timestamp)
    ranges = []
    for name, events in streams.items():
        lower = bisect_left(events, first, key=_timestamp)
        upper = len(events) if end is None else bisect_left(events, int(end) + 1, key=_timestamp)
        indexes = range(lower, upper) if ascending else range(upper - 1, lower - 1, -1)
        ranges.append([(name, events[index]) for index in indexes])
    return heapq.merge(*ranges, key=_order, reverse=not ascending)


def _after(
    events: Iterable[tuple[str, Event]], position: _Position | None, event_id: Callable[[Event], str], ascending: bool
) -> Iterator[tuple[str, Event]]:
    """Yield the events that follow the position."""
    if position is None:
        yield from events
        return
    skipping = True
    for stream, event in events:
        if skipping:
            passed = event["timestamp"] > position.timestamp if ascending else event["timestamp"] < position.timestamp
            if not passed:
                skipping = event_id(event) != position.event_id
                continue
            skipping = False
        yield stream, event


def _start(request: Request) -> tuple[_Position | None, bool]:
    """Return where the page starts, and whether the search is in ascending order."""
    if "nextToken" not in request:
        ascending = bool(request.get("startFromHead", True))
        if not ascending and int(request.get("startTime", 0)) < _DESCENDING_SINCE:
            raise InvalidSearchError("startFromHead=false needs a startTime on or after 2024-01-01T00:00:00Z")
        return None, ascending
    try:
        search, ascending, timestamp, event = json.loads(base64.urlsafe_b64decode(request["nextToken"]))
        position = _Position(int(timestamp), str(event))
    except (ValueError, TypeError) as failure:
        raise InvalidSearchError("The specified nextToken is invalid.") from failure
    if search != _identity(request):
        raise InvalidSearchError("The specified nextToken is invalid: it belongs to a request with other parameters.")
    return position, bool(ascending)


def _token(request: Request, position: _Position, *, ascending: bool) -> str:
    fields = [_identity(request), ascending, position.timestamp, position.event_id]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def _identity(request: Request) -> str:
    """Return the parameters that all pages of a search share, as a digest."""
    fields = {name: value for name, value in request.items() if name not in _PER_PAGE}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def _timestamp(event: Event) -> int:
    return int(event["timestamp"])


def _order(entry: tuple[str, Event]) -> tuple[int, int]:
    return entry[1]["timestamp"], entry[1]["ingestionTime"]
