"""A stage whose function CheckRequest answers as a test says."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from cli.stage.connection import Connection
from tests.unit.cli.builders import Stacks

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:check"
Answer = Callable[..., list[dict[str, Any]]]


class Body:
    def __init__(self, value: Any) -> None:
        self._text = json.dumps(value).encode()

    def read(self) -> bytes:
        return self._text


@pytest.fixture
def answer(account: Connection, stacks: Stacks) -> Answer:
    """Make the function answer with a value, or raise; return the list of calls."""
    stacks.outputs["fleetscore-dev-workflow"]["CheckFunctionArn"] = ARN

    def prepare(value: Any = None, *, error: Exception | None = None, **fields: Any) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def invoke(*, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
            calls.append(json.loads(params["body"]))
            if error is not None:
                raise error
            return AWSResponse("", 200, {}, None), {"Payload": Body(value), "ResponseMetadata": {}, **fields}

        account.session().events.register("before-call.lambda.Invoke", invoke)
        return calls

    return prepare
