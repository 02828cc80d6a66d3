"""Limits that need a stack, or more data than a test should send."""

from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import dynamodb, eventbridge, iam, lambda_svc, s3
from ministack.services.cloudformation import provisioners

from embedded.ministack.http import limits
from tests.unit.embedded.ministack.conftest import Call

LAMBDA = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
PATCHED: dict[Any, tuple[str, ...]] = {
    eventbridge: ("_put_events",),
    dynamodb: ("_batch_get_item",),
    lambda_svc: ("_create_function", "_update_config", "_execute_function_warm", "handle_request"),
    s3: ("_put_object", "_copy_object", "_create_multipart_upload"),
    iam: ("_put_role_policy", "_create_policy"),
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module, names in PATCHED.items():
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    for name in ("PutRolePolicy", "CreatePolicy"):
        monkeypatch.setitem(iam._IAM_HANDLERS, name, iam._IAM_HANDLERS[name])
    for name in ("create", "update"):
        monkeypatch.setitem(LAMBDA, name, LAMBDA[name])
    limits.install_limits()
    yield
    dynamodb.reset()


def test_a_stack_with_too_large_variables_fails() -> None:
    function = {"Environment": {"Variables": {"UPLOADS": "x" * 4_096}}}
    for call in (lambda: LAMBDA["create"]("F", function, "s"), lambda: LAMBDA["update"]("f", {}, function, "s")):
        with pytest.raises(ValueError, match="exceeded the 4KB limit"):
            call()


def test_a_batch_returns_the_keys_beyond_its_largest_size(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    """Functions and commands ask again for the keys that were not processed."""
    monkeypatch.setattr(limits, "BATCH_GET_BYTES", 2_000)

    def send(operation: str, **fields: Any) -> dict[str, Any]:
        return call(dynamodb, operation, **fields)

    for table in ("first", "second"):
        key = {"AttributeName": "p", "AttributeType": "S"}
        schema = [{"AttributeName": "p", "KeyType": "HASH"}]
        send(
            "CreateTable", TableName=table, KeySchema=schema, AttributeDefinitions=[key], BillingMode="PAY_PER_REQUEST"
        )
    keys = [{"p": {"S": str(index)}} for index in range(4)]
    for key in keys:
        send("PutItem", TableName="first", Item={**key, "data": {"S": "x" * (500 - len("p1data"))}})
    request = {"first": {"Keys": keys, "ConsistentRead": True}, "second": {"Keys": keys[:1]}}
    whole = send("BatchGetItem", RequestItems=request)
    assert (len(whole["Responses"]["first"]), whole["UnprocessedKeys"]) == (4, {})

    monkeypatch.setattr(limits, "BATCH_GET_BYTES", 1_999)
    part = send("BatchGetItem", RequestItems=request)
    assert len(part["Responses"]["first"]) == 3
    assert part["UnprocessedKeys"]["first"] == {"Keys": keys[3:], "ConsistentRead": True}


@pytest.mark.parametrize(
    ("text", "received", "refused"),
    [
        ("é" * 50, 300, False),
        ("é" * 50, 80, False),
        ("é" * 50, None, False),
        ("é" * 51, 306, True),
        ("é" * 51, None, True),
    ],
)
def test_an_answer_is_measured_in_utf_8(
    monkeypatch: pytest.MonkeyPatch, text: str, received: int | None, refused: bool
) -> None:
    """A worker writes all characters but ASCII as escapes, which are longer."""
    monkeypatch.setattr(limits, "RESPONSE_BYTES", 102)
    monkeypatch.setattr(lambda_svc, "_execute_function_warm", lambda: {"body": text})
    limits._limit_invocations()
    sizes = iter([None, received])
    monkeypatch.setattr(limits, "take_answer_bytes", lambda: next(sizes))
    assert bool(lambda_svc._execute_function_warm().get("error")) is refused


def test_an_answer_whose_text_is_short_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_svc, "_execute_function_warm", lambda: {"body": "answer"})
    limits._limit_invocations()
    monkeypatch.setattr(limits, "take_answer_bytes", lambda: 8)
    monkeypatch.setattr(limits, "json", None)
    assert lambda_svc._execute_function_warm() == {"body": "answer"}
