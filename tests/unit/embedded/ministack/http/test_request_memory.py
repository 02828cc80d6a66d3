"""A request's caller and body are found out once, and only while it is answered."""

import contextvars
import json
from collections.abc import Iterator
from typing import Any

import ministack.app
import pytest
from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import dynamodb, iam, sts

from embedded.ministack.http import request_memory
from embedded.ministack.http.request_memory import install_request_memory, parsed, remembered, signed_request
from embedded.ministack.iam.identity import install_policy_cache, role_credentials

BODY = b'{"TableName": "t"}'


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ministack.app, "pin_signed_request", ministack.app.pin_signed_request)
    for name in ("resolve_principal", "parse_policy_document", "_first_match"):
        monkeypatch.setattr(iam_evaluator, name, getattr(iam_evaluator, name))
    for name in ("expected_success_content_type", "expected_error_content_type"):
        monkeypatch.setattr(responses, name, getattr(responses, name))
    for module in (iam_actions, dynamodb):
        monkeypatch.setattr(module, "json", module.json)
    install_policy_cache()
    install_request_memory()
    yield
    iam.reset()
    sts.reset()


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list of the texts that are parsed."""
    found: list[Any] = []

    class Json:
        @staticmethod
        def loads(text: Any) -> Any:
            found.append(text)
            return json.loads(text)

    monkeypatch.setattr(request_memory, "json", Json)
    return found


def test_the_body_is_parsed_once(texts: list[Any]) -> None:
    with remembered("key", {}, {}):
        iam_actions.dynamodb_resource_arns(BODY, "us-east-1", "1")
        iam_actions.dynamodb_service_context(BODY)
        assert parsed(BODY) is parsed(BODY)
        assert parsed(bytes(bytearray(BODY))) == {"TableName": "t"}
    parsed(BODY)
    assert texts == [BODY] * 3
    with remembered("key", {}, {}), pytest.raises(json.JSONDecodeError):
        parsed(b"{")


def test_a_thread_of_an_answered_request_reads_policies_again(role: Any) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    arn = role("reader", "lambda.amazonaws.com", statement)
    key = role_credentials(arn, "session").access_key_id

    def policies() -> Any:
        return iam_evaluator.resolve_principal(key, arn.split(":")[4]).policies

    with remembered(key, {}, {}):
        before = policies()
        assert len(before) == 1
        iam._roles["reader"]["InlinePolicies"] = {}
        assert policies() is before
        thread = contextvars.copy_context()
    assert thread.run(signed_request) is None
    assert thread.run(policies) == []


def test_a_verified_signature_is_not_checked_again() -> None:
    headers = [(b"authorization", b"AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, Signature=x")]

    def pin() -> Any:
        ministack.app.pin_signed_request("GET", "/", {}, headers)
        return iam_evaluator._signed_request.get(), iam_evaluator._verified_key.get(), iam_evaluator._anonymous.get()

    with remembered("key", {}, {}):
        assert contextvars.copy_context().run(pin) == (None, "key", False)
    request, verified, is_anonymous = contextvars.copy_context().run(pin)
    assert (request.access_key_id, verified, is_anonymous) == ("key", "", False)


def test_actions_of_a_statement_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    [statement] = iam_evaluator.parse_policy_document('{"Statement": {"Effect": "Allow", "Action": "s3:Get*"}}')
    context = iam_evaluator.EvalContext("arn", "User", "1", "s3:GetObject", "*", "")
    assert iam_evaluator._first_match(context, [statement], "Allow") is statement
    monkeypatch.setattr(iam_evaluator, "_action_matches", None)
    assert iam_evaluator._first_match(context, [statement], "Allow") is statement
    assert iam_evaluator._first_match(context, [statement], "Deny") is None
