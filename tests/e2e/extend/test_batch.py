"""The example for AWS Batch scores planned jobs with real processes, and `resume` verifies what it wrote."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from contract import environment as variables
from contract import layout
from contract.job.ledger import Commit
from contract.status import ExecutionStatus
from embedded.faults import AccessDenied
from examples.extend.batch import submit
from examples.extend.batch.entry import ARRAY_INDEX, ARRAY_SIZE, PERMANENT_EXIT_CODE
from examples.extend.batch.submit import array_jobs
from tests.e2e.failing_models import WaitsToBeKilled, failing_graph
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

ROOT = Path(__file__).parents[3]
CONTEXT = {
    "image_uri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/fleetscore-batch:1",
    "subnet_ids": "subnet-0123456789abcdef0",
    "security_group_ids": "sg-0123456789abcdef0",
}


class Children:
    """Children of array jobs: processes with the credentials of the construct's job role, and /opt/ml of their own."""

    def __init__(self, stage: Stage, credentials: dict[str, str], folder: Path) -> None:
        self.stage, self.credentials, self.folder = stage, credentials, folder

    def start(self, request: dict[str, Any], index: int, *, name: str = "ml") -> subprocess.Popen[str]:
        """Start one child of an array job."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_ACCESS")},
            **self.credentials,
            **{entry["name"]: entry["value"] for entry in request["containerOverrides"]["environment"]},
            variables.MODELS_BUCKET: self.stage.deployment.models_bucket,
            variables.ML_ROOT: str(self.folder / f"{name}-{request['jobName']}-{index}"),
            ARRAY_INDEX: str(index),
            ARRAY_SIZE: str(request["arrayProperties"]["size"]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "inference_container")]),
        }
        command = [sys.executable, "-m", "examples.extend.batch.entry"]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, request: dict[str, Any], index: int, *, name: str = "ml") -> tuple[int, str]:
        """Run one child to its end; return its exit code and its log."""
        with self.start(request, index, name=name) as child:
            log, _ = child.communicate(timeout=120)
            return child.returncode, log

    def run_both(self, request: dict[str, Any]) -> list[tuple[int, str]]:
        """Run the two children of an array job concurrently, as Batch does."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda index: self.run(request, index), (0, 1)))


@pytest.fixture(scope="module")
def children(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Children:
    """Create the construct's job role in the embedded AWS, with its synthesized policy."""
    from examples.extend.batch import app  # noqa: PLC0415 - it takes a second of each process that collects the tests

    outdir = tmp_path_factory.mktemp("batch")
    app.build_app(CONTEXT, outdir / "cdk.out").synth()
    template = json.loads((outdir / "cdk.out" / "fleetscore-dev-batch.template.json").read_text())
    [policy] = [
        resource["Properties"]["PolicyDocument"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy" and "JobRole" in name
    ]
    exports = {item["Name"]: item["Value"] for item in stage.client("cloudformation").list_exports()["Exports"]}
    iam, account = stage.client("iam"), stage.aws.endpoint.account_id
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="batch-job", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    pseudo = {
        "AWS::Partition": "aws",
        "AWS::Region": stage.aws.endpoint.region,
        "AWS::AccountId": account,
        "AWS::URLSuffix": "amazonaws.com",
    }
    resolved = json.dumps(resolve(policy, exports, pseudo))
    iam.put_role_policy(RoleName="batch-job", PolicyName="job", PolicyDocument=resolved)
    found = stage.client("sts").assume_role(RoleArn=role, RoleSessionName="child")["Credentials"]
    credentials = {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
    }
    return Children(stage, credentials, outdir)


def resolve(value: Any, exports: dict[str, str], pseudo: dict[str, str]) -> Any:
    """Return a part of a template with the values of its functions."""
    match value:
        case {"Fn::ImportValue": name}:
            return exports[name]
        case {"Ref": name}:
            return pseudo[name]
        case {"Fn::Join": [delimiter, parts]}:
            return delimiter.join(resolve(part, exports, pseudo) for part in parts)
        case dict():
            return {name: resolve(item, exports, pseudo) for name, item in value.items()}
        case list():
            return [resolve(item, exports, pseudo) for item in value]
    return value


@pytest.fixture(scope="module")
def dataset(stage: Stage) -> Iterator[str]:
    stage.put_dataset("on-batch", {f"{name}.parquet": people(20, seed) for seed, name in enumerate("abcde")})
    stage.register("on-batch", train_xgboost(1), dataset="on-batch")
    yield "on-batch"
    stage.catalog.set_enabled("on-batch", enabled=False)


def planned(stage: Stage, execution_id: str, **request: Any) -> list[dict[str, Any]]:
    """Start an execution in an account that may not create Processing jobs; return the requests of its array jobs."""
    stage.aws.faults.add(AccessDenied(service="sagemaker", operation="CreateProcessingJob", count=20))
    try:
        assert stage.run(request, execution_id).status == ExecutionStatus.FAILED
    finally:
        stage.aws.faults.clear()
    return list(array_jobs(stage.client("s3"), stage.deployment, execution_id, size=2))


def accounts(commits: list[Commit]) -> list[dict[str, Any]]:
    """Return what commits count: everything but how long the work took."""
    return [{name: value for name, value in vars(commit).items() if name != "seconds"} for commit in commits]


def test_two_children_score_what_a_processing_job_scores(
    stage: Stage,
    children: Children,
    dataset: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert stage.run({"models": [dataset]}, "processed").status == ExecutionStatus.SUCCEEDED
    [request] = planned(stage, "for-batch", models=[dataset])
    assert request["arrayProperties"] == {"size": 2}
    monkeypatch.setattr(sys, "argv", ["submit", "for-batch", "--size", "2"])
    submit.main()
    assert capsys.readouterr().out.split()[1:] == [request["jobName"]]
    for code, log in children.run_both(request):
        assert code == 0, log
        assert '"event": "object_scored"' in log
    of_batch, of_processing = (accounts(stage.commits(name, dataset)) for name in ("for-batch", "processed"))
    assert of_batch == of_processing
    assert len(of_batch) == 5

    resumed = stage.run({"resume": "for-batch"}, "verified")
    assert resumed.status == ExecutionStatus.SUCCEEDED
    assert stage.processing_jobs("verified") == []
    [job] = resumed.jobs
    assert (job.rows_in, job.rows_scored, job.commits_kept) == (100, 100, 5)
    expected = stage.predictions(dataset, dataset, "processed")
    assert stage.predictions(dataset, dataset, "verified") == expected

    code, log = children.run(request, 0, name="again")
    assert code == 0
    assert '"to_score": 0' in log, "a retry scores nothing again"


def test_what_a_lost_child_did_not_score_is_scored_by_the_resumed_execution(
    stage: Stage, children: Children, dataset: str
) -> None:
    [request] = planned(stage, "half-on-batch", models=[dataset])
    assert children.run(request, 1)[0] == 0
    assert len(stage.commits("half-on-batch", dataset)) == 2
    # An output whose bytes are not those of its commit does not count.
    key = layout.model_outputs_prefix("predictions", dataset, "half-on-batch", dataset, dataset)
    changed = stage.result_keys(key)[0]
    stage.client("s3").put_object(Bucket=stage.deployment.results_bucket, Key=changed, Body=b"changed")
    resumed = stage.run({"resume": "half-on-batch"}, "completed")
    assert resumed.status == ExecutionStatus.SUCCEEDED
    assert len(stage.processing_jobs("completed")) == 1
    [job] = resumed.jobs
    assert (job.rows_in, job.commits_kept) == (100, 1)


def test_a_child_that_batch_stops_keeps_what_it_has_scored(
    stage: Stage, children: Children, shared_folder: Path
) -> None:
    fatal = people(20, 1).to_pandas()
    fatal.loc[3, "visits"] = WaitsToBeKilled.FATAL_VISITS
    # From the largest to the smallest, the first and the third are in the first shard.
    objects = {"a": people(6_000, 1), "b": people(3_000, 2), "c": pa.Table.from_pandas(fatal)}
    stage.put_dataset("stopped-on-batch", objects)
    stage.register("stopped-on-batch", WaitsToBeKilled(shared_folder), dataset="stopped-on-batch")
    [request] = planned(stage, "stopped-on-batch", models=["stopped-on-batch"])
    stage.catalog.set_enabled("stopped-on-batch", enabled=False)
    with children.start(request, 0) as child:
        try:
            wait_for((shared_folder / "waiting").exists, "one object is committed, and another one is being scored")
        finally:
            child.terminate()
        log, _ = child.communicate(timeout=120)
    assert child.returncode == 1, log
    assert '"reason": "STOPPED: ' in log
    assert [commit.object for commit in stage.commits("stopped-on-batch", "stopped-on-batch")] == ["a"]
    retried = children.run(request, 0, name="retry")
    assert retried[0] == 0, retried[1]
    assert '"to_score": 1' in retried[1]
    assert [commit.object for commit in stage.commits("stopped-on-batch", "stopped-on-batch")] == ["a", "c"]


def test_a_failure_that_would_repeat_has_an_exit_code_of_its_own(stage: Stage, children: Children) -> None:
    stage.put_dataset("bad-on-batch", {"a.parquet": people(5, 1)})
    stage.register("bad-on-batch", failing_graph(), dataset="bad-on-batch")
    [request] = planned(stage, "bad-on-batch", models=["bad-on-batch"])
    stage.catalog.set_enabled("bad-on-batch", enabled=False)
    code, log = children.run(request, 0)
    assert code == PERMANENT_EXIT_CODE, log
    assert '"reason": "MODEL: ' in log or '"reason": "DATA: ' in log
    assert stage.result_keys(layout.ledger_prefix("bad-on-batch", "bad-on-batch")) == []


def test_a_child_refuses_an_object_that_was_replaced(stage: Stage, children: Children, dataset: str) -> None:
    [request] = planned(stage, "replaced-on-batch", models=[dataset])
    stage.put_dataset(dataset, {"a.parquet": people(20, 99)})
    ended = children.run_both(request)
    assert sorted(code for code, _ in ended) == [0, 1]
    assert any("was replaced after the execution was planned" in log for _, log in ended)
