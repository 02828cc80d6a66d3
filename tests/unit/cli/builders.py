"""Records, archives and stacks for the tests of the command."""

import io
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse
from moto.stepfunctions.models import stepfunctions_backends

from contract.catalog.models import Compute
from contract.status import AttemptStatus, ExecutionStatus, JobStatus
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.messages import ExecutionPlan

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


class Stacks:
    """Fake of CloudFormation's DescribeStacks, because moto's needs packages that no other test
    needs.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, dict[str, str]] = {}

    def describe(self, *, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        name = params["body"]["StackName"]
        if name not in self.outputs:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            return AWSResponse("", 400, {}, None), {"Error": error, "ResponseMetadata": {}}
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs[name].items()]
        stack = {"StackName": name, "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
        return AWSResponse("", 200, {}, None), {"Stacks": [stack], "ResponseMetadata": {}}


def make_archive(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def any_execution(**changes: Any) -> ExecutionRecord:
    record = ExecutionRecord(
        execution_id="nightly-1",
        execution_arn="arn:aws:states:eu-central-1:123456789012:execution:fleetscore-dev:nightly-1",
        status=ExecutionStatus.RUNNING,
        started_at="2026-03-01T12:00:00Z",
        request_json="{}",
        plan=ExecutionPlan("nightly-1", "some-results", "executions/nightly-1/jobs.json", 2, 10, 100.0),
    )
    return replace(record, **changes)


def any_job(job_id: str = "churn", **changes: Any) -> JobRecord:
    record = JobRecord(
        execution_id="nightly-1",
        job_id=job_id,
        status=JobStatus.PENDING,
        dataset="customers",
        model_ids=(job_id,),
        model_versions=("1",),
        object_count=4,
        input_bytes=4_000,
        compute=Compute("ml.m5.xlarge", 1, 30, 3_600),
        max_attempts=3,
        created_at="2026-03-01T12:00:01Z",
    )
    return replace(record, **changes)


def running_job(job_id: str = "churn", **changes: Any) -> JobRecord:
    fields = {"status": JobStatus.RUNNING, "attempt": 1, "started_at": "2026-03-01T12:00:05Z", **changes}
    return any_job(job_id, **fields)


def succeeded_job(job_id: str = "churn", **changes: Any) -> JobRecord:
    fields = {
        "status": JobStatus.SUCCEEDED,
        "ended_at": "2026-03-01T12:00:25Z",
        "rows_in": 1_000,
        "rows_scored": 990,
        "rows_quarantined": 10,
        **changes,
    }
    return running_job(job_id, **fields)


def any_attempt(job_id: str = "churn", attempt: int = 1, **changes: Any) -> AttemptRecord:
    record = AttemptRecord(
        execution_id="nightly-1",
        job_id=job_id,
        attempt=attempt,
        status=AttemptStatus.RUNNING,
        sagemaker_job_name=f"dev-{job_id}-0123456789abcdef-{attempt}",
        object_count=4,
        instance_type="ml.m5.xlarge",
        instance_count=1,
        started_at="2026-03-01T12:00:05Z",
    )
    return replace(record, **changes)


def end_in_step_functions(execution_id: str, status: str, cause: str = "") -> None:
    """Give an execution a final status, because moto leaves executions running."""
    machines = stepfunctions_backends["123456789012"]["eu-central-1"].state_machines
    executions = [execution for machine in machines for execution in machine.executions]
    [execution] = [execution for execution in executions if execution.name == execution_id]
    execution.status = status
    execution.stop_date = datetime.now(UTC)
    execution.cause = cause
