"""Writing to CloudWatch Logs the way AWS services do, without the public API."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import time
from collections.abc import Sequence


def append_log(log_group_arn: str, stream: str, messages: Sequence[str]) -> bool:
    """Append messages to a stream, creating it if needed; false when the log group does not exist."""
    from ministack.services import cloudwatch_logs

    group = log_group_arn.partition(":log-group:")[2].removesuffix(":*")
    place = {"logGroupName": group, "logStreamName": stream}
    cloudwatch_logs._create_log_stream(place)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": message} for message in messages]
    return bool(cloudwatch_logs._put_log_events({**place, "logEvents": events})[0] == 200)
