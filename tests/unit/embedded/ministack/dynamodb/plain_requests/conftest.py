"""A table in ministack's DynamoDB with the fast path, and the same table in one that nothing has changed."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ministack.services import dynamodb

from embedded.ministack.dynamodb.change_records import install_change_records
from embedded.ministack.dynamodb.indexes import install_index_sort_keys
from embedded.ministack.dynamodb.plain_requests.handler import install_fast_path
from embedded.ministack.dynamodb.plain_requests.transactions import install_token_digests
from embedded.ministack.dynamodb.rows import install_packed_rows
from embedded.ministack.dynamodb.values import install_value_copies

TABLE = "table"
_KEYS = ("pk", "sk", "status", "time")
_SCHEMA = {
    "TableName": TABLE,
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in _KEYS],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-status",
            "KeySchema": [
                {"AttributeName": "status", "KeyType": "HASH"},
                {"AttributeName": "time", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}
_CHANGED = (
    "handle_request", "_set_item", "_index_members", "_index_item", "_emit_stream_event", "_trim_stream_records",
    "_txn_token_store", "copy",
)  # fmt: skip

Answer = tuple[int, Any]
Send = Callable[..., Answer]


def _unchanged_module() -> Any:
    specification = importlib.util.spec_from_file_location("unchanged_dynamodb", Path(dynamodb.__file__))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


UNCHANGED = _unchanged_module()


def send_to(module: Any, operation: str, request: Any) -> Answer:
    """Return the status and the content of an answer."""
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    coroutine = module.handle_request("POST", "/", headers, json.dumps(request).encode(), {})
    try:
        coroutine.send(None)
    except StopIteration as end:
        status, answered, content = end.value
        assert answered["Content-Type"] == "application/x-amz-json-1.0"
        assert answered["x-amz-crc32"] == str(UNCHANGED.binascii.crc32(content))
        return status, json.loads(content)
    raise AssertionError("no operation waits")


def create_table(module: Any) -> None:
    """Remove all tables, and create the one of the tests."""
    module.reset()
    status, answer = send_to(module, "CreateTable", _SCHEMA)
    assert status == 200, answer
    module._index_members(module._tables[TABLE])


@pytest.fixture
def fast_path() -> Iterator[None]:
    """Install the fast path, and create the table."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _CHANGED:
            patch.setattr(dynamodb, name, getattr(dynamodb, name))
        install_value_copies()
        install_index_sort_keys()
        install_packed_rows()
        install_change_records()
        install_token_digests()
        install_fast_path()
        create_table(dynamodb)
        create_table(UNCHANGED)
        yield
        dynamodb.reset()
        UNCHANGED.reset()


@pytest.fixture
def send(fast_path: None) -> Send:
    """Send a request to both, and return their answer, which must be the same: `send("GetItem", Key=key)`."""

    def to_both(operation: str, **request: Any) -> Answer:
        answer = send_to(dynamodb, operation, request)
        assert answer == send_to(UNCHANGED, operation, request)
        return answer

    return to_both


def contents(module: Any) -> Any:
    """Return the items, their number, the partitions of the index, and the records of the stream."""
    table = module._tables[TABLE]
    items = {partition: dict(rows) for partition, rows in table["items"].items()}
    members = {value: set(places) for value, places in module._index_members(table)["by-status"].items()}
    records = [
        (record["eventName"], list(record), {**record["dynamodb"], **dict.fromkeys(_OF_TIME)})
        for record in module.stream_live_records(TABLE)
    ]
    return items, table["ItemCount"], members, records


_OF_TIME = ("ApproximateCreationDateTime", "SequenceNumber")
