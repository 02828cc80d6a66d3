"""Requests of clients and Tasks that violate a model, and the messages about them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.ministack.step_functions.tasks import TaskError
from embedded.requests import violations
from embedded.requests.operations import HttpRequest
from embedded.requests.violations import RequestCheck, log_to, must_read_model
from embedded.step_functions.tasks.task_requests import check_request

START = "arn:aws:states:::states:startExecution.sync:2"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:fleetscore-dev"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    log_to(tmp_path / "log")
    yield tmp_path / "log"
    violations._log = None


def checked(service: str, request: HttpRequest, body: bytes = b"") -> tuple[str, list[str]]:
    return RequestCheck(service, request).problems(body)


def test_requests_of_each_protocol_are_checked() -> None:
    target = {"x-amz-target": "AWSStepFunctions.StartExecution"}
    operation, problems = checked("states", HttpRequest("POST", "/", {}, target), b'{"name": ""}')
    assert operation == "stepfunctions.StartExecution"
    assert problems == [
        "Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"
    ]
    operation, problems = checked("iam", HttpRequest("POST", "/", {}, {}), b"Action=GetRole&RoleName=a%20role")
    assert operation == "iam.GetRole"
    assert problems[0].startswith(
        "Value 'a role' at 'roleName' failed to satisfy constraint: Member must satisfy regular"
    )
    functions = HttpRequest("GET", "/2015-03-31/functions/", {"MaxItems": ["0"]}, {})
    operation, problems = checked("lambda", functions)
    assert operation == "lambda.ListFunctions"
    assert problems == [
        "Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"
    ]
    headers = {"x-amz-server-side-encryption": "rot13"}
    operation, problems = checked("s3", HttpRequest("PUT", "/bucket/a/b", {}, headers))
    assert operation == "s3.PutObject"
    assert problems[0].startswith("Value 'rot13' at 'serverSideEncryption' failed to satisfy constraint")


def test_a_spelling_that_s3_accepts_from_an_sdk_of_aws_is_no_violation() -> None:
    request = HttpRequest("GET", "/bucket/key", {}, {"x-amz-checksum-mode": "enabled"})
    assert checked("s3", request) == ("s3.GetObject", [])


def test_only_bodies_with_parameters_are_read() -> None:
    assert not RequestCheck("s3", HttpRequest("PUT", "/bucket/key", {}, {})).needs_body()
    assert RequestCheck("s3", HttpRequest("POST", "/bucket", {"delete": [""]}, {})).needs_body()
    assert RequestCheck("sqs", HttpRequest("POST", "/", {}, {})).needs_body()
    assert not RequestCheck("no-such-service", HttpRequest("POST", "/", {}, {})).needs_body()


def test_a_task_with_a_bad_parameter_fails_and_is_logged(log: Path) -> None:
    with pytest.raises(TaskError) as raised:
        check_request(START, {"StateMachineArn": MACHINE, "Name": "x" * 81, "Input": {"any": "object"}})
    assert raised.value.error == "StepFunctions.ValidationException"
    assert raised.value.cause.startswith("1 validation error detected: Value 'xxx")
    assert "Member must have length less than or equal to 80" in raised.value.cause
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["operation"] == "stepfunctions.StartExecution"


def test_good_tasks_and_calls_of_functions_pass(log: Path) -> None:
    check_request(START, {"StateMachineArn": MACHINE, "Name": "one", "Input": {"any": "object"}})
    check_request("arn:aws:lambda:us-east-1:123456789012:function:plan", {"Name": "x" * 81})
    check_request("arn:aws:states:::lambda:invoke", {"FunctionName": "plan", "Payload": {"a": 1}})
    assert not log.exists()


def test_the_model_of_a_service_is_read_before_its_first_check_only() -> None:
    assert must_read_model("acm")
    RequestCheck("acm", HttpRequest("POST", "/", {}, {}))
    assert not must_read_model("acm")
    assert not must_read_model("ec2"), "its requests are not checked"
