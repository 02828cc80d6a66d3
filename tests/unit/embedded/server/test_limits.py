"""Size limits of AWS: the largest accepted request passes, and a larger one fails.

Most are not in botocore's models. Sizes and names are those of AWS's documentation and of errors in
public issue threads.
"""

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from embedded.server.embedded_aws import EmbeddedAws

SERVICES = ["lambda.amazonaws.com", "states.amazonaws.com"]
TRUST = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"Service": SERVICES}, "Action": "sts:AssumeRole"}]})
FUNCTION = "def handler(event, context):\n    return 'x' * event['size'] if 'size' in event else None\n"


@dataclass
class Account:
    """A table, a queue, a bucket, roles, a function and a state machine for the requests below."""

    aws: EmbeddedAws
    name: str
    role_arn: str = ""
    queue_url: str = ""
    machine_arn: str = ""

    def client(self, service: str) -> Any:
        return self.aws.endpoint.client(service)

    def unchecked(self, service: str) -> Any:
        """Return a client that sends every request, also those that violate botocore's model."""
        endpoint = self.aws.endpoint
        session = boto3.Session(endpoint.access_key_id, endpoint.secret_access_key, region_name=endpoint.region)
        config = Config(parameter_validation=False)
        return session.client(service, endpoint_url=endpoint.url, verify=str(endpoint.ca_bundle), config=config)


@pytest.fixture(scope="module")
def account(aws: EmbeddedAws) -> Iterator[Account]:
    made = Account(aws, f"limits-{uuid.uuid4().hex[:8]}")
    named = made.name
    made.role_arn = made.client("iam").create_role(RoleName=named, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    made.queue_url = made.client("sqs").create_queue(QueueName=named)["QueueUrl"]
    made.client("s3").create_bucket(Bucket=named)
    made.client("dynamodb").create_table(
        TableName=named,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("p", "s")],
    )
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    machine = made.client("stepfunctions").create_state_machine(
        name=named, definition=definition, roleArn=made.role_arn
    )
    made.machine_arn = machine["stateMachineArn"]
    create_function(made, named, {})
    yield made
    made.client("lambda").delete_function(FunctionName=named)


def create_function(account: Account, name: str, variables: dict[str, str]) -> Any:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("worker.py", FUNCTION)
    return account.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="worker.handler",
        Role=account.role_arn,
        Code={"ZipFile": package.getvalue()},
        Environment={"Variables": variables},
    )


def environment(account: Account, size: int) -> Any:
    return create_function(account, f"env-{uuid.uuid4().hex[:8]}", {"AB": "x" * (size - len('{"AB":""}'))})


def change_environment(account: Account, size: int) -> Any:
    variables = {"AB": "x" * (size - len('{"AB":""}'))}
    return account.client("lambda").update_function_configuration(
        FunctionName=account.name, Environment={"Variables": variables}
    )


def invoke(kind: str) -> Callable[[Account, int], Any]:
    def call(account: Account, size: int) -> Any:
        payload = json.dumps("x" * (size - 2))
        return account.client("lambda").invoke(FunctionName=account.name, InvocationType=kind, Payload=payload)

    return call


def put_events(account: Account, size: int) -> Any:
    detail = json.dumps("x" * (size // 2 - len("me" + "it") - 2))
    return account.client("events").put_events(Entries=[{"Source": "me", "DetailType": "it", "Detail": detail}] * 2)


def item(account: Account, size: int, key: str = "k") -> dict[str, Any]:
    return {"p": {"S": key}, "s": {"S": key}, "data": {"S": "x" * (size - len("psdata") - 2 * len(key))}}


def put_item(account: Account, size: int) -> Any:
    return account.client("dynamodb").put_item(TableName=account.name, Item=item(account, size))


def put_key(name: str) -> Callable[[Account, int], Any]:
    def call(account: Account, size: int) -> Any:
        key = {"p": {"S": "k"}, "s": {"S": "k"}, name: {"S": "x" * size}}
        return account.client("dynamodb").put_item(TableName=account.name, Item=key)

    return call


def grow_item(account: Account, size: int) -> Any:
    key = {"p": {"S": "g"}, "s": {"S": "g"}}
    return account.client("dynamodb").update_item(
        TableName=account.name,
        Key=key,
        UpdateExpression="SET #data = :data",
        ExpressionAttributeNames={"#data": "data"},
        ExpressionAttributeValues={":data": item(account, size, "g")["data"]},
    )


def transact(account: Account, size: int) -> Any:
    """Write items of 300 kB in one transaction."""
    puts = [item(account, min(300_000, size - start), str(start)) for start in range(0, size, 300_000)]
    writes = [{"Put": {"TableName": account.name, "Item": each}} for each in puts]
    return account.client("dynamodb").transact_write_items(TransactItems=writes)


def send_message(account: Account, size: int) -> Any:
    return account.client("sqs").send_message(QueueUrl=account.queue_url, MessageBody="x" * size)


def start(account: Account, size: int) -> Any:
    return account.unchecked("stepfunctions").start_execution(
        stateMachineArn=account.machine_arn, input=json.dumps("x" * (size - 2))
    )


def start_named(account: Account, size: int) -> Any:
    name = uuid.uuid4().hex.ljust(size, "x")
    return account.unchecked("stepfunctions").start_execution(stateMachineArn=account.machine_arn, name=name)


def put_object(account: Account, size: int) -> Any:
    return account.client("s3").put_object(Bucket=account.name, Key="ä" * (size // 2) + "x" * (size % 2), Body=b"")


def upload_parts(account: Account, size: int) -> Any:
    return account.client("s3").create_multipart_upload(Bucket=account.name, Key="x" * size)


def policy(size: int) -> str:
    """Return a policy of a size without white space."""
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=1)
    return text.replace("b/", "b/" + "x" * (size - len("".join(text.split()))))


def role_policies(account: Account, size: int) -> Any:
    """Put two inline policies."""
    iam = account.client("iam")
    iam.put_role_policy(RoleName=account.name, PolicyName="half", PolicyDocument=policy(5_000))
    return iam.put_role_policy(RoleName=account.name, PolicyName="rest", PolicyDocument=policy(size - 5_000))


def managed_policy(account: Account, size: int) -> Any:
    return account.client("iam").create_policy(PolicyName=f"p-{uuid.uuid4().hex}", PolicyDocument=policy(size))


LIMITS: dict[str, tuple[Callable[[Account, int], Any], int, int, str]] = {
    "input of an execution": (start, 262_144, 262_145, "ValidationException"),
    "name of an execution": (start_named, 80, 81, "ValidationException"),
    "item": (put_item, 409_600, 409_601, "ValidationException"),
    # UpdateItem also counts the expression.
    "item that grows": (grow_item, 409_500, 409_601, "ValidationException"),
    "partition key": (put_key("p"), 2_048, 2_049, "ValidationException"),
    "sort key": (put_key("s"), 1_024, 1_025, "ValidationException"),
    # The limit here counts the request, which is a little larger than its items.
    "items of a transaction": (transact, 4_000_000, 4_194_305, "ValidationException"),
    "message of a queue": (send_message, 1_048_576, 1_048_577, "InvalidParameterValue"),
    "events of a request": (put_events, 262_144, 262_146, "ValidationException"),
    "environment of a new function": (environment, 4_096, 4_097, "InvalidParameterValueException"),
    "environment of a function": (change_environment, 4_096, 4_097, "InvalidParameterValueException"),
    "synchronous call": (invoke("RequestResponse"), 6_291_456, 6_291_457, "RequestEntityTooLargeException"),
    "asynchronous call": (invoke("Event"), 1_048_576, 1_048_577, "RequestEntityTooLargeException"),
    "key of an object": (put_object, 1_024, 1_025, "KeyTooLongError"),
    "key of an upload in parts": (upload_parts, 1_024, 1_025, "KeyTooLongError"),
    "inline policies of a role": (role_policies, 10_240, 10_241, "LimitExceeded"),
    "managed policy": (managed_policy, 6_144, 6_145, "LimitExceeded"),
}
"""Request, largest size that is accepted, size that is refused, and the error's code."""


@pytest.mark.parametrize("limit", LIMITS)
def test_a_request_above_the_limit_is_refused_with_the_code_of_aws(account: Account, limit: str) -> None:
    call, accepted, refused, code = LIMITS[limit]
    call(account, accepted)
    with pytest.raises(ClientError) as failure:
        call(account, refused)
    assert failure.value.response["Error"]["Code"] == code


def test_a_response_of_more_than_6_mb_fails_the_call(account: Account) -> None:
    def call(size: int) -> Any:
        payload = json.dumps({"size": size - 2})
        return account.client("lambda").invoke(FunctionName=account.name, Payload=payload)

    assert "FunctionError" not in call(6_291_556)
    answer = call(6_291_557)
    assert answer["FunctionError"]
    assert json.loads(answer["Payload"].read())["errorType"] == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize("name", ["two words", "a/b", "a:b", "a\tb"])
def test_a_name_with_other_characters_is_refused(account: Account, name: str) -> None:
    with pytest.raises(ClientError) as refused:
        account.client("stepfunctions").start_execution(stateMachineArn=account.machine_arn, name=name)
    assert refused.value.response["Error"]["Code"] == "InvalidName"
