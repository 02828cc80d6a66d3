"""The events of log streams to which nothing is written, in a tenth of the memory."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from __future__ import annotations

import itertools
import json
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

Event = dict[str, Any]
Stream = dict[str, Any]

IDLE_SECONDS = 20.0
"""Time after the last event of a stream, in seconds, after which its events are packed."""
_FEWEST_EVENTS = 2
"""Smallest number of events that are worth packing."""


class PackedEvents(Sequence[Event]):
    """The compressed events of a log stream, which never change."""

    __slots__ = ("_count", "_packed")

    def __init__(self, events: Sequence[Event]) -> None:
        rows = [
            [event["timestamp"], event["ingestionTime"], event.get("eventId"), event["message"]] for event in events
        ]
        self._count = len(rows)
        self._packed = zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)

    def unpacked(self) -> list[Event]:
        return [
            {"timestamp": timestamp, "message": message, "ingestionTime": ingested, "eventId": event_id}
            for timestamp, ingested, event_id, message in json.loads(zlib.decompress(self._packed))
        ]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Event]:
        return iter(self.unpacked())

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self.unpacked()[index]

    def __deepcopy__(self, _memo: dict[int, Any]) -> PackedEvents:
        return self


class IdleStreams:
    """Packs the events of streams some time after the last event was appended. Its caller has the lock of the events.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used: OrderedDict[int, tuple[Stream, float]] = OrderedDict()
        """The streams with unpacked events by id, in the order in which they were used, with the times."""

    def use(self, stream: Stream) -> None:
        """Unpack the events of a stream before they are read or changed, and pack those of idle streams."""
        now = self._clock()
        if isinstance(stream["events"], PackedEvents):
            stream["events"] = stream["events"].unpacked()
        self._used[id(stream)] = (stream, now)
        self._used.move_to_end(id(stream))
        while True:
            number, (oldest, used_at) = next(iter(self._used.items()))
            if now - used_at < IDLE_SECONDS:
                return
            del self._used[number]
            # Events without an id get one when they are found, which must stay.
            if len(oldest["events"]) >= _FEWEST_EVENTS and all("eventId" in event for event in oldest["events"]):
                oldest["events"] = PackedEvents(oldest["events"])


def install_packed_events(idle: IdleStreams | None = None) -> None:
    """Keep the events of idle streams packed, and store new events without ministack's copies of them.

    ministack builds a second record of each event for CloudWatch Logs Insights, which `install_log_limit` discards.
    """
    from ministack.core.responses import json_response
    from ministack.services import cloudwatch_logs

    idle = idle or IdleStreams()
    ministack_append, ministack_put = cloudwatch_logs._append_log_events, cloudwatch_logs._put_log_events
    ministack_get = cloudwatch_logs._get_log_events
    # 56 digits, as on AWS. The numbers of a later server are larger.
    numbers = itertools.count(time.time_ns())

    def stream_of(group: Any, name: Any) -> Stream | None:
        found: Stream | None = (cloudwatch_logs._log_groups.get(group) or {}).get("streams", {}).get(name)
        return found

    def append(stream: Stream, events: list[Event]) -> None:
        with cloudwatch_logs._log_events_lock:
            idle.use(stream)
        ministack_append(stream, events)

    def put(request: dict[str, Any]) -> Any:
        group, name = request.get("logGroupName"), request.get("logStreamName")
        stream = stream_of(group, name)
        if stream is None:
            return ministack_put(request)
        now, events = int(time.time() * 1000), request.get("logEvents", [])
        stored = [
            {
                "timestamp": (timestamp := event.get("timestamp", now)),
                "message": event.get("message", ""),
                "ingestionTime": now,
                "eventId": f"{timestamp:020d}{next(numbers):036d}",
            }
            for event in events
        ]
        cloudwatch_logs._append_log_events(stream, stored)
        token = stream["uploadSequenceToken"] = str(int(stream["uploadSequenceToken"]) + 1)
        cloudwatch_logs._fanout_to_subscription_filters(group, name, events)
        cloudwatch_logs._fanout_to_live_tail_sessions(group, name, stored)
        return json_response({"nextSequenceToken": token})

    def get(request: dict[str, Any]) -> Any:
        stream = stream_of(cloudwatch_logs._resolve_log_group_name(request), request.get("logStreamName"))
        if stream is not None:
            with cloudwatch_logs._log_events_lock:
                idle.use(stream)
        return ministack_get(request)

    cloudwatch_logs._append_log_events = append
    cloudwatch_logs._put_log_events = put
    cloudwatch_logs._get_log_events = get
