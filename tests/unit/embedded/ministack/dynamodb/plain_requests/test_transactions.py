"""Tokens of transactions: a repeated one changes nothing, one of another transaction is refused."""

import uuid
from typing import Any

import pytest
from ministack.services import dynamodb

from tests.unit.embedded.ministack.dynamodb.plain_requests.conftest import TABLE, Send, contents, send_to

EXPLICIT, AUTOMATIC = "my-token", str(uuid.UUID(int=7, version=4))


def put(number: str, **others: Any) -> dict[str, Any]:
    item = {"pk": {"S": "p"}, "sk": {"S": "a"}, "n": {"N": number}}
    return {"TransactItems": [{"Put": {"TableName": TABLE, "Item": item}}], **others}


def version() -> Any:
    return dynamodb._tables[TABLE]["items"]["p"]["a"]["n"]["N"]


@pytest.mark.parametrize("token", [EXPLICIT, AUTOMATIC])
def test_a_repeated_transaction_is_made_once(send: Send, token: str) -> None:
    assert send("TransactWriteItems", **put("1", ClientRequestToken=token)) == (200, {})
    assert send("TransactWriteItems", **put("2")) == (200, {})
    assert send("TransactWriteItems", **put("1", ClientRequestToken=token)) == (200, {})
    assert version() == "2"


@pytest.mark.parametrize("token", [EXPLICIT, AUTOMATIC])
def test_a_token_of_another_transaction_is_refused(send: Send, token: str) -> None:
    send("TransactWriteItems", **put("1", ClientRequestToken=token))
    status, answer = send("TransactWriteItems", **put("2", ClientRequestToken=token))
    assert (status, answer["__type"]) == (400, "IdempotentParameterMismatchException")
    assert version() == "1"


@pytest.mark.usefixtures("fast_path")
def test_attributes_in_another_order_are_the_same_transaction() -> None:
    send_to(dynamodb, "TransactWriteItems", put("1", ClientRequestToken=EXPLICIT))
    send_to(dynamodb, "TransactWriteItems", put("2"))
    [member] = put("1")["TransactItems"]
    reordered = {"Put": {"Item": dict(reversed(member["Put"]["Item"].items())), "TableName": TABLE}}
    request = {"ClientRequestToken": EXPLICIT, "TransactItems": [reordered]}
    assert send_to(dynamodb, "TransactWriteItems", request) == (200, {})
    assert version() == "2"


@pytest.mark.usefixtures("fast_path")
def test_a_number_in_a_longer_form_is_the_same_in_a_repeated_transaction() -> None:
    for _ in range(2):
        request = put("1.50", ClientRequestToken=EXPLICIT)
        assert send_to(dynamodb, "TransactWriteItems", request) == (200, {})
    assert version() == "1.5"


def test_a_repeated_transaction_reports_the_capacity_of_its_reads(send: Send) -> None:
    request = put("1", ClientRequestToken=EXPLICIT, ReturnConsumedCapacity="TOTAL")
    first = send("TransactWriteItems", **request)
    status, answer = send("TransactWriteItems", **request)
    assert status == 200
    assert answer["ConsumedCapacity"] == [{"TableName": TABLE, "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0}]
    assert answer != first[1]


def test_a_refused_transaction_can_be_repeated(send: Send) -> None:
    request = put("1", ClientRequestToken=EXPLICIT)
    request["TransactItems"][0]["Put"]["ConditionExpression"] = "attribute_exists(pk)"
    status, answer = send("TransactWriteItems", **request)
    assert (status, answer["__type"]) == (400, "TransactionCanceledException")
    send("TransactWriteItems", **put("0"))
    assert send("TransactWriteItems", **request) == (200, {})
    assert version() == "1"


def test_a_refused_transaction_changes_nothing(send: Send) -> None:
    send("TransactWriteItems", **put("0"))
    before = contents(dynamodb)
    other = {"Delete": {"TableName": TABLE, "Key": {"pk": {"S": "p"}, "sk": {"S": "a"}}}}
    check = {
        "TableName": TABLE,
        "Key": {"pk": {"S": "q"}, "sk": {"S": "a"}},
        "ConditionExpression": "attribute_exists(pk)",
    }
    status, answer = send("TransactWriteItems", TransactItems=[other, {"ConditionCheck": check}])
    assert status == 400
    assert [reason["Code"] for reason in answer["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    assert contents(dynamodb) == before


@pytest.mark.usefixtures("fast_path")
def test_tokens_of_transactions_are_forgotten_after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    send_to(dynamodb, "TransactWriteItems", put("1", ClientRequestToken=AUTOMATIC))
    send_to(dynamodb, "TransactWriteItems", put("2"))
    monkeypatch.setattr(dynamodb, "_TXN_TOKEN_TTL", 0)
    assert send_to(dynamodb, "TransactWriteItems", put("1", ClientRequestToken=AUTOMATIC)) == (200, {})
    assert version() == "1"
