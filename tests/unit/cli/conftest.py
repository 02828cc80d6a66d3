"""A moto account with the stacks' outputs, table, buckets and state machines."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.table import records
from tests.unit.atomic_requests import one_request_at_a_time
from tests.unit.cli.builders import Stacks
from tests.unit.moto_state import made_once_in_moto
from tests.unit.quick_moto import mock_aws

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def stacks() -> Stacks:
    return Stacks()


@pytest.fixture
def connection(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    one_request_at_a_time(monkeypatch)
    with mock_aws():
        connection = Connection()
        connection.session().events.register("before-call.cloudformation.DescribeStacks", stacks.describe)
        yield connection


@pytest.fixture
def deployment(connection: Connection, stacks: Stacks) -> Deployment:

    def make() -> None:
        s3 = connection.client("s3")
        for bucket in ("datasets", "models", "results"):
            s3.create_bucket(Bucket=f"some-{bucket}", CreateBucketConfiguration={"LocationConstraint": REGION})
            s3.put_bucket_versioning(Bucket=f"some-{bucket}", VersioningConfiguration={"Status": "Enabled"})
        keys = (records.PARTITION_KEY, records.SORT_KEY, records.INDEX_PARTITION_KEY, records.INDEX_SORT_KEY)
        connection.client("dynamodb").create_table(
            TableName="some-table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            KeySchema=key_schema(records.PARTITION_KEY, records.SORT_KEY),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": records.INDEX_NAME,
                    "KeySchema": key_schema(records.INDEX_PARTITION_KEY, records.INDEX_SORT_KEY),
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )

    made_once_in_moto("deployment", REGION, make)
    definition = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
    machine = connection.client("stepfunctions").create_state_machine(
        name="fleetscore-dev", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/workflow"
    )
    training = connection.client("stepfunctions").create_state_machine(
        name="fleetscore-dev-training",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::123456789012:role/training",
    )
    deployment = Deployment(
        "dev",
        "some-datasets",
        "some-models",
        "some-results",
        "some-table",
        machine["stateMachineArn"],
        training["stateMachineArn"],
    )
    stacks.outputs["fleetscore-dev-storage"] = {
        "DatasetsBucket": deployment.datasets_bucket,
        "KeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1",
        "ModelsBucket": deployment.models_bucket,
        "ResultsBucket": deployment.results_bucket,
        "TableName": deployment.table_name,
    }
    stacks.outputs["fleetscore-dev-workflow"] = {
        "StateMachineArn": deployment.state_machine_arn,
        "TrainingStateMachineArn": deployment.training_state_machine_arn,
    }
    return deployment


@pytest.fixture
def account(connection: Connection, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Make commands use the deployment; return the connection to it."""
    assert deployment
    monkeypatch.setattr("cli.command_line.invocation.Connection", lambda *_: connection)
    return connection


def key_schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
