"""The records of tables' streams, whose items are kept as JSON texts."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import getrandbits
from typing import Any, SupportsIndex
from uuid import UUID

from embedded.ministack.dynamodb.ministack_module import check_names, dynamodb
from embedded.ministack.dynamodb.rows import Item, Table, pack, unpack

Record = dict[str, Any]
Images = tuple[bytes | None, bytes | None]
"""The JSON of an item before and after a change; None where there is none."""

_VIEW = "NEW_AND_OLD_IMAGES"
_OLD_VIEWS, _NEW_VIEWS = (_VIEW, "OLD_IMAGE"), (_VIEW, "NEW_IMAGE")


@dataclass(frozen=True, slots=True)
class PackedRecord:
    """A record of a stream, whose texts are parsed when they are needed."""

    event_number: int
    event: str
    region: str
    stream_arn: str
    created: float
    sequence_number: str
    view: str
    key: bytes
    """The JSON of the item's key."""
    old: bytes | None
    """The JSON of the images, which are often the texts that the table has, too."""
    new: bytes | None

    def record(self) -> Record:
        """Return the record as functions receive it."""
        record = self.record_without_images()
        self.add_images(record)
        return record

    def record_without_images(self) -> Record:
        """Return the record as functions receive it, but without images."""
        details = {
            "ApproximateCreationDateTime": self.created,
            "Keys": unpack(self.key),
            "SequenceNumber": self.sequence_number,
            "SizeBytes": 0,
            "StreamViewType": self.view,
        }
        return {
            "eventID": str(UUID(int=self.event_number, version=4)),
            "eventName": self.event,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self.region,
            "dynamodb": details,
            "eventSourceARN": self.stream_arn,
        }

    def add_images(self, record: Record) -> None:
        """Add the images to the result of `record_without_images`."""
        if self.old is not None:
            record["dynamodb"]["OldImage"] = unpack(self.old)
        if self.new is not None:
            record["dynamodb"]["NewImage"] = unpack(self.new)


class Records(list[Any]):
    """The records of a stream, of which readers get copies."""

    def add(self, record: PackedRecord) -> None:
        """Append a record."""
        super().append(record)

    def append(self, record: Record) -> None:
        """Append a record that ministack has built."""
        details = record["dynamodb"]
        old, new = (pack(details[name]) if name in details else None for name in ("OldImage", "NewImage"))
        self.add(
            PackedRecord(
                UUID(record["eventID"]).int, record["eventName"], record["awsRegion"], record["eventSourceARN"],
                details.get("ApproximateCreationDateTime") or 0, details["SequenceNumber"],
                details["StreamViewType"], pack(details["Keys"]), old, new,
            )
        )  # fmt: skip

    def count_created_before(self, moment: float) -> int:
        """Return the number of records at the beginning that are older than a moment."""
        count = 0
        for packed in super().__iter__():
            # As in ministack, a record without a time stays.
            if not packed.created or packed.created >= moment:
                break
            count += 1
        return count

    def packed_from(self, index: int, count: int) -> list[PackedRecord]:
        """Return up to `count` records from an index on, without parsing them."""
        found: list[PackedRecord] = super().__getitem__(slice(index, index + count))
        return found

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found: Any = super().__getitem__(index)
        return [packed.record() for packed in found] if isinstance(index, slice) else found.record()

    def __iter__(self) -> Iterator[Record]:
        return (packed.record() for packed in super().__iter__())


def install_change_records() -> None:
    """Add the changes of items to their table's stream in less time and memory than ministack."""
    check_names(
        "_emit_stream_event", "_trim_stream_records", "_next_stream_seq", "_replica_group", "_kinesis_destinations",
        "_stream_records", "_stream_trimmed", "_STREAM_RETENTION_SECONDS", "esm_wake",
    )  # fmt: skip
    module = dynamodb()
    ministack_emit, ministack_trim = module._emit_stream_event, module._trim_stream_records

    def emit(name: str, event: str, *items: Item | None, replicate: bool = True, images: Images | None = None) -> None:
        old, new = items
        table = module._tables.get(name)
        if not table:
            return
        if module._kinesis_destinations.get(name) or (replicate and module._replica_group(table)):
            ministack_emit(name, event, old, new, replicate=replicate)
        else:
            _add_record(table, event, old, new, images)

    def trim(name: str, *, account_id: str | None = None, region: str | None = None) -> None:
        scope = (account_id, region) if account_id and region else module._stream_records._prefix()
        records = module._stream_records.get_scoped(*scope, name)
        if not isinstance(records, Records):
            ministack_trim(name, account_id=account_id, region=region)
            return
        expired = records.count_created_before(time.time() - module._STREAM_RETENTION_SECONDS)
        if expired:
            del records[:expired]
            module._stream_trimmed.set_scoped(
                *scope, name, module._stream_trimmed.get_scoped(*scope, name, 0) + expired
            )

    module._emit_stream_event, module._trim_stream_records = emit, trim


def _add_record(table: Table, event: str, old: Item | None, new: Item | None, images: Images | None) -> None:
    module = dynamodb()
    specification, name = table.get("StreamSpecification") or {}, table["TableName"]
    # As in DynamoDB, a write that changes nothing adds no record.
    if not specification.get("StreamEnabled") or (event == "MODIFY" and old == new):
        return
    view = specification.get("StreamViewType", _VIEW)
    before, after = images or (pack(old) if old else None, pack(new) if new else None)
    item = new or old or {}
    key = {each: item[each] for each in (table["pk_name"], table["sk_name"]) if each and each in item}
    records = module._stream_records.get(name)
    if not isinstance(records, Records):
        packed = Records()
        for each in records or ():
            packed.append(each)
        records = module._stream_records[name] = packed
    records.add(
        PackedRecord(
            getrandbits(128), event, module.get_region(),
            table.get("LatestStreamArn") or f"{table['TableArn']}/stream/{module._stream_label()}",
            int(time.time()), module._next_stream_seq(), view, pack(key),
            before if view in _OLD_VIEWS else None, after if view in _NEW_VIEWS else None,
        )
    )  # fmt: skip
    module.esm_wake.set()
    module._trim_stream_records(name)
