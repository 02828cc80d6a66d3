"""The AWS CLI can start executions and read their results."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.views.progress import watch
from tests.e2e.stage import Stage, people, train_xgboost

AWS_CLI = Path(sys.prefix) / "awscli" / "bin" / "aws"


def aws(stage: Stage, *arguments: str) -> Any:
    """Run the AWS CLI and return its parsed JSON output."""
    assert AWS_CLI.exists(), "run `make test`, which installs the AWS CLI"
    done = subprocess.run(
        [AWS_CLI, "--output", "json", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(stage.folder), **stage.aws.endpoint.environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture(scope="module")
def model_id(stage: Stage) -> Any:
    stage.put_dataset("aws-clients", {"a.parquet": people(25, 1)})
    stage.register("aws-clients", train_xgboost(1), dataset="aws-clients")
    yield "aws-clients"
    stage.catalog.set_enabled("aws-clients", enabled=False)


def test_the_aws_cli_starts_an_execution_and_reads_its_results(stage: Stage, model_id: str) -> None:
    arn = stage.deployment.state_machine_arn
    request = json.dumps({"models": [model_id]})
    started = aws(
        stage,
        "stepfunctions",
        "start-execution",
        "--state-machine-arn",
        arn,
        "--name",
        "by-aws-cli",
        "--input",
        request,
    )
    watch(stage.executions, "by-aws-cli", None)
    described = aws(stage, "stepfunctions", "describe-execution", "--execution-arn", started["executionArn"])
    assert described["status"] == "SUCCEEDED"
    jobs = aws(stage, "sagemaker", "list-processing-jobs", "--name-contains", model_id)["ProcessingJobSummaries"]
    assert {job["ProcessingJobStatus"] for job in jobs} == {"Completed"}
    listing = aws(
        stage,
        "s3api",
        "list-objects-v2",
        "--bucket",
        stage.deployment.results_bucket,
        "--prefix",
        "predictions/dataset=aws-clients/",
    )
    assert any(
        entry["Key"].endswith(f"execution_id=by-aws-cli/job_id={model_id}/model_id={model_id}/a.parquet")
        for entry in listing["Contents"]
    )
