"""Faults of functions and Task states, as workflows see them, and of the batches that functions get."""

import json
import uuid
from collections.abc import Callable, Iterator

import pytest

from embedded.faults import (
    AccessDenied,
    CrashFunction,
    DelayedListing,
    DoubleEvent,
    Fault,
    Faults,
    OutOfMemoryFunction,
    ServerError,
    SlowRequest,
    Throttle,
    TimeOutFunction,
)
from embedded.server.embedded_aws import EmbeddedAws
from tests.unit.embedded.step_functions.machines import Workflows, distributed, one_state


@pytest.fixture
def faults(aws: EmbeddedAws) -> Iterator[Faults]:
    yield aws.faults
    aws.faults.clear()


def count(workflows: Workflows, key: str) -> int:
    """Return how often the function has counted."""
    table = workflows.aws.endpoint.client("dynamodb")
    item = table.get_item(TableName=workflows.table, Key={"id": {"S": key}}).get("Item") or {}
    return int(item.get("seen", {"N": "0"})["N"])


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (CrashFunction, "Runtime.ExitError", "Runtime exited with error: exit status 1"),
        (OutOfMemoryFunction, "Runtime.ExitError", "Runtime exited with error: signal: killed"),
        (TimeOutFunction, "Sandbox.Timedout", "Task timed out after 30.00 seconds"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_function_fails_before_or_after_its_work(
    workflows: Workflows, faults: Faults, *, fault: Callable[..., Fault], error: str, text: str, when: str
) -> None:
    key = uuid.uuid4().hex
    faults.add(fault(function="worker-*", when=when))
    machine = one_state(workflows.invoke())
    ended = workflows.run(machine, {"count": key})
    assert (ended["status"], ended["error"]) == ("FAILED", error)
    assert text in json.loads(ended["cause"])["errorMessage"]
    assert count(workflows, key) == (1 if when == "after" else 0)
    assert workflows.run(machine, {"count": key})["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("fault", "error", "cause", "counted"),
    [
        (Throttle(service="lambda"), "Lambda.TooManyRequestsException", "Status Code: 429", 0),
        (ServerError(service="lambda", operation="Invoke"), "Lambda.ServiceException", "Status Code: 500", 0),
        (ServerError(resource="worker-*", when="after"), "Lambda.ServiceException", "Status Code: 500", 1),
        (AccessDenied(service="lambda"), "Lambda.AWSLambdaException", "is not authorized to perform: lambda:", 0),
    ],
)
def test_a_task_state_sees_the_error_of_the_service(
    workflows: Workflows, faults: Faults, *, fault: Fault, error: str, cause: str, counted: int
) -> None:
    key = uuid.uuid4().hex
    faults.add(fault)
    ended = workflows.run(one_state(workflows.invoke()), {"count": key})
    assert (ended["status"], ended["error"]) == ("FAILED", error)
    assert cause in ended["cause"]
    assert count(workflows, key) == counted


def test_a_task_state_is_named_by_its_execution(workflows: Workflows, faults: Faults) -> None:
    faults.add(SlowRequest(caller="*/nobody", seconds=60))
    arn = workflows.create(one_state(workflows.invoke()))
    faults.add(Throttle(caller="*/named"))
    for name, status in (("another", "SUCCEEDED"), ("named", "FAILED")):
        started = workflows.client.start_execution(stateMachineArn=arn, name=name, input="{}")
        assert workflows.ended(started["executionArn"])["status"] == status


def test_a_lost_answer_leaves_a_nested_execution_running(workflows: Workflows, faults: Faults) -> None:
    inner = workflows.create(one_state({"Type": "Wait", "Seconds": 3000, "End": True}))
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": inner},
        "End": True,
    }
    faults.add(ServerError(service="states", operation="StartExecution", caller="role-*", when="after"))
    ended = workflows.run(one_state(state))
    assert (ended["status"], ended["error"]) == ("FAILED", "StepFunctions.AWSStepFunctionsException")
    (started,) = workflows.client.list_executions(stateMachineArn=inner)["executions"]
    assert started["status"] == "RUNNING"
    faults.add(DelayedListing(service="states", operation="ListExecutions", seconds=60))
    assert workflows.client.list_executions(stateMachineArn=inner)["executions"] == []
    workflows.client.stop_execution(executionArn=started["executionArn"])


def test_the_items_and_results_of_a_map_meet_faults(workflows: Workflows, faults: Faults) -> None:
    workflows.aws.endpoint.client("s3").put_object(Bucket=workflows.bucket, Key="items.json", Body=b"[1]")
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": workflows.bucket, "Key": "items.json"},
    }
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": workflows.bucket, "Prefix": "r"}}
    machine = distributed(one_state({"Type": "Pass", "End": True}), ItemReader=reader, ResultWriter=writer)
    assert workflows.run(machine)["status"] == "SUCCEEDED"
    for operation, resource, error in (
        ("GetObject", f"{workflows.bucket}/items.json", "States.ItemReaderFailed"),
        ("PutObject", f"{workflows.bucket}/r/*", "States.ResultWriterFailed"),
    ):
        faults.add(Throttle(service="s3", operation=operation, resource=resource))
        ended = workflows.run(machine)
        assert (ended["status"], ended["error"]) == ("FAILED", error)
        assert "Please reduce your request rate. (Service: Amazon S3; Status Code: 503" in ended["cause"]


def test_a_batch_of_a_queue_is_given_to_its_function_twice(workflows: Workflows, faults: Faults) -> None:
    aws, key = workflows.aws, uuid.uuid4().hex
    sqs, functions = aws.endpoint.client("sqs"), aws.endpoint.client("lambda")
    url = sqs.create_queue(QueueName=f"batches-{key[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    role = functions.get_function_configuration(FunctionName=workflows.function_arn)["Role"].rpartition("/")[2]
    allowed = {"Effect": "Allow", "Action": "sqs:*", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    workflows.iam.put_role_policy(RoleName=role, PolicyName="queue", PolicyDocument=policy)
    mapping = functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=workflows.function_arn)
    fault_id = faults.add(DoubleEvent(source="aws:sqs", target="worker-*"))
    sqs.send_message(QueueUrl=url, MessageBody="x")
    workflows.wait(lambda: faults.happened(fault_id), bool)
    functions.delete_event_source_mapping(UUID=mapping["UUID"])
    assert "aws:sqs to arn:aws:lambda:" in faults.happened(fault_id)[0].place
