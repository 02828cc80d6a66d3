"""Save the CloudWatch Logs of functions and jobs to files."""

from pathlib import Path
from typing import Any

from cli.stage.connection import Connection


def save_logs(connection: Connection, folder: Path) -> int:
    """Write every log stream to `<folder>/<group>/<stream>.log`; return the number of streams."""
    client = connection.client("logs")
    count = 0
    for group in _pages(client, "describe_log_groups", "logGroups"):
        name = group["logGroupName"]
        for stream in _pages(client, "describe_log_streams", "logStreams", logGroupName=name):
            events = _pages(
                client, "filter_log_events", "events", logGroupName=name, logStreamNames=[stream["logStreamName"]]
            )
            path = folder / _file_name(name) / f"{_file_name(stream['logStreamName'])}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{event['message'].rstrip()}\n" for event in events), encoding="utf-8")
            count += 1
    return count


def _pages(client: Any, operation: str, items: str, **arguments: Any) -> list[dict[str, Any]]:
    return [item for page in client.get_paginator(operation).paginate(**arguments) for item in page[items]]


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip("-")
