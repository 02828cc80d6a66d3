"""The calls of a plain request are those for which ministack needs permissions."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import ministack.app
import pytest
from ministack.core import iam_actions, iam_evaluator
from ministack.services import cloudwatch_logs, dynamodb, s3

from embedded.ministack.iam.conditions import install_conditions
from embedded.ministack.plain_requests.calls import PlainRequest, calls_of, service_and_action
from embedded.ministack.plain_requests.conditions import KEYS_OF_SERVICES

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY = {"pk": {"S": "A#1"}, "sk": {"S": "x"}}
OTHER = {"pk": {"S": "B#2"}}
ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("request_tag_context", "dynamodb_service_context", "dynamodb_transaction_checks"):
        monkeypatch.setattr(iam_actions, name, getattr(iam_actions, name))
    monkeypatch.setattr(iam_evaluator, "enforce", iam_evaluator.enforce)
    monkeypatch.setattr(ministack.app, "AUTH", True)
    monkeypatch.setitem(dynamodb._tables, "t", {"pk_name": "pk"})
    monkeypatch.setitem(cloudwatch_logs._log_groups, "g", {"tags": {"team": "a"}})
    s3._buckets["bucket"] = {"objects": {}}
    s3._object_tags["bucket", "key", None] = {"team": "a"}
    install_conditions({})
    yield
    s3.reset()


def from_ministack(service: str, request: PlainRequest) -> list[tuple[str, str, dict[str, Any]]]:
    """Return action, resource and condition keys of the calls that ministack checks, which are all allowed."""
    found = []

    def enforce(*arguments: Any, resource_arn: str = "*", service_context: Any = None) -> None:
        found.append((arguments[1], str(resource_arn), dict(service_context or {})))

    async def handler(*_: Any) -> Any:
        return 200, {}, b""

    with pytest.MonkeyPatch.context() as patched:
        # Below the correction that adds the keys of an item.
        ministack_enforce = iam_evaluator.enforce
        cells = dict(zip(ministack_enforce.__code__.co_freevars, ministack_enforce.__closure__ or (), strict=True))
        before = cells["ministack_enforce"].cell_contents
        cells["ministack_enforce"].cell_contents = enforce
        patched.setitem(ministack.app.SERVICE_HANDLERS, service, handler)
        patched.setattr(s3, "validate_object_request", lambda *_: None)
        try:
            asyncio.run(ministack.app._dispatch_service_request(*request[:5], "id"))
        finally:
            cells["ministack_enforce"].cell_contents = before
    return found


def in_json(service: str, target: str, query: Any = None, /, **fields: Any) -> tuple[str, PlainRequest]:
    headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.0", "host": "localhost"}
    body = json.dumps(fields).encode()
    return service, PlainRequest("POST", "/", signed(service, headers), body, query or {}, REGION, ACCOUNT)


def of_objects(
    method: str, path: str, query: Any = None, body: bytes = b"", **headers: str
) -> tuple[str, PlainRequest]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return "s3", PlainRequest(method, path, signed("s3", named), body, query or {}, REGION, ACCOUNT)


def signed(service: str, headers: dict[str, str]) -> dict[str, str]:
    scope = f"AWS4-HMAC-SHA256 Credential=key/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=x"
    return {**headers, "authorization": scope}


def table(operation: str, **fields: Any) -> tuple[str, PlainRequest]:
    return in_json("dynamodb", f"DynamoDB_20120810.{operation}", **fields)


NAMES = "ExpressionAttributeNames"
PUT = {"Put": {"TableName": "t", "Item": KEY}}
PLAIN = {
    "get-item": table("GetItem", TableName="t", Key=KEY, ProjectionExpression="#a.b, c", **{NAMES: {"#a": "x"}}),
    "get-item-by-arn": table("GetItem", TableName=ARN, Key=KEY),
    "query-index": table("Query", TableName="t", IndexName="by", Select="COUNT"),
    "batch-get": table("BatchGetItem", RequestItems={"t": {"Keys": [KEY, OTHER]}, "other": {"Keys": [KEY]}}),
    "batch-write": table("BatchWriteItem", RequestItems={"t": [{"PutRequest": {"Item": KEY}}]}),
    "transaction": table("TransactWriteItems", TransactItems=[PUT, {"Delete": {"TableName": ARN, "Key": OTHER}}]),
    "transaction-of-two-members": table("TransactWriteItems", TransactItems=[{**PUT, "Delete": PUT["Put"]}]),
    "transaction-with-wrong-items": table("TransactWriteItems", TransactItems=[PUT, "x", {"Put": {"Item": {}}}]),
    "transact-get": table("TransactGetItems", TransactItems=[{"Get": {"TableName": "t", "Key": KEY}}]),
    "tag-table": table("TagResource", TableName="t", Tags=[{"Key": "a", "Value": "b"}]),
    "put-events": in_json("events", "AWSEvents.PutEvents", Entries=[{"Source": "s"}, {"EventBusName": "b"}, "x"]),
    "put-rule": in_json("events", "AWSEvents.PutRule", Name="r", Tags=[{"Key": "a", "Value": "b"}]),
    "put-log-events": in_json("logs", "Logs_20140328.PutLogEvents", logGroupName="g", logStreamName="s"),
    "create-log-group": in_json("logs", "Logs_20140328.CreateLogGroup", logGroupName="new", tags={"a": "b"}),
    "task-success": in_json("states", "AWSStepFunctions.SendTaskSuccess", taskToken="t", output="{}"),
    "start-execution": in_json("states", "AWSStepFunctions.StartExecution", stateMachineArn="arn:aws:states:x"),
    "get": of_objects("GET", "/bucket/key"),
    "get-version": of_objects("GET", "/bucket/key", {"versionId": ["v"]}),
    "get-empty-version": of_objects("GET", "/bucket/key", {"versionId": [""]}),
    "get-of-folder": of_objects("GET", "/bucket//a//b/"),
    "head": of_objects("HEAD", "/bucket/key"),
    "head-bucket": of_objects("HEAD", "/bucket"),
    "list": of_objects("GET", "/bucket", {"list-type": ["2"], "prefix": ["a/"], "delimiter": ["/"], "max-keys": ["3"]}),
    "list-versions": of_objects("GET", "/bucket/", {"versions": [""], "prefix": ["a/"]}),
    "put": of_objects("PUT", "/bucket/key", body=b"x", x_amz_server_side_encryption="aws:kms", x_amz_acl="private"),
    "put-part": of_objects("PUT", "/bucket/key", {"uploadId": ["u"], "partNumber": ["1"]}, b"x"),
    "start-upload": of_objects("POST", "/bucket/key", {"uploads": [""]}),
    "abort": of_objects("DELETE", "/bucket/key", {"uploadId": ["u"]}),
    "delete": of_objects("DELETE", "/bucket/key"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_calls_are_those_of_ministack(name: str) -> None:
    signed_service, request = PLAIN[name]
    service, action = service_and_action(signed_service, request)
    assert service == signed_service
    found = [(call.action, str(call.resource), call.keys()) for call in calls_of(service, action, request)]
    assert found == from_ministack(service, request)
    for call in calls_of(service, action, request):
        keys = {key.lower(): value for key, value in call.keys().items()}
        quick = {key: call.quick_key(key) for key in KEYS_OF_SERVICES}
        assert {key: keys.get(key) for key, value in quick.items() if value is not ...} == {
            key: value for key, value in quick.items() if value is not ...
        }


@pytest.mark.parametrize(
    "asked",
    [
        table("TransactWriteItems", TransactItems=[]),
        table("ListTables"),
        in_json("dynamodb", "GetItem"),
        in_json("dynamodb", "AmazonSQS.SendMessage"),
        in_json("dynamodb", "DynamoDB_20120810.GetItem", {"Action": ["PutItem"]}),
        in_json("logs", "Logs_20140328.TagResource", resourceArn="arn"),
        of_objects("PUT", "/bucket/key", x_amz_copy_source="/bucket/other"),
        of_objects("DELETE", "/bucket/key", x_amz_bypass_governance_retention="true"),
        of_objects("POST", "/bucket", {"delete": [""]}, b"<Delete/>"),
        of_objects("POST", "/bucket", body=b"form"),
        of_objects("GET", "/bucket/key", {"attributes": [""]}),
        of_objects("GET", "/bucket/key", {"x-amz-meta-a": ["b"]}),
        of_objects("PUT", "/bucket", {"policy": [""]}, b"{}"),
        of_objects("GET", "/alias-s3alias/key"),
        of_objects("PUT", "/bucket/key", body=b"Action=GetObject", content_type="application/x-www-form-urlencoded"),
        of_objects("PUT", "/bucket/key", x_amz_target="x.GetObject"),
    ],
)
def test_other_requests_are_left_to_ministack(asked: tuple[str, PlainRequest]) -> None:
    service, action = service_and_action(*asked)
    assert not service or not calls_of(service, action, asked[1])


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"1"])
def test_bodies_that_are_no_json_objects_are_left_to_ministack(body: bytes) -> None:
    signed_service, request = PLAIN["get-item"]
    request = request._replace(body=body)
    assert calls_of(*service_and_action(signed_service, request), request) == []
