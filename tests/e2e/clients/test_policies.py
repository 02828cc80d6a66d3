"""The policies of docs/operate/policies allow their purpose, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cli.documents.dataset_files import find_files
from cli.failures import CommandError
from cli.stage.catalog.fleets import Fleets
from cli.stage.catalog.model_deletion import ModelDeletion
from cli.stage.connection import Connection
from cli.stage.dataset_upload import DatasetUpload, UploadInterruptedError, find_start
from cli.stage.deployment import find_deployment
from cli.stage.diagnosis.evidence import Evidence, Investigation
from cli.stage.diagnosis.execution_list import ExecutionList, ListChoice
from cli.stage.executions.request_check import check_on_stage
from cli.stage.planning.prices import StagePrices
from cli.stage.predictions.download import download
from cli.stage.predictions.download import find_files as find_prediction_files
from cli.stage.predictions.pointers import Predictions
from cli.tables.manifest import write_snapshot
from cli.tables.snapshot import TableChoice
from contract import layout
from contract.status import ExecutionKind, ExecutionStatus
from contract.table import catalog_items, records
from contract.triggers.uploads import UploadRule
from embedded.cdk.deploy import stack_outputs
from tests.e2e.failing_models import AlwaysFails
from tests.e2e.stage import Stage, environment, people, train_xgboost

POLICIES = Path(__file__).parents[3] / "docs/operate/policies"
Person = Callable[..., Stage]


@pytest.fixture(scope="module")
def signed_in(stage: Stage) -> Callable[..., Connection]:
    """Create a user with documented policies, and return the user's connection."""
    deployed = stage.deployment
    key_arn = stack_outputs("fleetscore-dev-storage", stage.aws.endpoint)["KeyArn"]
    values = {
        "REGION": stage.aws.endpoint.region,
        "ACCOUNT": stage.aws.endpoint.account_id,
        "STAGE": "dev",
        "DATASETS_BUCKET": deployed.datasets_bucket,
        "MODELS_BUCKET": deployed.models_bucket,
        "RESULTS_BUCKET": deployed.results_bucket,
        "TABLE": deployed.table_name,
        "KEY_ARN": key_arn,
        "DATABASE": "policies",
        "CHECK_FUNCTION_ARN": stack_outputs("fleetscore-dev-workflow", stage.aws.endpoint)["CheckFunctionArn"],
    }

    def make(name: str, *policies: str) -> Connection:
        iam = stage.client("iam")
        iam.create_user(UserName=name)
        for policy in policies:
            text = (POLICIES / f"{policy}.json").read_text(encoding="utf-8")
            for word, value in values.items():
                text = text.replace(word, value)
            iam.put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=text)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        session = boto3.Session(
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            region_name=stage.aws.endpoint.region,
        )
        return Connection(_session=[session])

    return make


@pytest.fixture(scope="module")
def person(stage: Stage, signed_in: Callable[..., Connection]) -> Person:
    """Create a user with documented policies, and return the stage as this user sees it."""

    def make(name: str, *policies: str) -> Stage:
        connection = signed_in(name, *policies)
        return Stage(stage.aws, find_deployment(connection, "dev"), connection, stage.folder)

    return make


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(*arguments, **named)
    assert error.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return str(error.value)


def test_the_register_and_run_policies_allow_registering_and_scoring(stage: Stage, person: Person) -> None:
    stage.put_dataset("policies", {"a.parquet": people(20, 1)})
    registrar, runner = person("registrar", "read", "register"), person("runner", "read", "run")

    registrar.register("policies", train_xgboost(1), dataset="policies", version="1")
    request = {"models": ["policies"]}
    assert "states:StartExecution" in refused(registrar.executions.start, json.dumps(request), "by-registrar")
    check = (ExecutionKind.SCORING, json.dumps(request))
    assert "lambda:InvokeFunction" in refused(check_on_stage, registrar.connection, "dev", *check)
    assert check_on_stage(runner.connection, "dev", *check).job_count == 1
    assert runner.run(request, "by-runner").status == ExecutionStatus.SUCCEEDED
    unregistered = {"dataset": "policies", "version": "2"}
    assert "s3:PutObject" in refused(runner.register, "policies", train_xgboost(2), **unregistered)
    stage.catalog.set_enabled("policies", False)


def test_deleting_models_needs_a_policy_besides_register(stage: Stage, person: Person) -> None:
    registrar, deleter = (
        person("no-deleter", "read", "register"),
        person("deleter", "read", "register", "delete-models"),
    )
    for version in ("1", "2", "3"):
        registrar.register("policy-deleted", train_xgboost(1), dataset="policies", version=version)
    with pytest.raises((CommandError, ClientError), match="AccessDenied"):
        ModelDeletion(registrar.connection, stage.deployment).delete_version("policy-deleted", "1")
    deletion = ModelDeletion(deleter.connection, stage.deployment)
    assert deletion.delete_version("policy-deleted", "1").objects == 1, "what the refused call left"
    assert deletion.delete_version("policy-deleted", "2").versions == ("2",)
    assert deletion.delete_model("policy-deleted").versions == ("3",)
    s3, bucket = stage.client("s3"), stage.deployment.models_bucket
    assert s3.list_objects_v2(Bucket=bucket, Prefix="policy-deleted/")["KeyCount"] == 0
    assert stage.catalog.read("policy-deleted") == (None, {})
    registrar.register("policy-deleted", train_xgboost(1), dataset="policies")
    assert list(stage.catalog.versions("policy-deleted")) == ["4"], "the policies allow that numbers go on"
    deletion.delete_model("policy-deleted")


def test_the_register_policy_writes_only_models(stage: Stage, person: Person) -> None:
    registrar = person("writer", "read", "register")
    table = registrar.connection.resource("dynamodb").Table(stage.deployment.table_name)
    item = {**records.execution_key("forged"), "status": "SUCCEEDED"}
    assert "dynamodb:PutItem" in refused(table.put_item, Item=item)
    put = {"Put": {"TableName": table.name, "Item": item}}
    model = {"Put": {"TableName": table.name, "Item": {**catalog_items.model_key("forged")}}}
    assert "dynamodb:PutItem" in refused(table.meta.client.transact_write_items, TransactItems=[model, put])
    assert "Item" not in table.get_item(Key=catalog_items.model_key("forged"))


def test_the_register_policy_writes_fleets_and_the_run_policy_does_not(stage: Stage, person: Person) -> None:
    registrar, runner = person("fleet-registrar", "read", "register"), person("fleet-runner", "read", "run")
    fields = {"dataset": "policies", "route_by": "store"}
    of_registrar = Fleets(registrar.connection, stage.deployment)
    of_registrar.set("policy-fleet", fields)
    of_runner = Fleets(runner.connection, stage.deployment)
    assert of_runner.show("policy-fleet").record.route_by == "store"
    assert "dynamodb:PutItem" in refused(of_runner.set, "policy-fleet", {"unmatched": "skip"})
    assert "dynamodb:DeleteItem" in refused(of_runner.delete, "policy-fleet")
    of_registrar.delete("policy-fleet")


def test_the_prices_policy_replaces_prices_and_nothing_else(stage: Stage, person: Person) -> None:
    reader, pricer = person("price-reader", "read"), person("pricer", "read", "prices")
    assert StagePrices(reader.connection, reader.deployment).read().is_bundled
    assert "pricing:GetProducts" in refused(StagePrices(reader.connection, reader.deployment).refresh)
    prices = StagePrices(pricer.connection, pricer.deployment)
    refreshed = prices.refresh()
    assert "dynamodb:PutItem" in refused(StagePrices(reader.connection, reader.deployment).replace, refreshed.table)
    assert prices.reset().is_bundled


def test_the_read_policy_changes_nothing(stage: Stage, person: Person) -> None:
    reader = person("reader", "read")
    assert isinstance(reader.catalog.models(), list)
    machine = stage.deployment.state_machine_arn
    assert reader.connection.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    table = reader.connection.resource("dynamodb").Table(stage.deployment.table_name)
    refused(table.put_item, Item=catalog_items.model_key("read"))
    refused(reader.connection.client("s3").put_object, Bucket=stage.deployment.models_bucket, Key="read/1/x", Body=b"")
    refused(reader.executions.start, "{}", "by-reader")


def test_consumers_read_predictions_and_nothing_else(
    stage: Stage, person: Person, signed_in: Callable[..., Connection], tmp_path: Path
) -> None:
    stage.put_dataset("policy-read", {"a.parquet": people(20, 1)})
    stage.register("policy-read", train_xgboost(1), dataset="policy-read")
    stage.run({"models": ["policy-read"]}, "policy-read")
    bucket = stage.deployment.results_bucket
    consumer = signed_in("consumer", "predictions").client("s3")
    (manifest,) = consumer.list_objects_v2(Bucket=bucket, Prefix="latest/dataset=policy-read/")["Contents"]
    latest = json.loads(consumer.get_object(Bucket=bucket, Key=manifest["Key"])["Body"].read())
    (folder,) = [uri.removeprefix(f"s3://{bucket}/") for uri in latest["predictions_uris"]]
    (file,) = consumer.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]
    assert consumer.get_object(Bucket=bucket, Key=file["Key"])["Body"].read(4) == b"PAR1"
    refused(consumer.list_objects_v2, Bucket=bucket, Prefix="executions/")
    refused(consumer.list_objects_v2, Bucket=stage.deployment.datasets_bucket)
    refused(consumer.get_object, Bucket=bucket, Key=layout.summary_key("policy-read"))
    refused(consumer.put_object, Bucket=bucket, Key=manifest["Key"], Body=b"{}")

    reader = person("downloader", "read")
    found = Predictions(reader.connection, reader.deployment).latest(model_id="policy-read")
    pointers = [item.pointer for item in found]
    s3 = reader.connection.client("s3")
    files = find_prediction_files(s3, bucket, pointers)
    assert (files.problems, files.without_ledger) == ([], [])
    download(s3, bucket, list(files.files.values()), {}, tmp_path / "down")
    assert [path.name for path in tmp_path.rglob("*.parquet")] == ["a.parquet"]


def test_the_logs_policy_adds_what_the_log_says(stage: Stage, person: Person) -> None:
    stage.put_dataset("policy-logs", {"a.parquet": people(20, 1)})
    stage.register("policy-logs", AlwaysFails(), dataset="policy-logs")
    stage.run({"models": ["policy-logs"]}, "policy-logs")
    stage.catalog.set_enabled("policy-logs", enabled=False)
    reader, log_reader = person("log-less", "read"), person("log-reader", "read", "logs")

    def why(seen: Stage) -> Evidence:
        return Investigation(seen.connection, seen.executions).read("policy-logs")

    blind = why(reader)
    assert (blind.failed_object, blind.sagemaker_job is not None) == (None, True)
    assert [text.partition(":")[0] for text in blind.unread] == ["its log"]
    assert "FilterLogEvents" in blind.unread[0]
    found = why(log_reader)
    assert (found.unread, found.failed_object is not None) == ((), True)
    listed = ExecutionList(reader.connection, stage.deployment).read(ListChoice(), 100)
    assert "policy-logs" in [execution.execution_id for execution in listed]


def test_the_upload_policy_writes_and_compares_datasets_only(stage: Stage, person: Person, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("row\n1\n")
    files = find_files(tmp_path, "policies", "uploaded").files
    uploader, reader = person("uploader", "read", "upload"), person("not-an-uploader", "read")
    with pytest.raises(UploadInterruptedError, match="s3:PutObject"):
        DatasetUpload(reader.connection, stage.deployment, "policies").send(files, overwrite=False)
    of_uploader = DatasetUpload(uploader.connection, stage.deployment, "policies")
    of_uploader.send(files, overwrite=False)
    assert of_uploader.compare(files).equal == files
    # Who may not read the object cannot know whether it is equal.
    assert DatasetUpload(reader.connection, stage.deployment, "policies").compare(files).different == files
    assert find_start(uploader.connection, "dev", "by-marker").rule == UploadRule("by-marker", "marker")
    s3 = uploader.connection.client("s3")
    refused(s3.put_object, Bucket=stage.deployment.models_bucket, Key="policies/1/model.tar.gz", Body=b"")
    stage.client("s3").delete_object(Bucket=stage.deployment.datasets_bucket, Key="policies/uploaded/a.csv")


def test_the_tables_policy_writes_only_manifests(stage: Stage, person: Person) -> None:
    deltalake = pytest.importorskip("deltalake")
    location = f"s3://{stage.deployment.datasets_bucket}/policy-table/"
    runner, reader = person("table-runner", "read", "run"), person("table-reader", "read", "run", "tables")
    with environment({"SSL_CERT_FILE": stage.connection.ca_bundle()}):
        options = {**stage.connection.storage_options(), "AWS_S3_ALLOW_UNSAFE_RENAME": "true"}
        deltalake.write_deltalake(location, people(5, 1), storage_options=options)
    refused_by_glue = TableChoice("glue", "policy-table", name="policies.sold")
    assert "glue:GetTable" in refused(write_snapshot, reader.connection, stage.deployment, refused_by_glue)
    with pytest.raises(CommandError, match=r"--table-name: got 'policies\.sold'"):
        write_snapshot(person("glue-reader", "read", "glue").connection, stage.deployment, refused_by_glue)
    choice = TableChoice("delta", "policy-table")
    with pytest.raises(CommandError, match="cannot be read"):
        write_snapshot(runner.connection, stage.deployment, choice)
    key, manifest = write_snapshot(reader.connection, stage.deployment, choice)
    assert len(manifest.objects) == 1
    s3, bucket = reader.connection.client("s3"), stage.deployment.results_bucket
    for other in ("uploads/policy-table/window.json", "executions/e/summary.json"):
        assert "s3:PutObject" in refused(s3.put_object, Bucket=bucket, Key=other, Body=b"")
    s3.put_object(Bucket=bucket, Key=key, Body=b"")
