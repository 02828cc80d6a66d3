"""A quick check confirms ordinary signatures, and none that ministack refuses."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from embedded.ministack.http.messages import header_map, query_map
from embedded.ministack.iam import signatures
from embedded.ministack.iam.identity import role_credentials
from embedded.ministack.plain_requests.signature import read_signature

pytestmark = pytest.mark.usefixtures("no_callers")

ACCOUNT = "000000000000"


@pytest.fixture
def credentials(role: Any) -> Credentials:
    made = role_credentials(role("r", "lambda.amazonaws.com", {"Effect": "Allow", "Action": "*", "Resource": "*"}), "s")
    return Credentials(made.access_key_id, made.secret_access_key, made.session_token)


def signed(
    credentials: Credentials, service: str, method: str = "POST", path: str = "/", body: bytes = b"", **headers: str
) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, f"https://localhost:4566{path}", data=body, headers=named)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, "us-east-1").add_auth(request)
    prepared = {"host": "localhost:4566", **{name.lower(): str(value) for name, value in request.headers.items()}}
    sent, _, query = path.partition("?")
    return {
        "method": method, "path": sent, "raw_path": sent.encode(), "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in prepared.items()],
    }  # fmt: skip


def checks(scope: dict[str, Any], body: bytes) -> tuple[bool, bool]:
    """Return whether the quick check confirms a request, and whether the whole check accepts it."""
    headers, query = header_map(scope), query_map(scope)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def both() -> tuple[bool, bool]:
        caller, again = await signatures._confirmed_caller(scope, headers, query, receive)
        failure, _, _ = await signatures._check_signature(scope, headers, query, again, ACCOUNT)
        return caller is not None, failure is None

    return asyncio.run(both())


def requests(credentials: Credentials) -> dict[str, tuple[dict[str, Any], bytes]]:
    item = b'{"TableName": "t"}'
    return {
        "item": (signed(credentials, "dynamodb", body=item, x_amz_target="DynamoDB_20120810.GetItem"), item),
        "no-body": (signed(credentials, "states"), b""),
        "get": (signed(credentials, "s3", "GET", "/bucket/a%20b%2Fc"), b""),
        "list": (signed(credentials, "s3", "GET", "/bucket?list-type=2&prefix=a%2Fb%20c%C3%A9&start-after="), b""),
        "put": (signed(credentials, "s3", "PUT", "/bucket/key", b"x", x_amz_meta_a="two   spaces"), b"x"),
    }


@pytest.mark.parametrize("name", ["item", "no-body", "get", "list", "put"])
def test_ordinary_signatures_are_confirmed(credentials: Credentials, name: str) -> None:
    assert checks(*requests(credentials)[name]) == (True, True)


def test_no_request_is_confirmed_that_ministack_refuses(credentials: Credentials) -> None:
    random.seed(1)
    outcomes = set()
    for scope, body in requests(credentials).values():
        for position in range(len(scope["headers"])):
            name, value = scope["headers"][position]
            for _ in range(12):
                at = random.randrange(len(value))
                other = value[:at] + random.choice([b"", b"0", b" ", b"A", b";", b"/", b","]) + value[at + 1 :]
                headers = [*scope["headers"][:position], (name, other), *scope["headers"][position + 1 :]]
                outcomes.add(checks({**scope, "headers": headers}, body))
            without = [each for each in scope["headers"] if each[0] != name]
            outcomes.add(checks({**scope, "headers": without}, body))
        for changed in ({"method": "DELETE"}, {"raw_path": b"/other"}, {"query_string": b"versionId=x"}):
            outcomes.add(checks({**scope, **changed}, body))
        outcomes.add(checks(scope, body + b" "))
    assert (True, False) not in outcomes
    assert {(True, True), (False, False)} <= outcomes


@pytest.mark.parametrize(
    "other",
    [
        {"x-amz-security-token": "other"},
        {"x-amz-security-token": "é"},
        {"x-amz-content-sha256": ""},
        {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
        {"x-amz-date": "20261301T000000Z"},
    ],
)
def test_unusual_headers_are_left_to_the_whole_check(credentials: Credentials, other: dict[str, str]) -> None:
    scope, body = requests(credentials)["put"]
    headers = [(name, other.get(name.decode(), value.decode()).encode()) for name, value in scope["headers"]]
    assert checks({**scope, "headers": headers}, body) == (False, False)


def test_a_session_without_its_token_is_not_confirmed(credentials: Credentials) -> None:
    scope = signed(Credentials(credentials.access_key, credentials.secret_key), "s3", "GET", "/bucket/key")
    assert checks(scope, b"") == (False, False)


def test_only_recent_signatures_are_confirmed(credentials: Credentials) -> None:
    scope, _ = requests(credentials)["get"]
    headers = header_map(scope)
    assert read_signature(headers) is not None
    for minutes in (-5, 5):
        moved = f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y%m%dT%H%M%SZ}"
        assert read_signature({**headers, "x-amz-date": moved}) is None


def test_a_body_is_only_read_for_a_caller_with_his_token(credentials: Credentials) -> None:
    scope, _ = requests(credentials)["item"]
    headers = {**header_map(scope), "x-amz-security-token": "other"}

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    caller, _ = asyncio.run(signatures._confirmed_caller(scope, headers, {}, receive))
    assert caller is None
