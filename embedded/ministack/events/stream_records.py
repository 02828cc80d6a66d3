"""The records of DynamoDB's streams: when functions receive them, and how many are kept."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from embedded.ministack.dynamodb.change_records import PackedRecord, Records
from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.events.polling import wake_after

KEPT_RECORDS = 1_000
"""Number of a stream's records that are kept after all of its functions have received them."""
_BATCH_SIZE = 100
"""Largest number of records of a call, unless the mapping has another one."""
_SLACK_RECORDS = 1_000
"""Number of records that are dropped together, at least."""
_polls: ContextVar[bool] = ContextVar("polls", default=False)
"""Whether the reader of records is the poller."""


def install_stream_polling(time_scale: float) -> None:
    """Let streams honor the batching window of their functions, and bound the records that they keep.

    ministack calls a function as soon as there is a record. `time_scale` multiplies the seconds of the window.
    It also keeps the records of a day, as AWS does, each with two versions of an item in memory. Here, the oldest
    ones that all functions have received are dropped. Readers of GetRecords continue at the oldest record that
    is left, as when records have expired.
    """
    from ministack.services import dynamodb, lambda_svc

    needed = {
        dynamodb: ("_stream_records", "_stream_trimmed", "stream_records_since"),
        lambda_svc: (
            "_poll_dynamodb_streams",
            "_iter_all_esms",
            "_esm_backoff_until",
            "_esm_wake",
            "_apply_filter_criteria",
        ),
    }
    for module, names in needed.items():
        if missing := [name for name in names if not hasattr(module, name)]:
            raise MinistackChangedError(f"{module.__name__} has no {missing[0]}: install the pinned version")
    ministack_poll = lambda_svc._poll_dynamodb_streams
    windows = _Windows(time_scale)

    def poll() -> bool:
        # Most calls follow a write while a window is open: ministack need not look at all mappings then.
        polls = _polls.set(True)
        try:
            is_processed = windows.open_and_close() and bool(ministack_poll())
        finally:
            _polls.reset(polls)
        # In the poller's own thread, which so never reads while records are dropped.
        drop_received_records()
        return is_processed

    lambda_svc._poll_dynamodb_streams = poll
    dynamodb.stream_records_since = _with_unread_records(dynamodb.stream_records_since)
    lambda_svc._apply_filter_criteria = _with_late_images(lambda_svc._apply_filter_criteria)


class _UnreadRecords(list[PackedRecord]):
    """A batch of packed records for the poller, which passes them to the filter first."""


def _with_unread_records(read: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    from ministack.services import dynamodb

    def records_since(table_name: str, position: int, limit: int, **scope: str | None) -> list[Any]:
        # The poller names no scope: it has set that of the request.
        records = dynamodb._stream_records.get(table_name) if _polls.get() and not scope else None
        if not isinstance(records, Records):
            return read(table_name, position, limit, **scope)
        dynamodb._trim_stream_records(table_name)
        index = max(0, position - dynamodb.stream_start_position(table_name))
        return _UnreadRecords(records.packed_from(index, limit))

    return records_since


def _with_late_images(apply: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Let a filter that names no image drop records before their images, most of their text, are parsed."""

    def apply_filter(records: list[Any], mapping: dict[str, Any]) -> list[Any]:
        if not isinstance(records, _UnreadRecords):
            return apply(records, mapping)
        patterns = [str(each.get("Pattern")) for each in (mapping.get("FilterCriteria") or {}).get("Filters") or ()]
        # A backslash may begin an escaped letter.
        if not patterns or any("Image" in pattern or "\\" in pattern for pattern in patterns):
            return apply([packed.record() for packed in records], mapping)
        unread = [(packed.record_without_images(), packed) for packed in records]
        kept = {id(record) for record in apply([record for record, _ in unread], mapping)}
        found = [(record, packed) for record, packed in unread if id(record) in kept]
        for record, packed in found:
            packed.add_images(record)
        return [record for record, _ in found]

    return apply_filter


class _Windows:
    """Delays a function's next call for its batching window, unless a whole batch of records waits."""

    def __init__(self, time_scale: float) -> None:
        self._time_scale = time_scale
        self._ends: dict[tuple[str, str, str], float] = {}
        """End of the open window of each mapping, in seconds since 1970."""

    def open_and_close(self) -> bool:
        """Open the windows of mappings whose first record waits, and close those that end now.

        Returns:
            Whether a function may receive records now.
        """
        from ministack.services import lambda_svc

        # The poller passes over a mapping until this time, as after a failure.
        resumes = lambda_svc._esm_backoff_until
        now, may_receive = time.time(), False
        for account_id, region, mapping in lambda_svc._iter_all_esms():
            if ":dynamodb:" not in mapping.get("EventSourceArn", ""):
                continue
            scope = (account_id, region, mapping["UUID"])
            waiting, is_new = _waiting(*scope[:2], mapping)
            if seconds := int(mapping.get("MaximumBatchingWindowInSeconds") or 0) * self._time_scale:
                self._open_or_close(scope, mapping, waiting, seconds)
            may_receive |= (waiting > 0 or is_new) and resumes.get_scoped(*scope, 0.0) <= now
        return may_receive

    def _open_or_close(
        self, scope: tuple[str, str, str], mapping: dict[str, Any], waiting: int, seconds: float
    ) -> None:
        from ministack.services import lambda_svc

        resumes, now, end = lambda_svc._esm_backoff_until, time.time(), self._ends.get(scope)
        is_full = waiting >= int(mapping.get("BatchSize") or _BATCH_SIZE)
        if end is None and waiting > 0 and not is_full:
            self._ends[scope] = now + seconds
            resumes.set_scoped(*scope, max(resumes.get_scoped(*scope, 0.0), now + seconds))
            wake_after(seconds)
        elif end is not None and (is_full or end <= now):
            del self._ends[scope]
            if resumes.get_scoped(*scope) == end:
                resumes.pop_scoped(*scope)


def _waiting(account_id: str, region: str, mapping: dict[str, Any]) -> tuple[int, bool]:
    """Return the number of records that a mapping's function has not received, and whether it has no position yet."""
    from ministack.services import dynamodb, lambda_svc

    table = mapping["EventSourceArn"].partition(":table/")[2].partition("/")[0]
    records = dynamodb._stream_records.get_scoped(account_id, region, table) or ()
    first = dynamodb._stream_trimmed.get_scoped(account_id, region, table, 0)
    end = first + len(records)
    position = lambda_svc._dynamodb_stream_positions.get_scoped(account_id, region, mapping["UUID"])
    if position is None:
        position = first if mapping.get("StartingPosition") == "TRIM_HORIZON" else end
        return end - position, True
    return end - max(position, first), False


def continue_with_next_records() -> None:
    """Let functions receive the first new records of streams, after a snapshot was restored.

    A snapshot has the positions of functions in streams, but no records: the streams of this process begin at 0.
    Without a position, a function with the starting position LATEST would miss the first record.
    """
    from ministack.services import lambda_svc

    positions = lambda_svc._dynamodb_stream_positions._data
    positions.update(dict.fromkeys(positions, 0))


def drop_received_records() -> None:
    """Drop records of each stream that has many, as far as all functions have received them."""
    from ministack.services import dynamodb, lambda_svc

    trimmed_counts = dynamodb._stream_trimmed._data
    for scope, records in list(dynamodb._stream_records._data.items()):
        if len(records) < KEPT_RECORDS + _SLACK_RECORDS:
            continue
        trimmed = trimmed_counts.get(scope, 0)
        stream = records[-1]["eventSourceARN"]
        # A function that has received nothing yet may begin with the oldest record.
        positions = [
            lambda_svc._dynamodb_stream_positions.get_scoped(account_id, region, mapping["UUID"], trimmed)
            for account_id, region, mapping in lambda_svc._iter_all_esms()
            if mapping.get("EventSourceArn") == stream
        ]
        count = min([len(records) - KEPT_RECORDS, *(position - trimmed for position in positions)])
        if count > 0:
            new_count = trimmed + count
            # No call in between, so that no other thread runs: GetRecords reads both.
            del records[:count]
            trimmed_counts[scope] = new_count
