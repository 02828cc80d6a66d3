"""Requests of tests and functions are checked against botocore's models, as AWS checks them."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.stub import Stubber

from embedded.requests.constraints import is_constrained


def call(service: str, operation: str, **request: Any) -> Any:
    """Call a client whose requests end in the error `Sent`."""
    client = boto3.client(service, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stub.add_client_error(operation, "Sent")
        return getattr(client, operation)(**request)


@pytest.mark.parametrize(
    ("service", "operation", "request_", "problem"),
    [
        ("stepfunctions", "start_execution", {"stateMachineArn": "a", "name": "n" * 81}, "less than or equal to 80"),
        ("scheduler", "get_schedule", {"Name": "a b"}, "regular expression pattern"),
        ("dynamodb", "get_item", {"TableName": "t", "Key": {}, "ReturnConsumedCapacity": "ALL"}, "enum value set"),
        ("dynamodb", "transact_write_items", {"TransactItems": [{}] * 101}, "length less than or equal to 100"),
        (
            "dynamodb",
            "put_item",
            {"TableName": "t", "Item": {"a": {"L": [{"M": {"n" * 65_536: {"S": "b"}}}]}}},
            "length less than or equal to 65535",
        ),
        ("stepfunctions", "list_executions", {"stateMachineArn": "a", "maxResults": 1001}, "value less than or equal"),
    ],
)
def test_a_request_that_the_service_refuses_is_not_sent(
    service: str, operation: str, request_: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ParamValidationError, match=problem):
        call(service, operation, **request_)


def test_a_valid_request_is_sent() -> None:
    with pytest.raises(ClientError, match="Sent"):
        call("stepfunctions", "start_execution", stateMachineArn="a", name="n" * 80)


def test_only_shapes_without_any_constraint_are_skipped() -> None:
    """An attribute's value may contain itself, and names with a largest length."""
    model = boto3.client("dynamodb", region_name="eu-central-1").meta.service_model
    value = model.shape_for("AttributeValue")
    assert is_constrained(value)
    assert not is_constrained(value.members["S"])
    assert is_constrained(model.shape_for("PutItemInput"))
    assert not is_constrained(model.shape_for("StringSetAttributeValue"))
