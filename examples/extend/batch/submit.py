"""Submits an array job for each job of an execution that Fleetscore has planned.

python -m examples.extend.batch.submit EXECUTION --stage dev --size 8
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3

from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, find_deployment
from contract import codec, layout
from contract.job.scoring_spec import JobSpec
from examples.extend.batch.entry import SPEC_URI

_MOST_CHILDREN = 10_000
"""Largest array that Batch accepts. The smallest has two children."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.extend.batch.submit", description=__doc__)
    parser.add_argument("execution", help="id of an execution that has ended, failed or stopped")
    parser.add_argument("--stage", default="dev")
    parser.add_argument("--size", type=int, default=8, help="most children for each job (default: 8)")
    given = parser.parse_args()
    names = {"jobQueue": resource_name(given.stage), "jobDefinition": resource_name(given.stage)}
    deployment, batch = find_deployment(Connection(), given.stage), boto3.client("batch")
    for request in array_jobs(boto3.client("s3"), deployment, given.execution, given.size):
        print(batch.submit_job(**request, **names)["jobId"], request["jobName"])


def resource_name(stage: str) -> str:
    """Return the name of a stage's job queue, job definition and log group."""
    return f"fleetscore-{stage}-batch"


def array_jobs(s3: Any, deployment: Deployment, execution_id: str, size: int) -> Iterator[dict[str, Any]]:
    """Yield the request of each array job: one for each job, or part of one, that the execution has."""
    bucket = deployment.results_bucket
    pointers = json.loads(s3.get_object(Bucket=bucket, Key=layout.jobs_key(execution_id))["Body"].read())
    for pointer in pointers:
        key = layout.job_spec_key(execution_id, pointer["job_id"])
        spec = codec.loads(JobSpec, s3.get_object(Bucket=bucket, Key=key)["Body"].read(), subject=key)
        yield {
            "jobName": _job_name(execution_id, spec.job_id),
            "arrayProperties": {"size": max(2, min(size, spec.snapshot.objects, _MOST_CHILDREN))},
            "containerOverrides": {"environment": [{"name": SPEC_URI, "value": layout.s3_uri(bucket, key)}]},
            "tags": {"fleetscore:execution": execution_id, "fleetscore:job": spec.job_id},
            "propagateTags": True,
        }


def _job_name(execution_id: str, job_id: str) -> str:
    """Return a name of at most 128 letters, digits, hyphens and underscores.

    >>> _job_name("nightly-1", "churn.part-1-of-2")
    'nightly-1-churn-part-1-of-2-0d1ad6d5'
    """
    digest = hashlib.sha256(f"{execution_id}/{job_id}".encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', f'{execution_id}-{job_id}')[:119]}-{digest}"


if __name__ == "__main__":
    main()
