"""The records of streams are those of ministack, in whatever order they are read."""

import uuid
from typing import Any

import pytest
from ministack.services import dynamodb

from embedded.ministack.dynamodb.change_records import Records
from tests.unit.embedded.ministack.dynamodb.plain_requests.conftest import TABLE, UNCHANGED, Send, contents, send_to

KEY = {"pk": {"S": "p"}, "sk": {"S": "a"}}


@pytest.fixture
def records(send: Send) -> Any:
    """Return the records of an item that is stored, changed twice and deleted."""
    for number in "1223":
        send("PutItem", TableName=TABLE, Item={**KEY, "n": {"N": number}})
    send("DeleteItem", TableName=TABLE, Key=KEY)
    return dynamodb._stream_records[TABLE]


def test_records_are_those_of_ministack(records: Any) -> None:
    assert type(records) is Records
    assert contents(dynamodb) == contents(UNCHANGED)
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "MODIFY", "REMOVE"]


def test_records_are_read_by_their_positions(records: Any) -> None:
    found = list(records)
    assert [records[number] for number in range(4)] == found == records[:] == records[:2] + records[2:]
    assert records[-1] == found[-1]
    assert len({uuid.UUID(record["eventID"]).version for record in found}) == 1
    assert len({record["eventID"] for record in found}) == 4
    records[0]["dynamodb"]["Keys"].clear()
    assert list(records) == found


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE", "NEW_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_records_have_the_images_of_the_view(send: Send, view: str) -> None:
    for module in (dynamodb, UNCHANGED):
        module._tables[TABLE]["StreamSpecification"]["StreamViewType"] = view
    for number in "12":
        send("PutItem", TableName=TABLE, Item={**KEY, "n": {"N": number}})
    send("DeleteItem", TableName=TABLE, Key=KEY)
    assert contents(dynamodb) == contents(UNCHANGED)


def test_records_expire_after_a_day(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dynamodb.stream_start_position(TABLE) == 0
    monkeypatch.setattr(dynamodb, "_STREAM_RETENTION_SECONDS", -60)
    assert dynamodb.stream_start_position(TABLE) == 4
    assert (len(records), dynamodb.stream_end_position(TABLE)) == (0, 4)


def test_a_record_without_a_time_does_not_expire(records: Any) -> None:
    record = records[0]
    del record["dynamodb"]["ApproximateCreationDateTime"]
    timeless = Records()
    timeless.append(record)
    assert timeless.count_created_before(9e9) == 0
    assert records.count_created_before(9e9) == 4


@pytest.mark.usefixtures("fast_path")
def test_tables_with_another_reader_keep_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setitem(dynamodb._kinesis_destinations._data, dynamodb._tables._scoped(TABLE), ["stream"])
    monkeypatch.setattr(dynamodb, "_fan_out_to_kinesis", lambda _table, record: sent.append(record["eventName"]))
    for number in "12":
        send_to(dynamodb, "PutItem", {"TableName": TABLE, "Item": {**KEY, "n": {"N": number}}})
    assert sent == ["INSERT", "MODIFY"]
    monkeypatch.undo()
    send_to(dynamodb, "PutItem", {"TableName": TABLE, "Item": {**KEY, "n": {"N": "3"}}})
    assert [record["eventName"] for record in dynamodb.stream_live_records(TABLE)] == ["INSERT", "MODIFY", "MODIFY"]
