"""A user with the documented policies deploys, updates and destroys stages with the CDK CLI.

A start of the CDK CLI, a synthesis and an execution each take seconds of CPU time. Therefore the
first stage is deployed without the CLI, and one synthesis and one call deploy its update and a
second stage.
"""

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
from contract.environment import IMAGE_URIS
from contract.status import ExecutionStatus
from embedded.cdk.deploy import deploy, stack_outputs
from embedded.cdk.node import find_node
from embedded.cdk.synth import synthesize
from embedded.images.docker_shim import cdk_environment
from embedded.ministack.iam.deployment_calls import Call, DeploymentTarget
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.process import image_root
from tests.e2e.conftest import UPLOADS
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, environment, people, wait_for
from tests.recorded_calls.recorded_permissions import calls
from tests.unit.infra.deployment_policies import Statements, allows, statements

PROJECT = Path(__file__).resolve().parents[3]
SOURCES = ("app.py", "cdk.json", "contract", "infra", "lambdas", "inference_container")
OFTEN = {"Delay": 0.2, "MaxAttempts": 600}
NIGHTLY = {"name": "nightly", "expression": "cron(30 2 * * ? *)", "enabled": False}
STAGES = [
    {"fleetscore.uploads": UPLOADS, "fleetscore.schedules": [NIGHTLY], **settings}
    for settings in ({"fleetscore.removal": "destroy"}, {"fleetscore.stage": "prod"})
]
SYNTHESIZE_STAGES = """
import json, os
from pathlib import Path

folder, given = Path(os.environ["CDK_OUTDIR"]), json.loads(os.environ.pop("CDK_CONTEXT_JSON"))
from app import build_app

manifests = []
for context in given["stages"]:
    build_app(context=context, outdir=folder).synth()
    manifests.append(json.loads((folder / "manifest.json").read_text()))
artifacts = {name: artifact for each in manifests for name, artifact in each["artifacts"].items()}
(folder / "manifest.json").write_text(json.dumps({**manifests[0], "artifacts": artifacts}))
"""
"""App that writes one cloud assembly with the stacks of several stages, which halves the time."""


@dataclass
class Account:
    """An account that an administrator has prepared for one deploying user."""

    aws: EmbeddedAws
    folder: Path
    command: tuple[str, ...]
    environment: dict[str, str]
    keys: dict[str, str]

    @property
    def target(self) -> DeploymentTarget:
        return DeploymentTarget(self.aws.endpoint.region, self.aws.endpoint.account_id)

    @property
    def role(self) -> str:
        """The role with which CloudFormation deploys stacks."""
        account_id, region = self.target.account_id, self.target.region
        return f"arn:aws:iam::{account_id}:role/cdk-hnb659fds-cfn-exec-role-{account_id}-{region}"

    def client(self, service: str) -> Any:
        return self.aws.endpoint.client(service)

    def cdk(self, *arguments: str) -> str:
        """Run the CDK command line, and return what it prints if it fails."""
        # Outside the project, because an assembly needs no app, and neither does bootstrapping.
        ended = subprocess.run(
            [*self.command, *arguments, "--ci", "--no-notices"],
            cwd=self.folder, env={**self.environment, **self.keys}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return "" if ended.returncode == 0 else ended.stdout + ended.stderr

    def deploy(self, assembly: Path, *stacks: str) -> str:
        return self.cdk("deploy", *stacks, "--require-approval", "never", "--app", str(assembly))

    def policy(self, name: str, stage: str, *, without: str = "") -> str:
        """Return a documented policy for a stage, without the statements that allow an action."""
        kept = [each for each in statements(name, stage, self.target) if not without or without not in each["Action"]]
        return json.dumps({"Version": "2012-10-17", "Statement": kept})

    def arn(self, name: str, stage: str) -> str:
        return f"arn:aws:iam::{self.target.account_id}:policy/fleetscore-{stage}-{name}"

    def stage(self, name: str) -> Stage:
        given = self.aws.endpoint
        session = boto3.Session(
            aws_access_key_id=given.access_key_id,
            aws_secret_access_key=given.secret_access_key,
            region_name=given.region,
        )
        connection = Connection(_session=[session])
        return Stage(self.aws, find_deployment(connection, name), connection, self.folder)

    def functions(self, stage: str) -> list[dict[str, Any]]:
        found = self.client("lambda").list_functions()["Functions"]
        return [each for each in found if each["FunctionName"].startswith(f"fleetscore-{stage}-")]

    def digests(self, stage: str) -> set[str]:
        return {each["CodeSha256"] for each in self.functions(stage)}

    def variables_of(self, stage: str, name: str) -> dict[str, str]:
        """Return the environment of the only function with a text in its name."""
        [found] = [each for each in self.functions(stage) if name in each["FunctionName"]]
        return dict(found["Environment"]["Variables"])

    def definition(self, stage: str) -> str:
        machine = f"arn:aws:states:{self.target.region}:{self.target.account_id}:stateMachine:fleetscore-{stage}"
        return str(self.client("stepfunctions").describe_state_machine(stateMachineArn=machine)["definition"])

    def buckets(self, stage: str) -> set[str]:
        names = {bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]}
        return {name for name in names if name.startswith(f"fleetscore-{stage}-")}

    def status(self, stack: str) -> str:
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return str(found["StackStatus"])

    def empty(self, stage: str) -> None:
        """Empty the buckets of a stage. By design no stack deletion does that."""
        s3 = self.client("s3")
        for bucket in self.buckets(stage):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("cdk-cli")
    node = find_node()
    program = PROJECT / "node_modules" / "aws-cdk" / "bin" / "cdk"
    assert program.exists(), "run `make test`, which installs the CDK CLI pinned in package-lock.json"
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with EmbeddedAws(time_scale=0.01, shared_folder=shared, call_recording=folder / "calls") as aws:
        shim = cdk_environment(aws.endpoint, image_root(aws.root), node, folder / "bin")
        made = Account(aws, folder, (str(node.program), str(program)), {**os.environ, **shim}, {})
        with environment(aws.endpoint.environment()):
            _prepare(made)
            yield made


def _prepare(account: Account) -> None:
    """Run the administrator's steps of docs/operate/deploy.md."""
    iam = account.client("iam")
    arns = []
    for stage in ("dev", "prod"):
        for name in ("deploy-data", "deploy-workflow"):
            iam.create_policy(PolicyName=f"fleetscore-{stage}-{name}", PolicyDocument=account.policy(name, stage))
            arns.append(account.arn(name, stage))
    target = f"aws://{account.target.account_id}/{account.target.region}"
    assert account.cdk("bootstrap", target, "--cloudformation-execution-policies", ",".join(arns)) == ""
    iam.create_user(UserName="deployer")
    iam.put_user_policy(UserName="deployer", PolicyName="deployer", PolicyDocument=account.policy("deployer", ""))
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    account.keys |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@dataclass(frozen=True)
class First:
    """The stage dev as it was deployed first."""

    stage: Stage
    digests: set[str]
    definition: str
    image: str


@pytest.fixture(scope="module")
def first(account: Account, assembly: Path) -> First:
    """Deploy the stage dev, and register a model that waits for a file before it scores."""
    outputs = deploy(assembly, account.aws.endpoint, account.aws.images)
    stage = account.stage("dev")
    stage.put_dataset("customers", {"a.parquet": people(20, 1)})
    assert account.aws.shared_folder is not None
    stage.register("churn", Gate(account.aws.shared_folder), dataset="customers")
    image = outputs["fleetscore-dev-compute"]["ImageUri"]
    return First(stage, account.digests("dev"), account.definition("dev"), image)


@pytest.fixture(scope="module")
def update(account: Account) -> Path:
    """Change code, definition and image, and synthesize the stages dev and prod from that."""
    project = account.folder / "project"
    project.mkdir()
    for name in SOURCES:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, project / name)
    for path, old, new in (
        ("lambdas/plan_execution/handler.py", '"""', '"""Changed. '),
        ("infra/stacks/workflow.py", '"Scores datasets', '"Changed. Scores datasets'),
        ("inference_container/scoring/__init__.py", '"""', '"""Changed. '),
    ):
        text = (project / path).read_text()
        assert old in text, f"{path} no longer contains {old!r}"
        (project / path).write_text(text.replace(old, new, 1))
    (project / "stages.py").write_text(SYNTHESIZE_STAGES)
    output = account.folder / "cdk.out"
    return synthesize(project / "stages.py", output, {"stages": STAGES}, endpoint=account.aws.endpoint)


@pytest.fixture(scope="module")
def failed(account: Account, first: First, update: Path) -> str:
    """Update dev with a missing permission while an execution runs; return the CLI's output."""
    first.stage.executions.start('{"models": ["churn"]}', "during")
    assert account.aws.shared_folder is not None
    wait_for((account.aws.shared_folder / "waiting").exists, "the model waits")
    policy, iam = {"PolicyArn": account.arn("deploy-workflow", "dev"), "SetAsDefault": True}, account.client("iam")
    less = account.policy("deploy-workflow", "dev", without="states:UpdateStateMachine")
    iam.create_policy_version(**policy, PolicyDocument=less)
    printed = account.deploy(update, "fleetscore-dev-workflow", "--exclusively")
    iam.create_policy_version(**policy, PolicyDocument=account.policy("deploy-workflow", "dev"))
    return printed


def test_a_failed_update_changes_nothing_and_executions_go_on(account: Account, first: First, failed: str) -> None:
    assert "is not authorized to perform: states:UpdateStateMachine" in failed
    assert account.status("fleetscore-dev-workflow") == "UPDATE_ROLLBACK_COMPLETE"
    assert (account.digests("dev"), account.definition("dev")) == (first.digests, first.definition)
    assert first.stage.executions.snapshot("during").status == ExecutionStatus.RUNNING


@pytest.fixture(scope="module")
def deployed(account: Account, failed: str, update: Path) -> None:
    """Update dev and create prod."""
    assert failed
    assert account.deploy(update, "--all") == ""


@pytest.mark.usefixtures("deployed")
def test_an_update_changes_code_definition_and_image(account: Account, first: First) -> None:
    assert account.digests("dev").isdisjoint(first.digests)
    assert "Changed. " in account.definition("dev")
    # An execution that was planned before keeps its image, and ends with the new functions.
    assert account.aws.shared_folder is not None
    (account.aws.shared_folder / "open").touch()
    assert first.stage.watch("during").status == ExecutionStatus.SUCCEEDED
    assert _image(first.stage, "during") == first.image
    # New executions use the new image, which has the new code and is in the registry.
    uri = str(json.loads(account.variables_of("dev", "-PlanExecution")[IMAGE_URIS])["core"])
    assert uri != first.image
    image = account.aws.images.resolve(uri)
    assert image is not None
    assert any("Changed. " in file.read_text(encoding="utf-8") for file in image.root.rglob("scoring/__init__.py"))
    repository, _, tag = uri.partition("/")[2].rpartition(":")
    assert account.client("ecr").describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])


@pytest.fixture(scope="module")
def destroyed(account: Account, deployed: None, update: Path) -> tuple[set[str], str, str]:
    """Destroy prod, and return the names of its buckets, its table and its key."""
    key = stack_outputs("fleetscore-prod-storage", account.aws.endpoint)["KeyArn"]
    kept = account.buckets("prod"), account.stage("prod").deployment.table_name, key
    assert account.cdk("destroy", "fleetscore-prod-*", "--force", "--app", str(update)) == ""
    return kept


def test_a_destroyed_stage_leaves_its_data_and_the_other_stage(
    account: Account, destroyed: tuple[set[str], str, str], update: Path
) -> None:
    buckets, table, key = destroyed
    assert account.buckets("prod") == buckets
    assert account.client("dynamodb").describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"
    assert account.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    machines = account.client("stepfunctions").list_state_machines()["stateMachines"]
    assert {machine["name"] for machine in machines} == {"fleetscore-dev", "fleetscore-dev-training"}
    assert account.digests("prod") == set()
    assert account.digests("dev")
    # A new deployment creates new buckets and a new table next to the retained ones.
    cloudformation, name = account.client("cloudformation"), "fleetscore-prod-storage"
    template = (update / f"{name}.template.json").read_text(encoding="utf-8")
    cloudformation.create_stack(StackName=name, TemplateBody=template, RoleARN=account.role)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=OFTEN)
    tables = account.client("dynamodb").list_tables()["TableNames"]
    assert len([each for each in tables if each.startswith("fleetscore-prod-")]) == 2
    assert len(account.buckets("prod")) == 2 * len(buckets)


@pytest.mark.usefixtures("destroyed")
def test_destroy_deletes_the_data_of_a_stage_with_that_setting(account: Account) -> None:
    account.empty("dev")
    cloudformation = account.client("cloudformation")
    # As `cdk destroy` does it. CloudFormation uses the role that the stacks were deployed with.
    for name in ("triggers", "workflow", "compute", "storage"):
        cloudformation.delete_stack(StackName=f"fleetscore-dev-{name}")
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=f"fleetscore-dev-{name}", WaiterConfig=OFTEN)
    assert account.digests("dev") == account.buckets("dev") == set()


@pytest.mark.usefixtures("destroyed")
def test_each_statement_is_needed_by_a_call_of_the_deployments(account: Account) -> None:
    """Without any one of the statements, a recorded call of the deployments is denied."""
    recorded = [
        Call(each["action"], each["resource"], each["context"])
        for each in calls(account.folder / "calls")
        if account.role.endswith(f"/{each['role']}") and each["decision"] == "Allow"
    ]
    documents = {
        stage: [
            statement
            for name in ("deploy-data", "deploy-workflow")
            for statement in statements(name, stage, account.target)
        ]
        for stage in ("dev", "prod")
    }
    every: Statements = [statement for document in documents.values() for statement in document]
    assert [call for call in recorded if not allows(every, call, account.target)] == []
    for number, statement in enumerate(documents["dev"]):
        others = [each for document in documents.values() for each in document[:number] + document[number + 1 :]]
        assert any(not allows(others, call, account.target) for call in recorded), f"no call needs {statement}"


def _image(stage: Stage, execution_id: str) -> str:
    (job,) = stage.processing_jobs(execution_id)
    return str(job["AppSpecification"]["ImageUri"])
