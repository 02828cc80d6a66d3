import json

import pytest
from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb

from embedded.ministack.iam.conditions import install_conditions
from embedded.sagemaker.requests.condition_keys import condition_keys


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_actions, "request_tag_context", iam_actions.request_tag_context)
    install_conditions({})


def context(action: str, *entries: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = iam_actions.request_tag_context(
        "events", action, json.dumps({"Entries": entries}).encode(), {}
    )
    return found


@pytest.mark.usefixtures("installed")
def test_policies_see_source_and_detail_type_of_put_events() -> None:
    one = {"Source": "fleetscore", "DetailType": "a"}
    assert context("events:PutEvents", one) == {"events:source": ["fleetscore"], "events:detail-type": "a"}
    both = context("events:PutEvents", one, {"Source": "other", "DetailType": "a"})
    assert both["events:source"] == ["fleetscore", "other"]


@pytest.mark.usefixtures("installed")
def test_other_requests_get_no_event_conditions() -> None:
    assert context("events:PutRule") == {}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("request_tag_context", "dynamodb_service_context", "dynamodb_transaction_checks"):
        monkeypatch.setattr(iam_actions, name, getattr(iam_actions, name))
    monkeypatch.setattr(iam_evaluator, "enforce", iam_evaluator.enforce)
    index = {"IndexName": "by", "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}]}
    monkeypatch.setitem(dynamodb._tables, "t", {"pk_name": "pk", "GlobalSecondaryIndexes": [index]})
    install_conditions({})


KEY = {"pk": {"S": "A#1"}, "sk": {"S": "x"}}


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"TableName": "t", "Key": KEY}, ["A#1"]),
        ({"TableName": "arn:aws:dynamodb:us-east-1:000000000000:table/t", "Item": {**KEY, "a": {"N": "1"}}}, ["A#1"]),
        (
            {
                "TableName": "t",
                "KeyConditionExpression": "#p = :p AND begins_with(sk, :s)",
                "ExpressionAttributeNames": {"#p": "pk"},
                "ExpressionAttributeValues": {":p": {"S": "A#1"}, ":s": {"S": "x"}},
            },
            ["A#1"],
        ),
        (
            {
                "TableName": "t",
                "IndexName": "by",
                "KeyConditionExpression": "group = :g",
                "ExpressionAttributeValues": {":g": {"S": "G"}},
            },
            ["G"],
        ),
        ({"RequestItems": {"t": {"Keys": [KEY, {"pk": {"S": "B#2"}}]}}}, ["A#1", "B#2"]),
        ({"RequestItems": {"t": [{"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": KEY}}]}}, ["A#1", "A#1"]),
        ({"TableName": "t"}, None),
        ({"TableName": "missing", "Key": KEY}, None),
    ],
)
def test_policies_see_the_partition_keys_of_a_request(request_: dict[str, object], expected: list[str] | None) -> None:
    found = iam_actions.dynamodb_service_context(json.dumps(request_).encode())
    assert found.get("dynamodb:LeadingKeys") == expected


@pytest.mark.usefixtures("table")
def test_each_item_of_a_transaction_is_authorized_with_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [{"Put": {"TableName": "t", "Item": KEY}}, {"Delete": {"TableName": "t", "Key": {"pk": {"S": "B#2"}}}}]
    body = json.dumps({"TransactItems": items}).encode()
    checks = iam_actions.dynamodb_transaction_checks("dynamodb:TransactWriteItems", body, "us-east-1", "0")
    seen: list[object] = []
    monkeypatch.setattr(iam_evaluator, "authenticate", lambda *_: None)
    monkeypatch.setattr(
        iam_evaluator,
        "resolve_principal",
        lambda *_: iam_evaluator.PrincipalInfo("arn:aws:iam::0:user/u", "User", "0", [[]]),
    )

    def evaluate(context: iam_evaluator.EvalContext, *_: object) -> iam_evaluator.EvalResult:
        seen.append(context.service_context["dynamodb:leadingkeys"])
        return iam_evaluator.EvalResult("Allow")

    monkeypatch.setattr(iam_evaluator, "evaluate", evaluate)
    for action, arn in checks:
        iam_evaluator.enforce("key", action, "dynamodb", "us-east-1", resource_arn=arn, service_context={})
    assert [action for action, _ in checks] == ["dynamodb:PutItem", "dynamodb:DeleteItem"]
    assert seen == [["A#1"], ["B#2"]]


@pytest.mark.parametrize(
    "request_",
    [
        {
            "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "VolumeKmsKeyId": "v"}},
            "ProcessingOutputConfig": {"KmsKeyId": "o"},
            "NetworkConfig": {"EnableNetworkIsolation": True, "VpcConfig": {"Subnets": ["s"]}},
        },
        {
            "ResourceConfig": {"InstanceType": "ml.m5.large", "VolumeKmsKeyId": "v"},
            "OutputDataConfig": {"KmsKeyId": "o"},
            "EnableNetworkIsolation": True,
            "VpcConfig": {"Subnets": ["s"]},
        },
    ],
    ids=["processing", "training"],
)
def test_policies_see_what_a_request_for_a_job_asks_for(
    monkeypatch: pytest.MonkeyPatch, request_: dict[str, object]
) -> None:
    monkeypatch.setattr(iam_actions, "request_tag_context", iam_actions.request_tag_context)
    install_conditions({"sagemaker:CreateAnyJob": condition_keys})
    found = iam_actions.request_tag_context("sagemaker", "sagemaker:CreateAnyJob", json.dumps(request_).encode(), {})
    assert found == {
        "sagemaker:InstanceTypes": ["ml.m5.large"],
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:InterContainerTrafficEncryption": "false",
        "sagemaker:OutputKmsKey": "o",
        "sagemaker:VolumeKmsKey": "v",
        "sagemaker:VpcSubnets": ["s"],
    }
