"""Pages of queries end where those of ministack end."""

from typing import Any

import pytest

from tests.unit.embedded.ministack.dynamodb.plain_requests.conftest import TABLE, Send


@pytest.mark.parametrize(("count", "size"), [(8, 200_000), (5, 209_700), (6, 174_745), (3, 400_000), (2, 409_500)])
@pytest.mark.parametrize("limit", [None, 2, 5])
def test_a_page_has_a_megabyte_or_the_limit(send: Send, count: int, size: int, limit: int | None) -> None:
    for number in range(count):
        # Seven bytes of names and keys.
        item = {"pk": {"S": "p"}, "sk": {"S": str(number)}, "b": {"S": "x" * size}}
        assert send("PutItem", TableName=TABLE, Item=item) == (200, {})
    request: dict[str, Any] = {
        "TableName": TABLE,
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "p"}},
        **({"Limit": limit} if limit else {}),
    }
    found: list[str] = []
    while True:
        _status, answer = send("Query", **request)
        found += [item["sk"]["S"] for item in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            break
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    assert found == [str(number) for number in range(count)]
