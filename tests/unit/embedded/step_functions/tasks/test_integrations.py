"""Integrations that ministack serves, called with the permissions of the state machine's role."""

import json
import uuid
from typing import Any

import pytest

from tests.unit.embedded.step_functions.machines import Workflows

KEY = {"id": {"S": "one"}}


def calls(workflows: Workflows) -> dict[str, dict[str, Any]]:
    """Return the parameters of one call per integration, by its name in the Resource."""
    endpoint = workflows.aws.endpoint
    queue = endpoint.client("sqs").create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    topic = endpoint.client("sns").create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]
    entry = {"Source": "test", "DetailType": "Tested", "Detail": {"n": 1}}
    change = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "2"}}}
    return {
        "dynamodb:putItem": {"TableName": workflows.table, "Item": {**KEY, "n": {"N": "1"}}},
        "dynamodb:updateItem": {"TableName": workflows.table, "Key": KEY, **change},
        "dynamodb:getItem": {"TableName": workflows.table, "Key": KEY},
        "dynamodb:deleteItem": {"TableName": workflows.table, "Key": KEY},
        "sqs:sendMessage": {"QueueUrl": queue, "MessageBody": {"n": 1}},
        "sns:publish": {"TopicArn": topic, "Message": "hello"},
        "events:putEvents": {"Entries": [entry]},
    }


def in_turn(tasks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a definition that makes the calls in sequence and stores each result by call name."""
    names = list(tasks)
    states = {
        name: {
            "Type": "Task", "Resource": f"arn:aws:states:::{name}", "Parameters": parameters,
            "ResultPath": f"$.{name.partition(':')[2]}",
            **({"Next": following} if following else {"End": True}),
        }
        for (name, parameters), following in zip(tasks.items(), [*names[1:], None], strict=True)
    }  # fmt: skip
    return {"StartAt": names[0], "States": states}


def test_each_integration_returns_the_response_of_its_service(workflows: Workflows) -> None:
    tasks = calls(workflows)
    result = workflows.run(in_turn(tasks))
    assert result["status"] == "SUCCEEDED", result
    output = json.loads(result["output"])
    assert output["getItem"]["Item"]["n"] == {"N": "2"}
    assert output["sendMessage"]["MessageId"]
    assert output["publish"]["MessageId"]
    assert output["putEvents"]["FailedEntryCount"] == 0
    table = workflows.aws.endpoint.client("dynamodb")
    assert "Item" not in table.get_item(TableName=workflows.table, Key=KEY)
    queue = workflows.aws.endpoint.client("sqs")
    [message] = queue.receive_message(QueueUrl=tasks["sqs:sendMessage"]["QueueUrl"])["Messages"]
    assert json.loads(message["Body"]) == {"n": 1}


@pytest.mark.parametrize(
    ("name", "error", "action"),
    [
        ("dynamodb:getItem", "DynamoDB.AmazonDynamoDBException", "dynamodb:GetItem"),
        ("sqs:sendMessage", "SQS.AmazonSQSException", "sqs:SendMessage"),
        ("sns:publish", "SNS.AmazonSNSException", "sns:Publish"),
        ("events:putEvents", "EventBridge.AmazonEventBridgeException", "events:PutEvents"),
    ],
)
def test_each_integration_needs_its_permission(workflows: Workflows, name: str, error: str, action: str) -> None:
    result = workflows.run(in_turn({name: calls(workflows)[name]}), role_arn=workflows.role())
    assert (result["status"], result["error"]) == ("FAILED", error)
    assert f"not authorized to perform: {action} on resource: arn:aws:{name.partition(':')[0]}:" in result["cause"]
