"""The documented policy of `fleetscore doctor`, and users who have a part of it."""

import json
from pathlib import Path
from typing import Any

import boto3

from cli.doctor.stage import DeployedStage
from cli.stage.connection import Connection
from tests.e2e.stage import Stage

POLICY = Path(__file__).parents[3] / "docs/operate/policies/doctor.json"
FIRST_READ = 4
"""Number of statements at the beginning of the policy without which the stage cannot be read at all."""


def person(stage: Stage, deployed: DeployedStage, name: str, statements: list[Any]) -> dict[str, str]:
    """Create a user with these statements of the documented policy, and return the user's key as variables."""
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    values = {
        "REGION": deployed.region,
        "ACCOUNT": deployed.account_id,
        "STAGE": "dev",
        "DATASETS_BUCKET": deployed.buckets["datasets"],
        "MODELS_BUCKET": deployed.buckets["models"],
        "RESULTS_BUCKET": deployed.buckets["results"],
        "TRAINING_ROLE_ARN": deployed.training_role_arn,
        "JOB_ROLE_ARN": deployed.job_role_arn,
        "KEY_ARN": deployed.key_arn,
    }
    for word, value in values.items():
        text = text.replace(word, value)
    iam = stage.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="doctor", PolicyDocument=text)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def connection_of(key: dict[str, str], deployed: DeployedStage) -> Connection:
    session = boto3.Session(
        aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
        region_name=deployed.region,
    )
    return Connection(_session=[session])
