"""Fixtures that call ministack's services in this process, without a server."""

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from ministack.services import iam, stepfunctions

# ministack's Cognito writes a key there when it is imported.
_STATE = tempfile.TemporaryDirectory(prefix="state-of-ministack-")
os.environ["STATE_DIR"] = _STATE.name

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return ministack's Step Functions. Names and records are restored after the test."""
    names = (
        "_run_execution", "_stop_execution", "_start_execution", "_create_state_machine", "_update_state_machine",
        "_emit_execution_status_event",
    )  # fmt: skip
    for name in names:
        monkeypatch.setattr(stepfunctions, name, getattr(stepfunctions, name))
    yield stepfunctions
    stepfunctions.reset()


@pytest.fixture
def call() -> Call:
    """Send a JSON request to a service's module: `call(module, "Operation", **fields)`."""

    def send(module: Any, operation: str, **fields: Any) -> dict[str, Any]:
        headers = {"x-amz-target": f"AmazonSQS.{operation}", "content-type": "application/x-amz-json-1.0"}
        _status, _headers, body = asyncio.run(
            module.handle_request("POST", "/", headers, json.dumps(fields).encode(), {})
        )
        answer: dict[str, Any] = json.loads(body) if body else {}
        return answer

    return send


@pytest.fixture
def role() -> Iterator[Callable[..., str]]:
    """Create a role in ministack's IAM: `role(name, service, *statements)` returns the ARN."""

    def send(action: str, **fields: str) -> None:
        body = urlencode({"Action": action, "Version": "2010-05-08", **fields}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        status, _headers, answer = asyncio.run(iam.handle_request("POST", "/", headers, body, {}))
        assert status == 200, answer

    def make(name: str, service: str, *statements: dict[str, Any]) -> str:
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
        send("CreateRole", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        send("PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=policy)
        return f"arn:aws:iam::000000000000:role/{name}"

    yield make
    iam.reset()
