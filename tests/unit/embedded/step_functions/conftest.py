"""What state machines of tests use, and an interpreter in this process."""

import io
import uuid
import zipfile
from collections.abc import Iterator

import pytest
from ministack.services import s3, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

from embedded.server.embedded_aws import EmbeddedAws
from embedded.step_functions import service
from tests.unit.embedded.step_functions.machines import FUNCTION, Workflows
from tests.unit.embedded.step_functions.recorded.engine import Engine


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
