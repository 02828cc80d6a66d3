"""Fixtures for state machines, and an interpreter in this process."""

import io
import uuid
import zipfile
from collections.abc import Iterator

import pytest

from embedded.server.embedded_aws import EmbeddedAws
from tests.unit.embedded.step_functions.machines import FUNCTION, Workflows
from tests.unit.embedded.step_functions.recorded.engine import Engine, installed_engine


@pytest.fixture(scope="session")
def workflows(aws: EmbeddedAws) -> Workflows:
    endpoint = aws.endpoint
    bucket, table = f"items-{uuid.uuid4().hex[:12]}", f"table-{uuid.uuid4().hex[:12]}"
    endpoint.client("s3").create_bucket(Bucket=bucket)
    endpoint.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    made = Workflows(aws, "", bucket, table)
    table_arn = f"arn:aws:dynamodb:{endpoint.region}:{endpoint.account_id}:table/{table}"
    allowed = {"Effect": "Allow", "Action": ["dynamodb:UpdateItem", "dynamodb:GetItem"], "Resource": table_arn}
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("functions/__init__.py", "")
        archive.writestr("functions/worker.py", FUNCTION)
    answer = endpoint.client("lambda").create_function(
        FunctionName=f"worker-{uuid.uuid4().hex[:8]}",
        Runtime="python3.13",
        Handler="functions.worker.handler",
        Role=made.role(allowed, service="lambda.amazonaws.com"),
        Code={"ZipFile": package.getvalue()},
        Environment={"Variables": {"TABLE": table}},
        Timeout=30,
    )
    made.function_arn = answer["FunctionArn"]
    return made


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Return the interpreter, installed in this process until the file ends. Waits take no time."""
    with installed_engine() as installed:
        yield installed
