"""A person with the documented policies deploys, updates and destroys stages with the pinned CDK command line."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from cli.views.progress import watch
from contract.status import ExecutionStatus
from embedded.cdk.deploy import deploy, stack_outputs
from embedded.cdk.node import find_node
from embedded.cdk.synth import synthesize
from embedded.images.docker_shim import cdk_environment
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.process import image_root
from tests.e2e.stage import Stage, environment, people, train_xgboost

PROJECT = Path(__file__).resolve().parents[3]
POLICIES = PROJECT / "docs/operate/policies"
SOURCES = ("app.py", "cdk.json", "contract", "infra", "lambdas", "inference_container")


@dataclass
class Cli:
    """The CDK command line in a copy of the project that a test may edit."""

    aws: EmbeddedAws
    command: tuple[str, ...]
    environment: dict[str, str]
    project: Path

    def synthesize(self, name: str, **settings: str) -> Path:
        """Synthesize the edited project, once for all calls that deploy it."""
        context = {f"fleetscore.{setting}": value for setting, value in settings.items()}
        return synthesize(self.project / "app.py", self.project.parent / name, context, endpoint=self.aws.endpoint)

    def run(self, *arguments: str, keys: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        # Outside the project, because an assembly needs no app, and neither does bootstrapping.
        call = [*self.command, *arguments, "--ci", "--no-notices"]
        environment = {**self.environment, **(keys or {})}
        return subprocess.run(
            call, cwd=self.project.parent, env=environment, capture_output=True, text=True, check=False
        )

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.project / path
        text = file.read_text()
        assert text.count(old) >= 1, f"{path} no longer contains {old!r}"
        file.write_text(text.replace(old, new, 1))


@dataclass
class Account:
    """An account that an administrator has prepared for one person who deploys."""

    cli: Cli
    keys: dict[str, str]

    def client(self, service: str) -> Any:
        return self.cli.aws.endpoint.client(service)

    def deploy(self, assembly: Path) -> str:
        """Deploy all stacks, and return what the command line prints if that fails."""
        ended = self.cli.run("deploy", "--all", "--require-approval", "never", "--app", str(assembly), keys=self.keys)
        return "" if ended.returncode == 0 else ended.stdout + ended.stderr

    def destroy(self, assembly: Path) -> None:
        ended = self.cli.run("destroy", "--all", "--force", "--app", str(assembly), keys=self.keys)
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def policy(self, name: str, stage: str, *, without: str = "") -> str:
        """Return a documented policy for a stage, without the statements that allow an action."""
        endpoint = self.cli.aws.endpoint
        text = (POLICIES / f"{name}.json").read_text(encoding="utf-8")
        for word, value in (("REGION", endpoint.region), ("ACCOUNT", endpoint.account_id), ("STAGE", stage)):
            text = text.replace(word, value)
        document = json.loads(text)
        document["Statement"] = [each for each in document["Statement"] if without not in each["Action"] or not without]
        return json.dumps(document)

    def arn(self, name: str, stage: str) -> str:
        return f"arn:aws:iam::{self.cli.aws.endpoint.account_id}:policy/fleetscore-{stage}-{name}"

    def stage(self, name: str) -> Stage:
        connection = Connection(_session=[self.session()])
        return Stage(self.cli.aws, find_deployment(connection, name), connection, self.cli.project.parent)

    def session(self) -> boto3.Session:
        given = self.cli.aws.endpoint
        return boto3.Session(
            aws_access_key_id=given.access_key_id,
            aws_secret_access_key=given.secret_access_key,
            region_name=given.region,
        )

    def digests(self, stage: str) -> set[str]:
        functions = self.client("lambda").list_functions()["Functions"]
        return {each["CodeSha256"] for each in functions if each["FunctionName"].startswith(f"fleetscore-{stage}-")}

    def key(self, stage: str) -> str:
        return stack_outputs(f"fleetscore-{stage}-storage", self.cli.aws.endpoint)["KeyArn"]

    def empty(self, stage: str) -> None:
        """Empty the buckets of a stage. By design no stack deletion does that."""
        s3 = self.client("s3")
        for bucket in self.buckets(stage):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])

    def buckets(self, stage: str) -> set[str]:
        names = {bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]}
        return {name for name in names if name.startswith(f"fleetscore-{stage}-")}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("cdk-cli")
    node = find_node()
    program = PROJECT / "node_modules" / "aws-cdk" / "bin" / "cdk"
    assert program.exists(), "run `make test`, which installs the CDK CLI pinned in package-lock.json"
    project = folder / "project"
    for name in SOURCES:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            project.mkdir(exist_ok=True)
            shutil.copy(source, project / name)
    with EmbeddedAws(time_scale=0.01) as aws:
        shim = cdk_environment(aws.endpoint, image_root(aws.root), node, folder / "bin")
        cli = Cli(aws, (str(node.program), str(program)), {**os.environ, **shim}, project)
        with environment(aws.endpoint.environment()):
            yield _prepared(cli)


def _prepared(cli: Cli) -> Account:
    """Do what docs/operate/deploy.md asks of an administrator."""
    made = Account(cli, {})
    iam, endpoint = made.client("iam"), cli.aws.endpoint
    arns = []
    for stage in ("dev", "prod"):
        for name in ("deploy-data", "deploy-workflow"):
            iam.create_policy(PolicyName=f"fleetscore-{stage}-{name}", PolicyDocument=made.policy(name, stage))
            arns.append(made.arn(name, stage))
    place = f"aws://{endpoint.account_id}/{endpoint.region}"
    ended = cli.run("bootstrap", place, "--cloudformation-execution-policies", ",".join(arns))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    iam.create_user(UserName="deployer")
    iam.put_user_policy(UserName="deployer", PolicyName="deployer", PolicyDocument=made.policy("deployer", ""))
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    made.keys |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return made


@pytest.fixture(scope="module")
def first(account: Account) -> Path:
    """Deploy the stage dev, and return its assembly."""
    assembly = account.cli.synthesize("first", removal="destroy")
    assert account.deploy(assembly) == ""
    return assembly


def test_a_second_stage_is_independent_and_leaves_its_data_when_destroyed(account: Account, first: Path) -> None:
    assert first.exists()
    assembly = account.cli.synthesize("prod", stage="prod")
    assert account.deploy(assembly) == ""
    machines = account.client("stepfunctions").list_state_machines()["stateMachines"]
    assert {machine["name"] for machine in machines} >= {"fleetscore-dev", "fleetscore-prod"}
    buckets, table = account.buckets("prod"), account.stage("prod").deployment.table_name
    key = account.key("prod")

    account.destroy(assembly)
    assert account.buckets("prod") == buckets
    assert account.client("dynamodb").describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"
    assert account.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert account.digests("prod") == set()
    assert account.digests("dev")
    # A new deployment makes new buckets and a new table beside those that stayed. Not by the CLI, to save its start.
    deploy(assembly, account.cli.aws.endpoint, account.cli.aws.images)
    again = account.stage("prod").deployment
    assert again.datasets_bucket not in buckets
    assert again.table_name != table
    assert buckets < account.buckets("prod")


def test_a_failed_update_changes_nothing_and_the_next_changes_everything(account: Account, first: Path) -> None:
    stage, iam = account.stage("dev"), account.client("iam")
    stage.put_dataset("customers", {"a.parquet": people(20, 1)})
    stage.register("churn", train_xgboost(1), dataset="customers", version="1")
    before, digests = _definition(account, stage), account.digests("dev")
    image = stack_outputs("fleetscore-dev-compute", account.cli.aws.endpoint)["ImageUri"]
    account.cli.edit("lambdas/plan_execution/handler.py", '"""', '"""Changed. ')
    account.cli.edit("infra/stacks/workflow.py", '"Scores datasets', '"Changed. Scores datasets')
    account.cli.edit("inference_container/scoring/__init__.py", '"""', '"""Changed. ')
    assembly = account.cli.synthesize("second", removal="destroy")

    running = stage.executions.start('{"models": ["churn"]}', "during")
    policy = {"PolicyArn": account.arn("deploy-workflow", "dev"), "SetAsDefault": True}
    less = account.policy("deploy-workflow", "dev", without="states:UpdateStateMachine")
    iam.create_policy_version(**policy, PolicyDocument=less)
    assert "is not authorized to perform: states:UpdateStateMachine" in account.deploy(assembly)
    status = _stack(account, "fleetscore-dev-workflow")["StackStatus"]
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert account.digests("dev") == digests
    assert _definition(account, stage) == before
    assert watch(stage.executions, running, None).status == ExecutionStatus.SUCCEEDED
    assert stage.run({"models": ["churn"]}, "after").status == ExecutionStatus.SUCCEEDED

    iam.create_policy_version(**policy, PolicyDocument=account.policy("deploy-workflow", "dev"))
    assert account.deploy(assembly) == ""
    assert "Changed. " in _definition(account, stage)
    assert account.digests("dev").isdisjoint(digests)
    assert stage.run({"models": ["churn"]}, "updated").status == ExecutionStatus.SUCCEEDED
    # The first two ran with the image that they were planned with.
    assert [_image(stage, execution) == image for execution in ("during", "after", "updated")] == [True, True, False]

    account.empty("dev")
    account.destroy(assembly)
    assert account.digests("dev") == account.buckets("dev") == set()


def _definition(account: Account, stage: Stage) -> str:
    described = account.client("stepfunctions").describe_state_machine(
        stateMachineArn=stage.deployment.state_machine_arn
    )
    return str(described["definition"])


def _image(stage: Stage, execution_id: str) -> str:
    (job,) = stage.processing_jobs(execution_id)
    return str(job["AppSpecification"]["ImageUri"])


def _stack(account: Account, name: str) -> dict[str, Any]:
    (found,) = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return dict(found)
