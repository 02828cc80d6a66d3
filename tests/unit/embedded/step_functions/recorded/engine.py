"""The interpreter in this process, without a server, and scenarios with the results that AWS gave.

Expected values are facts recorded on AWS (LocalStack snapshots, validated against AWS 2023-2026).
The definitions are our own.
"""

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from ministack.services import s3, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

from embedded.ministack.step_functions import workflows
from embedded.step_functions import service
from embedded.step_functions.executions import running

ROLE = "arn:aws:iam::000000000000:role/recorded"
BUCKET = "recorded"

UNSET = object()


@dataclass(frozen=True)
class Scenario:
    """A definition with its input, and the result recorded on AWS.

    Fields that are unset are not compared.

    Args:
        cause: The whole cause. "" means that AWS reported none.
        events: Types of all history events.
        details: The details that an event of a type must have at least, by type.
        differs: Reason for which the embedded AWS is known to differ; empty if it must be equal.
    """

    name: str
    definition: dict[str, Any]
    data: Any = field(default_factory=dict)
    status: Any = UNSET
    output: Any = UNSET
    error: Any = UNSET
    cause: Any = UNSET
    events: Any = UNSET
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    differs: str = ""


def parameters(scenarios: list[Scenario]) -> list[Any]:
    """Return the scenarios for `pytest.mark.parametrize`; known differences must still fail."""
    marks = {each.name: pytest.mark.xfail(reason=each.differs, strict=True) for each in scenarios if each.differs}
    return [pytest.param(each, id=each.name, marks=marks.get(each.name, ())) for each in scenarios]


class Engine:
    """Calls ministack's Step Functions, which runs our interpreter."""

    def call(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Return the answer of an API operation; errors are `{"__type": …, "message": …}`."""
        headers = {"x-amz-target": f"AWSStepFunctions.{operation}"}
        request = stepfunctions.handle_request("POST", "/", headers, json.dumps(fields).encode(), {})
        _status, _headers, body = asyncio.run(request)
        answer: dict[str, Any] = json.loads(body)
        return answer

    def create(self, definition: dict[str, Any], **fields: Any) -> str:
        name, text = uuid.uuid4().hex, json.dumps(definition)
        answer = self.call("CreateStateMachine", name=name, definition=text, roleArn=ROLE, **fields)
        assert "stateMachineArn" in answer, answer
        return str(answer["stateMachineArn"])

    def start(self, definition: dict[str, Any], data: Any) -> str:
        answer = self.call("StartExecution", stateMachineArn=self.create(definition), input=json.dumps(data))
        return str(answer["executionArn"])

    def run(self, definition: dict[str, Any], data: Any) -> str:
        """Run an execution to its end and return its ARN."""
        arn = self.start(definition, data)
        self.wait(arn)
        return arn

    def wait(self, execution_arn: str) -> None:
        """Wait until an execution has ended."""
        execution = running.find_started(execution_arn)
        assert execution is None or execution.done.wait(20)
        # The record ends shortly before the execution stops counting as running.
        while workflows.execution_record(execution_arn)["status"] == "RUNNING":  # type: ignore[index]
            threading.Event().wait(0.001)

    def described(self, execution_arn: str) -> dict[str, Any]:
        return self.call("DescribeExecution", executionArn=execution_arn)

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.call("GetExecutionHistory", executionArn=execution_arn, maxResults=1000)[
            "events"
        ]
        return events

    def put_object(self, key: str, body: str) -> None:
        for path, content in ((f"/{BUCKET}", b""), (f"/{BUCKET}/{key}", body.encode())):
            status, _headers, answer = asyncio.run(s3.handle_request("PUT", path, {}, content, {}))
            assert status in (200, 409), answer

    def check(self, scenario: Scenario) -> None:
        """Run a scenario and compare every recorded value."""
        arn = self.run(scenario.definition, scenario.data)
        ended = self.described(arn)
        if scenario.status is not UNSET:
            assert ended["status"] == scenario.status, ended
        if scenario.output is not UNSET:
            assert json.loads(ended["output"]) == scenario.output
        if scenario.error is not UNSET:
            assert ended.get("error", "") == scenario.error, ended
        if scenario.cause is not UNSET:
            assert ended.get("cause", "") == scenario.cause
        history = self.history(arn)
        if scenario.events is not UNSET:
            assert [event["type"] for event in history] == scenario.events
        for kind, details in scenario.details.items():
            event = next(event for event in history if event["type"] == kind)
            shown: dict[str, Any] = next((value for key, value in event.items() if key.endswith("EventDetails")), {})
            assert {key: shown.get(key) for key in details} == details


@contextmanager
def installed_engine() -> Iterator[Engine]:
    """Install the interpreter in this process. Waits take no time."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    with pytest.MonkeyPatch.context() as restored:
        for name in ["handle_request", *(name for name in vars(stepfunctions) if name.startswith("_"))]:
            restored.setattr(stepfunctions, name, getattr(stepfunctions, name))
        restored.setattr(provisioners, "_sfn_state_machine_create", provisioners._sfn_state_machine_create)
        restored.setitem(handlers, "create", handlers["create"])
        service.install(time_scale=0)
        yield Engine()
    stepfunctions.reset()
    s3.reset()
    sqs.reset()


def one_state(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Define a machine of one state, which ends it unless the state says otherwise."""
    ends = {} if state["Type"] in ("Succeed", "Fail", "Choice") else {"End": True}
    return {"StartAt": "S", "States": {"S": {**ends, **state}}, **fields}


def at(state: str, text: str, event: int = 2) -> str:
    """Return the cause of an error of the interpreter itself in a state."""
    return f"An error occurred while executing the state '{state}' (entered at the event id #{event}). {text}"
