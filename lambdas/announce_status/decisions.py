"""Events out of the table's stream: decisions without any I/O."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from contract import codec
from contract.table import events, records
from contract.table.records import ExecutionRecord, JobRecord

MOST_ENTRIES = 10
MOST_BYTES = 200_000
"""PutEvents takes 256 KB in a call; the rest is for what it counts beside the detail."""

_read = TypeDeserializer().deserialize


def entries_of(stream_records: Iterable[Mapping[str, Any]], stage: str, bus: str) -> Iterator[dict[str, Any]]:
    """The PutEvents entries of these records of the stream, in their order.

    Raises:
        InvalidInputError: when a record is of another release.
    """
    for change in stream_records:
        images = change["dynamodb"]
        item, before = _item(images.get("NewImage")), _item(images.get("OldImage"))
        if item is None:
            continue
        event: events.ExecutionStatusChange | events.JobStatusChange | None = None
        detail_type = events.JOB_DETAIL_TYPE
        if item[records.SORT_KEY] == records.EXECUTION_SORT_KEY:
            detail_type = events.EXECUTION_DETAIL_TYPE
            earlier = records.read_item(ExecutionRecord, before) if before else None
            event = events.execution_event(stage, records.read_item(ExecutionRecord, item), earlier)
        elif item[records.SORT_KEY].startswith(records.JOB_SORT_PREFIX):
            job_before = records.read_item(JobRecord, before) if before else None
            event = events.job_event(stage, records.read_item(JobRecord, item), job_before)
        if event is not None:
            detail = json.dumps(codec.to_json(event), ensure_ascii=False)
            yield {"EventBusName": bus, "Source": events.SOURCE, "DetailType": detail_type, "Detail": detail}


def in_calls(entries: Iterable[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    """The entries in portions that PutEvents takes in one call, each of one detail type.

    The role may put certain detail types only, and a policy sees one value of a call where it compares one.
    """
    portion: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        more = len(entry["Detail"].encode())
        other = bool(portion) and portion[0]["DetailType"] != entry["DetailType"]
        if portion and (other or len(portion) == MOST_ENTRIES or size + more > MOST_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(entry)
        size += more
    if portion:
        yield portion


def _item(image: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if image is None else {name: _read(value) for name, value in image.items()}
