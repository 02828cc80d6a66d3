"""State machines for tests, with a function, a bucket and a table."""

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from embedded.server.embedded_aws import EmbeddedAws

FUNCTION = """
import os, time
import boto3

class NoSeatsLeft(Exception):
    pass

def handler(event, context):
    if "raise" in event:
        raise NoSeatsLeft(event["raise"])
    if "big" in event:
        return "x" * event["big"]
    if "count" in event:
        table = boto3.client("dynamodb")
        answer = table.update_item(
            TableName=os.environ["TABLE"], Key={"id": {"S": event["count"]}}, ReturnValues="UPDATED_NEW",
            UpdateExpression="ADD seen :one", ExpressionAttributeValues={":one": {"N": "1"}})
        seen = int(answer["Attributes"]["seen"]["N"])
        if seen <= event.get("fail_first", 0):
            raise NoSeatsLeft(f"call {seen}")
        return seen
    if "wait_for" in event:
        table = boto3.client("dynamodb")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if "Item" in table.get_item(TableName=os.environ["TABLE"], Key={"id": {"S": event["wait_for"]}}):
                return "released"
            time.sleep(0.02)
        raise TimeoutError(event["wait_for"])
    return {"echo": event, "name": context.function_name, "role": boto3.client("sts").get_caller_identity()["Arn"]}
"""


@dataclass
class Workflows:
    """Creates and runs state machines."""

    aws: EmbeddedAws
    function_arn: str
    bucket: str
    table: str

    def __post_init__(self) -> None:
        self.client = self.aws.endpoint.client("stepfunctions")
        self.iam = self.aws.endpoint.client("iam")

    def role(self, *statements: dict[str, Any], service: str = "states.amazonaws.com") -> str:
        name = f"role-{uuid.uuid4().hex[:12]}"
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
        return str(arn)

    def powerful_role(self) -> str:
        return self.role({"Effect": "Allow", "Action": "*", "Resource": "*"})

    def create(self, definition: dict[str, Any], role_arn: str | None = None) -> str:
        answer = self.client.create_state_machine(
            name=f"machine-{uuid.uuid4().hex[:12]}",
            definition=json.dumps(definition),
            roleArn=role_arn or self.powerful_role(),
        )
        return str(answer["stateMachineArn"])

    def start(self, definition: dict[str, Any], data: Any = None, role_arn: str | None = None) -> str:
        machine = self.create(definition, role_arn)
        answer = self.client.start_execution(stateMachineArn=machine, input=json.dumps({} if data is None else data))
        return str(answer["executionArn"])

    def run(self, definition: dict[str, Any], data: Any = None, role_arn: str | None = None) -> dict[str, Any]:
        return self.ended(self.start(definition, data, role_arn))

    def ended(self, execution_arn: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.wait(
            lambda: self.described(execution_arn), lambda shown: shown["status"] != "RUNNING"
        )
        return shown

    def described(self, execution_arn: str) -> dict[str, Any]:
        described: dict[str, Any] = self.client.describe_execution(executionArn=execution_arn)
        return described

    def wait(self, look: Any, until: Any, seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while not until(seen := look()):
            assert time.monotonic() < deadline, f"not reached within {seconds} s: {seen}"
            time.sleep(0.02)
        return seen

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        return [event for page in pages for event in page["events"]]

    def event_types(self, execution_arn: str) -> list[str]:
        return [event["type"] for event in self.history(execution_arn)]

    def map_run(self, execution_arn: str) -> dict[str, Any]:
        (run,) = self.client.list_map_runs(executionArn=execution_arn)["mapRuns"]
        described: dict[str, Any] = self.client.describe_map_run(mapRunArn=run["mapRunArn"])
        return described

    def children(self, execution_arn: str) -> list[dict[str, Any]]:
        arn = self.map_run(execution_arn)["mapRunArn"]
        listed: list[dict[str, Any]] = self.client.list_executions(mapRunArn=arn)["executions"]
        return listed

    def invoke(self, **fields: Any) -> dict[str, Any]:
        """Define a Task that calls the function."""
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "OutputPath": "$.Payload",
            "Parameters": {"FunctionName": self.function_arn, "Payload.$": "$"},
            "End": True,
            **fields,
        }

    def release(self, key: str) -> None:
        self.aws.endpoint.client("dynamodb").put_item(TableName=self.table, Item={"id": {"S": key}})


def one_state(state: dict[str, Any], name: str = "Only", **fields: Any) -> dict[str, Any]:
    """Define a machine of one state. Names of states are unique in a machine and its inner ones."""
    return {"StartAt": name, "States": {name: state}, **fields}


def distributed(processor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Define a distributed Map that runs `processor` for each item of the input."""
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    state = {"Type": "Map", "End": True, "ItemProcessor": {**config, **processor}, **fields}
    return one_state(state, name="Fan")
