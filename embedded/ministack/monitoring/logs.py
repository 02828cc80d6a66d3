"""CloudWatch Logs: writing the way AWS services do, without the public API, and searching."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import itertools
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from embedded.cloudwatch.filter_patterns import FilterPatternError, compile_pattern
from embedded.cloudwatch.log_search import InvalidSearchError, MissingStreamError, filter_log_events
from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.monitoring.packed_events import PackedEvents

LOG_LIMIT_BYTES = 200_000_000
"""Largest memory for log events, in bytes. The oldest events are dropped first."""
_EVENT_BYTES = 600
"""Estimated memory of a log event without its message, in bytes."""
_KEPT_SHARE = 0.95
"""Share of the limit that is left when the oldest events are dropped. A stream is then cut once for many of them."""


def append_log(log_group_arn: str, stream: str, messages: Sequence[str]) -> bool:
    """Append messages to a stream, created if needed; False if the log group does not exist."""
    from ministack.services import cloudwatch_logs

    group = log_group_arn.partition(":log-group:")[2].removesuffix(":*")
    place = {"logGroupName": group, "logStreamName": stream}
    cloudwatch_logs._create_log_stream(place)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": message} for message in messages]
    return bool(cloudwatch_logs._put_log_events({**place, "logEvents": events})[0] == 200)


def install_log_search() -> None:
    """Answer FilterLogEvents with prefixes, patterns and pages, as AWS does.

    ministack ignores the prefix, JSON patterns and the token, and matches terms in any case.
    """
    from ministack.core.responses import error_response_json, json_response
    from ministack.services import cloudwatch_logs

    if not callable(getattr(cloudwatch_logs, "_filter_log_events", None)):
        raise MinistackChangedError("ministack has no _filter_log_events: install the pinned version")
    numbers = itertools.count()

    def event_id(event: dict[str, Any]) -> str:
        # 56 digits, as on AWS. Events that did not come through PutLogEvents have no id yet.
        return str(event.setdefault("eventId", f"{event['timestamp']:020d}{next(numbers):036d}"))

    def answer(request: dict[str, Any]) -> Any:
        group = cloudwatch_logs._resolve_log_group_name(request)
        try:
            with cloudwatch_logs._log_events_lock:
                found = cloudwatch_logs._log_groups.get(group)
                streams = {name: stream["events"] for name, stream in found["streams"].items()} if found else {}
            if group is not None and found is None:
                text = f"The specified log group does not exist: {group}"
                return error_response_json("ResourceNotFoundException", text, 400)
            return json_response(filter_log_events(request, streams, event_id))
        except InvalidSearchError as failure:
            return error_response_json("InvalidParameterException", str(failure), 400)
        except MissingStreamError as failure:
            return error_response_json("ResourceNotFoundException", str(failure), 400)

    cloudwatch_logs._filter_log_events = answer


def install_filter_patterns() -> None:
    """Use the patterns of log searches for subscription filters, and refuse metric filters by name.

    ministack compares a subscription's pattern as a text, and stores metric filters without effect.
    """
    from ministack.core.responses import error_response_json
    from ministack.services import cloudwatch_logs

    ministack_put = cloudwatch_logs._put_subscription_filter

    def put(request: dict[str, Any]) -> Any:
        try:
            compile_pattern(request.get("filterPattern", ""))
        except FilterPatternError as failure:
            return error_response_json("InvalidParameterException", f"Invalid filter pattern: {failure}", 400)
        return ministack_put(request)

    def refuse(_request: dict[str, Any]) -> Any:
        text = "The embedded AWS does not support metric filters: write the metric in the embedded metric format"
        return error_response_json("UnsupportedOperationException", text, 400)

    cloudwatch_logs._put_subscription_filter = put
    cloudwatch_logs._subscription_pattern_matches = lambda pattern, message: compile_pattern(pattern or "")(message)
    cloudwatch_logs._put_metric_filter = refuse


def install_log_limit(limit_bytes: int = LOG_LIMIT_BYTES) -> None:
    """Drop the oldest log events when all of them need more memory than `limit_bytes`.

    ministack keeps all events, and a second copy of each for CloudWatch Logs Insights. It can
    recreate the copies, so they are discarded.
    """
    from ministack.core.responses import AccountRegionScopedDict
    from ministack.services import cloudwatch_logs

    ministack_append, lock = cloudwatch_logs._append_log_events, threading.Lock()
    batches: deque[tuple[dict[str, Any], int, int]] = deque()
    held = 0

    class DiscardedRecords(AccountRegionScopedDict):  # type: ignore[misc, unused-ignore]
        def __setitem__(self, key: Any, value: Any) -> None:
            """Keep nothing."""

    def append(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        nonlocal held
        ministack_append(stream, events)
        size = sum(len(event["message"]) + _EVENT_BYTES for event in events)
        with lock:
            batches.append((stream, len(events), size))
            held += size
            if held <= limit_bytes:
                return
            dropped: dict[int, tuple[dict[str, Any], int]] = {}
            while held > limit_bytes * _KEPT_SHARE and len(batches) > 1:
                old, count, freed = batches.popleft()
                held -= freed
                dropped[id(old)] = old, dropped.get(id(old), (old, 0))[1] + count
            with cloudwatch_logs._log_events_lock:
                for old, count in dropped.values():
                    kept = old["events"][count:]
                    old["events"] = PackedEvents(kept) if isinstance(old["events"], PackedEvents) else kept

    cloudwatch_logs._append_log_events = append
    cloudwatch_logs._log_records = DiscardedRecords()
