"""moto answers as before, although parts of it and of botocore are replaced by quicker ones."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

from tests.unit.quick_moto import mock_aws

REGION = "eu-central-1"
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}


@pytest.fixture
def table() -> Iterator[Any]:
    with mock_aws():
        dynamodb = boto3.Session(region_name=REGION, **KEYS).resource("dynamodb")
        yield dynamodb.create_table(
            TableName="records",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )


def test_every_type_of_value_is_returned_as_it_was_written(table: Any) -> None:
    values = {
        "text": "",
        "number": Decimal("1.5"),
        "truth": False,
        "nothing": None,
        "bytes": Binary(b"\x00\xff"),
        "list": [None, "a", [], {}, {"deep": [Decimal(1), {"S": "a"}]}],
        "map": {},
        "texts": {"a", "b"},
        "numbers": {Decimal(1), Decimal(2)},
        "all_bytes": {Binary(b"a"), Binary(b"b")},
    }
    table.put_item(Item={"id": "1", **values})
    assert table.get_item(Key={"id": "1"})["Item"] == {"id": "1", **values}
    assert table.scan()["Items"] == [{"id": "1", **values}]
    changed = table.update_item(
        Key={"id": "1"},
        UpdateExpression="SET #list = :none",
        ExpressionAttributeNames={"#list": "list"},
        ExpressionAttributeValues={":none": []},
        ReturnValues="UPDATED_NEW",
    )
    assert changed["Attributes"] == {"list": []}


def test_an_item_beyond_the_limit_is_refused(table: Any) -> None:
    half = "a" * 210_000
    table.put_item(Item={"id": "1", "one": half})
    with pytest.raises(ClientError, match="Item size has exceeded the maximum allowed size"):
        table.put_item(Item={"id": "1", "one": half, "two": half})


def test_clients_share_neither_handlers_nor_endpoints() -> None:
    session = boto3.Session(region_name=REGION, **KEYS)
    one, two = session.client("dynamodb"), session.client("dynamodb", region_name="us-west-2")
    urls: dict[str, list[str]] = {"one": [], "two": []}
    one.meta.events.register("before-send.dynamodb", lambda request, **_: urls["one"].append(request.url))
    two.meta.events.register("before-send.dynamodb", lambda request, **_: urls["two"].append(request.url))
    with mock_aws():
        one.list_tables()
        two.list_tables()
    assert urls == {
        "one": ["https://dynamodb.eu-central-1.amazonaws.com/"],
        "two": ["https://dynamodb.us-west-2.amazonaws.com/"],
    }
