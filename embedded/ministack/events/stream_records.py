"""The records of DynamoDB's streams: how many are kept."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from embedded.ministack.errors import MinistackChangedError

KEPT_RECORDS = 1_000
"""Number of a stream's records that are kept after all of its functions have received them."""
_SLACK_RECORDS = 1_000
"""Number of records that are dropped together, at least."""


def install_stream_limit() -> None:
    """Drop the oldest records of a stream that all of its functions have received.

    ministack keeps the records of a day, as AWS does. Each holds two versions of an item in memory. Readers of
    GetRecords continue at the oldest record that is left, as when records have expired.
    """
    from ministack.services import dynamodb, lambda_svc

    needed = {
        dynamodb: ("_stream_records", "_stream_trimmed"),
        lambda_svc: ("_poll_dynamodb_streams", "_iter_all_esms"),
    }
    for module, names in needed.items():
        if missing := [name for name in names if not hasattr(module, name)]:
            raise MinistackChangedError(f"{module.__name__} has no {missing[0]}: install the pinned version")
    ministack_poll = lambda_svc._poll_dynamodb_streams

    def poll() -> bool:
        is_processed = bool(ministack_poll())
        # In the poller's own thread, which so never reads while records are dropped.
        drop_received_records()
        return is_processed

    lambda_svc._poll_dynamodb_streams = poll


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
