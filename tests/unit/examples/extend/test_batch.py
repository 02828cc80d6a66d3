"""The example for AWS Batch: its template, and the order of its uploads."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from contract import layout
from contract.job.scoring_spec import PinnedObject
from examples.extend.batch.app import build_app
from examples.extend.batch.entry import PERMANENT_EXIT_CODE, _container_variables, shard_of
from examples.extend.batch.transfers import Uploads
from tests.unit.infra.verification.test_templates import lint

CONTEXT = {
    "image_uri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/fleetscore-batch:1",
    "subnet_ids": "subnet-0123456789abcdef0,subnet-0fedcba9876543210",
    "security_group_ids": "sg-0123456789abcdef0",
}


@pytest.fixture(scope="module")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthesize the example; a finding of cdk-nag would fail it."""
    folder = tmp_path_factory.mktemp("batch")
    build_app(CONTEXT, folder).synth()
    return folder / "fleetscore-dev-batch.template.json"


@pytest.fixture(scope="module")
def resources(template_file: Path) -> list[dict[str, Any]]:
    return list(json.loads(template_file.read_text())["Resources"].values())


def only(resources: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [item["Properties"] for item in resources if item["Type"] == kind]
    return found


def test_cfn_lint_accepts_the_template(template_file: Path) -> None:
    assert lint(template_file) == []


def test_an_image_that_is_not_in_ecr_is_refused() -> None:
    with pytest.raises(ValueError, match="image_uri: got 'fleetscore:1', expected an image in ECR"):
        build_app({**CONTEXT, "image_uri": "fleetscore:1"})


def test_jobs_run_in_private_subnets_with_the_stages_key_for_their_log(resources: list[dict[str, Any]]) -> None:
    container = only(resources, "AWS::Batch::JobDefinition")["ContainerProperties"]
    assert container["NetworkConfiguration"] == {"AssignPublicIp": "DISABLED"}
    compute = only(resources, "AWS::Batch::ComputeEnvironment")["ComputeResources"]
    assert compute["Subnets"] == CONTEXT["subnet_ids"].split(",")
    log = only(resources, "AWS::Logs::LogGroup")
    assert log["KmsKeyId"] == {"Fn::ImportValue": "fleetscore-dev-KeyArn"}
    assert log["LogGroupName"].startswith("fleetscore-dev-"), "the key serves only such groups"


def test_failures_that_would_repeat_are_not_retried(resources: list[dict[str, Any]]) -> None:
    retries = only(resources, "AWS::Batch::JobDefinition")["RetryStrategy"]["EvaluateOnExit"]
    assert retries[0] == {"Action": "EXIT", "OnExitCode": str(PERMANENT_EXIT_CODE)}
    assert retries[-1] == {"Action": "RETRY", "OnReason": "*"}


def test_children_write_only_outputs_and_ledgers(resources: list[dict[str, Any]]) -> None:
    statements = [
        statement
        for item in resources
        if item["Type"] == "AWS::IAM::Policy"
        for statement in item["Properties"]["PolicyDocument"]["Statement"]
    ]
    actions = {
        action
        for item in statements
        for action in ([item["Action"]] if isinstance(item["Action"], str) else item["Action"])
    }
    assert not [action for action in actions if "*" in action]
    assert [item["Action"] for item in statements if item["Resource"] == "*"] == ["ecr:GetAuthorizationToken"]
    [writes] = [item["Resource"] for item in statements if "s3:PutObject" in item["Action"]]
    keys = {re.sub(r".*?/", "", part["Fn::Join"][1][-1], count=1).partition("/")[0] for part in writes}
    assert keys == {"predictions", "joined", "fleets", "quarantine", "executions"}


def test_every_object_is_in_one_shard_and_shards_have_similar_bytes() -> None:
    objects = [PinnedObject(f"{number}", number * number, "") for number in range(1, 40)]
    shards = [shard_of(reversed(objects), index, 4) for index in range(4)]
    assert sorted((item for shard in shards for item in shard), key=lambda item: item.size) == objects
    sizes = [sum(item.size for item in shard) for shard in shards]
    assert max(sizes) < 1.3 * min(sizes)


def test_the_container_gets_no_way_to_the_roles_credentials() -> None:
    given = {
        "PATH": "/bin",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/secret",
        "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/secret",
        "AWS_BATCH_JOB_ATTEMPT": "2",
    }
    assert _container_variables(given, "nightly", "churn") == {
        "PATH": "/bin",
        "FLEETSCORE_EXECUTION_ID": "nightly",
        "FLEETSCORE_JOB_ID": "churn",
        "FLEETSCORE_ATTEMPT": "2",
    }


class Recorder:
    """An S3 client that notes the keys, and lets the container commit more while outputs are uploaded."""

    def __init__(self, ledger: Path, predictions: Path) -> None:
        self.keys: list[str] = []
        self._ledger, self._predictions = ledger, predictions

    def upload_file(self, path: str, _bucket: str, key: str, ExtraArgs: dict[str, str]) -> None:  # noqa: N803
        assert ExtraArgs == {"ChecksumAlgorithm": "CRC64NVME"}
        self.keys.append(key)
        if "first" in path:
            commit(self._ledger, self._predictions, "late")


def commit(ledger: Path, predictions: Path, name: str) -> None:
    (predictions / f"{name}.parquet").write_text(name)
    (ledger / layout.segment_name(1, name.encode())).write_text(name)


def test_a_segment_is_uploaded_after_every_output_that_it_names(tmp_path: Path) -> None:
    ledger, predictions = tmp_path / "ledger", tmp_path / "predictions"
    for folder in (ledger, predictions):
        folder.mkdir()
    commit(ledger, predictions, "first")
    (predictions / layout.unfinished_name("half.parquet")).write_text("half")
    s3 = Recorder(ledger, predictions)
    uploads = Uploads(s3, "results", {predictions: "p/"}, ledger, "l/")
    uploads.send()
    first, late = (f"l/{layout.segment_name(1, name.encode())}" for name in ("first", "late"))
    assert s3.keys == ["p/first.parquet", first], "what is committed meanwhile waits for the next round"
    uploads.send()
    assert s3.keys[2:] == ["p/late.parquet", late]
    uploads.send()
    assert len(s3.keys) == 4
