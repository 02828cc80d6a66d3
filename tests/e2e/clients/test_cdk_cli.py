"""The pinned CDK command line bootstraps, deploys, updates and destroys a stage."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded.cdk.node import find_node
from embedded.images.docker_shim import cdk_environment
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.process import image_root

PROJECT = Path(__file__).resolve().parents[3]
SOURCES = ("app.py", "cdk.json", "contract", "infra", "lambdas", "inference_container")


@dataclass
class Cli:
    """The CDK command line in a copy of the project that a test may edit."""

    aws: EmbeddedAws
    command: tuple[str, ...]
    environment: dict[str, str]
    project: Path

    def bootstrap(self) -> None:
        endpoint = self.aws.endpoint
        # Outside the project, because bootstrapping an account needs no app.
        self._call(self.project.parent, "bootstrap", f"aws://{endpoint.account_id}/{endpoint.region}")

    def run(self, *arguments: str, app: str = "") -> None:
        synthesized = str(self.project / "cdk.out")
        app = app or f"{sys.executable} app.py"
        context = ("--context", "fleetscore.removal=destroy")
        self._call(self.project, *arguments, "--app", app, "--output", synthesized, *context)

    def _call(self, folder: Path, *arguments: str) -> None:
        call = [*self.command, *arguments, "--ci", "--no-notices"]
        result = subprocess.run(call, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{' '.join(call)}\n{result.stdout}\n{result.stderr}"

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.project / path
        text = file.read_text()
        assert text.count(old) >= 1, f"{path} no longer contains {old!r}"
        file.write_text(text.replace(old, new, 1))

    def state_machine(self) -> dict[str, Any]:
        client = self.aws.endpoint.client("stepfunctions")
        machines = {machine["name"]: machine for machine in client.list_state_machines()["stateMachines"]}
        machine = machines["fleetscore-dev"]
        described: dict[str, Any] = client.describe_state_machine(stateMachineArn=machine["stateMachineArn"])
        return described

    def code_digests(self) -> set[str]:
        functions = self.aws.endpoint.client("lambda").list_functions()["Functions"]
        return {function["CodeSha256"] for function in functions}


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
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
    with EmbeddedAws() as aws:
        shim = cdk_environment(aws.endpoint, image_root(aws.root), node, folder / "bin")
        yield Cli(aws, (str(node.program), str(program)), {**os.environ, **shim}, project)


def test_the_cdk_cli_bootstraps_deploys_updates_and_destroys_a_stage(cli: Cli) -> None:
    endpoint = cli.aws.endpoint
    cli.bootstrap()

    cli.run("deploy", "--all", "--require-approval", "never")
    before, digests = cli.state_machine(), cli.code_digests()
    image_uri = _outputs(cli, "compute")["ImageUri"]
    assert cli.aws.images.resolve(image_uri) is not None

    cli.edit("lambdas/plan_execution/handler.py", '"""', '"""Changed. ')
    cli.edit("infra/stacks/workflow.py", '"Scores datasets', '"Changed. Scores datasets')
    cli.run("deploy", "--all", "--require-approval", "never")
    after = cli.state_machine()
    assert after["stateMachineArn"] == before["stateMachineArn"]
    assert "Changed. " in after["definition"]
    assert "Changed. " not in before["definition"]
    assert cli.code_digests().isdisjoint(digests)
    result = _run(cli, after["stateMachineArn"])
    # The catalog is empty, so the deployed function refuses the request by name.
    assert "fleetscore models register" in json.dumps(result, default=str)

    _empty_buckets(cli)
    cli.run("destroy", "--all", "--force", app=str(cli.project / "cdk.out"))
    assert endpoint.client("stepfunctions").list_state_machines()["stateMachines"] == []
    assert endpoint.client("lambda").list_functions()["Functions"] == []
    buckets = [bucket["Name"] for bucket in endpoint.client("s3").list_buckets()["Buckets"]]
    assert [name for name in buckets if not name.startswith("cdk-")] == []


def _outputs(cli: Cli, stack: str) -> dict[str, str]:
    stacks = cli.aws.endpoint.client("cloudformation").describe_stacks()["Stacks"]
    (found,) = [each for each in stacks if each["StackName"].endswith(stack)]
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def _run(cli: Cli, state_machine_arn: str) -> dict[str, Any]:
    client = cli.aws.endpoint.client("stepfunctions")
    arn = client.start_execution(stateMachineArn=state_machine_arn, input="{}")["executionArn"]
    history: list[dict[str, Any]] = []
    while not history or not history[0]["type"].startswith("Execution") or len(history) == 1:
        history = client.get_execution_history(executionArn=arn, reverseOrder=True)["events"]
    described: dict[str, Any] = client.describe_execution(executionArn=arn)
    return described


def _empty_buckets(cli: Cli) -> None:
    """Empty the buckets of the stage. By design no stack deletion does that."""
    s3 = cli.aws.endpoint.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"].startswith("cdk-"):
            continue
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket["Name"]):
            for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                s3.delete_object(Bucket=bucket["Name"], Key=version["Key"], VersionId=version["VersionId"])
