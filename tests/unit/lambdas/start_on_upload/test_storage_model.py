"""The in-memory models behave like moto."""

from typing import Any

import pytest

from tests.unit.lambdas.builders import VARIABLES, Stage
from tests.unit.lambdas.start_on_upload.storage_model import BucketsModel, TableModel

NAME = VARIABLES["FLEETSCORE_TABLE_NAME"]
NEW = {"ConditionExpression": "attribute_not_exists(pk)"}


def item(sk: str, status: str = "OPEN") -> dict[str, str]:
    return {"pk": "p", "sk": sk, "status": status}


def while_status(value: str) -> dict[str, Any]:
    names, values = {"#status": "status"}, {":value": value}
    expression = "#status = :value"
    return {
        "ConditionExpression": expression,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


@pytest.fixture(params=["model", "moto"])
def dynamodb(request: pytest.FixtureRequest, stage: Stage) -> Any:
    return TableModel(lambda: None) if request.param == "model" else stage.dynamodb.meta.client


def test_a_put_whose_condition_fails_writes_nothing(dynamodb: Any) -> None:
    dynamodb.put_item(TableName=NAME, Item=item("a"), **NEW)
    for condition in (NEW, while_status("CLOSED")):
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(TableName=NAME, Item=item("a", "STARTED"), **condition)
    dynamodb.put_item(TableName=NAME, Item=item("a", "CLOSED"), **while_status("OPEN"))
    found = dynamodb.get_item(TableName=NAME, Key={"pk": "p", "sk": "a"}, ConsistentRead=True)
    assert found["Item"] == item("a", "CLOSED")
    assert "Item" not in dynamodb.get_item(TableName=NAME, Key={"pk": "p", "sk": "b"})


def test_a_transaction_does_all_or_nothing(dynamodb: Any) -> None:
    dynamodb.put_item(TableName=NAME, Item=item("ka"), **NEW)

    def write(status: str, *keys: str) -> None:
        check = {"TableName": NAME, "Key": {"pk": "p", "sk": "ka"}, **while_status(status)}
        puts = [{"Put": {"TableName": NAME, "Item": item(key), **NEW}} for key in keys]
        dynamodb.transact_write_items(TransactItems=[{"ConditionCheck": check}, *puts])

    write("OPEN", "kb", "kc")
    for status, keys in (("CLOSED", ["kd"]), ("OPEN", ["kd", "kc"])):
        with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as cancelled:
            write(status, *keys)
        codes = [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]]
        assert "ConditionalCheckFailed" in codes
    pages = dynamodb.get_paginator("query").paginate(
        TableName=NAME,
        KeyConditionExpression="pk = :dataset AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":dataset": "p", ":prefix": "k"},
    )
    assert [found["sk"] for page in pages for found in page["Items"]] == ["ka", "kb", "kc"]
    asked = {NAME: {"Keys": [{"pk": "p", "sk": key} for key in ("ka", "kd")], "ConsistentRead": True}}
    assert [found["sk"] for found in dynamodb.batch_get_item(RequestItems=asked)["Responses"][NAME]] == ["ka"]


@pytest.fixture(params=["model", "moto"])
def s3(request: pytest.FixtureRequest, stage: Stage) -> Any:
    return BucketsModel(lambda: None) if request.param == "model" else stage.s3


def test_an_object_is_written_once(s3: Any, stage: Stage) -> None:
    s3.put_object(Bucket=stage.results, Key="a", Body=b"1", IfNoneMatch="*")
    with pytest.raises(Exception, match="PreconditionFailed"):
        s3.put_object(Bucket=stage.results, Key="a", Body=b"2", IfNoneMatch="*")
    assert s3.get_object(Bucket=stage.results, Key="a")["Body"].read() == b"1"
    with pytest.raises(Exception, match="NoSuchKey"):
        s3.get_object(Bucket=stage.results, Key="b")
