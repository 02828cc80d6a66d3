"""Executions: starting one, and what the table and Step Functions know about it."""

import json
import re
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from cli.catalog import query
from cli.connection import Connection
from cli.deployment import Deployment
from cli.failures import CommandError, ExitStatus
from contract import layout, records
from contract.problems import InvalidInputError, Problem
from contract.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.request import parse_request
from contract.status import FINAL_EXECUTION_STATUSES, FINAL_JOB_STATUSES, ExecutionStatus, JobStatus

EXECUTION_NAME = re.compile(r"[0-9A-Za-z_-]{1,80}")
_COUNTED_JOBS = 32
"""Running jobs whose ledger is listed for one snapshot; each costs a ListObjectsV2 call."""


@dataclass(frozen=True)
class WorkflowState:
    """What Step Functions says about an execution."""

    status: str
    """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE."""
    started_at: datetime
    stopped_at: datetime | None = None
    error: str = ""
    cause: str = ""

    @property
    def ended(self) -> bool:
        return self.status not in ("RUNNING", "PENDING_REDRIVE")


@dataclass(frozen=True)
class Snapshot:
    """An execution as it was at `read_at`: the records in the table, and Step Functions' word on it."""

    execution_id: str
    read_at: datetime
    workflow: WorkflowState | None
    """None when Step Functions has forgotten the execution, 90 days after its end."""
    record: ExecutionRecord | None
    """None until PlanExecution has written it."""
    jobs: tuple[JobRecord, ...] = ()
    committed: Mapping[str, int] = field(default_factory=dict)
    """Objects committed so far, by id of a running job; jobs beyond the first few are left out."""

    @property
    def ended(self) -> bool:
        if self.workflow is not None:
            return self.workflow.ended
        return self.record is not None and self.record.status in FINAL_EXECUTION_STATUSES

    @property
    def closed(self) -> bool:
        """Whether the records are final. Those of an execution that was stopped are closed a little after its end."""
        if self.record is not None:
            return self.record.status in FINAL_EXECUTION_STATUSES
        return self.workflow is not None and self.workflow.status == ExecutionStatus.SUCCEEDED.value

    @property
    def status(self) -> str:
        """The truth where the two disagree: RUNNING, SUCCEEDED, PARTLY_FAILED, FAILED, TIMED_OUT or ABORTED."""
        if self.workflow is None:
            return self.record.status.value if self.record else "UNKNOWN"
        told = self.workflow.status
        if not self.workflow.ended:
            return ExecutionStatus.RUNNING.value
        # A partly failed execution is FAILED for Step Functions, so that alarms on failures see it.
        if told == "FAILED" and self.record is not None and self.record.status is ExecutionStatus.PARTLY_FAILED:
            return ExecutionStatus.PARTLY_FAILED.value
        return told

    @property
    def note(self) -> str:
        """What a reader of the records alone would get wrong; empty when they tell the whole story."""
        if self.workflow is None:
            return "" if self.ended else "Step Functions does not know this execution, and its record was never closed."
        if not self.workflow.ended:
            return "" if self.record else "The execution is being planned."
        if self.record is None:
            return (
                f"The execution ended ({self._ending()}) and has no record: it ended before it was planned, "
                "or its record has expired."
            )
        if not self.closed:
            open_jobs = sum(job.status not in FINAL_JOB_STATUSES for job in self.jobs)
            return (
                f"The execution ended ({self._ending()}), but its records are not closed. Jobs that are shown as "
                f"open ({open_jobs:,}) do not go on: start another execution to score what is missing."
            )
        if (self.record.status is ExecutionStatus.SUCCEEDED) != (self.workflow.status == "SUCCEEDED"):
            return f"The record says {self.record.status.value}, but Step Functions says {self._ending()}."
        return ""

    def _ending(self) -> str:
        assert self.workflow is not None  # noqa: S101 - only called where there is one
        detail = ": ".join(part for part in (self.workflow.error, self.workflow.cause) if part)
        return f"{self.workflow.status}, {detail}" if detail else self.workflow.status

    @property
    def reason(self) -> str:
        """Why it did not succeed."""
        if self.record is not None and self.record.reason:
            return self.record.reason
        return self.workflow.cause if self.workflow is not None else ""

    @property
    def exit_status(self) -> ExitStatus:
        outcomes = {"SUCCEEDED": ExitStatus.SUCCEEDED, "PARTLY_FAILED": ExitStatus.PARTLY_FAILED}
        if self.record is not None and self.record.status.value not in outcomes:
            return ExitStatus.FAILED
        return outcomes.get(self.status, ExitStatus.FAILED)


class Executions:
    """The executions of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._deployment = deployment
        self._workflow = connection.client("stepfunctions")
        self._s3 = connection.client("s3")
        self._table = connection.resource("dynamodb").Table(deployment.table_name)

    def start(self, request_json: str, name: str | None = None) -> str:
        """Check the request and start an execution with it; returns the execution's id.

        Raises:
            InvalidInputError: when the request is not one, with every problem.
            CommandError: when the name is taken.
        """
        check_request(request_json)
        execution_id = name or new_name(datetime.now(UTC))
        if not EXECUTION_NAME.fullmatch(execution_id):
            problem = Problem("name", execution_id, "1 to 80 letters, digits, '-' and '_'")
            raise InvalidInputError("execution", [problem])
        try:
            self._workflow.start_execution(
                stateMachineArn=self._deployment.state_machine_arn, name=execution_id, input=request_json
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                raise CommandError(
                    f"There is an execution {execution_id!r} already, and its name stays taken for 90 days. Choose "
                    f"another --name, or look at that one with `fleetscore status {execution_id}`."
                ) from error
            raise
        return execution_id

    def execution_arn(self, execution_id: str) -> str:
        return self._deployment.state_machine_arn.replace(":stateMachine:", ":execution:") + f":{execution_id}"

    def workflow_status(self, execution_id: str) -> str | None:
        """What Step Functions says about an execution: RUNNING or how it ended; None when it knows none of the name."""
        workflow = self._describe(execution_id)
        return None if workflow is None else workflow.status

    def snapshot(self, execution: str, *, count_committed: bool = True) -> Snapshot:
        """Read an execution by its id or ARN.

        Raises:
            CommandError: when neither Step Functions nor the table knows it.
        """
        execution_id = execution.rpartition(":")[2]
        # Step Functions first: once it says that the execution has ended, the records read after that are final.
        workflow = self._describe(execution_id)
        key = records.execution_key(execution_id)
        condition = Key(records.PARTITION_KEY).eq(key[records.PARTITION_KEY])
        item = self._table.get_item(Key=key, ConsistentRead=True).get("Item")
        record = records.read_item(ExecutionRecord, item) if item else None
        if workflow is None and record is None:
            raise CommandError(
                f"There is no execution {execution_id!r} in stage {self._deployment.stage!r}. "
                "Check the id, --stage and --region."
            )
        found = query(
            self._table,
            KeyConditionExpression=condition & Key(records.SORT_KEY).begins_with(records.JOB_SORT_PREFIX),
            ConsistentRead=True,
        )
        jobs = tuple(records.read_item(JobRecord, item) for item in found)
        ended = workflow is not None and workflow.ended
        committed = self._committed(execution_id, jobs) if count_committed and not ended else {}
        return Snapshot(execution_id, datetime.now(UTC), workflow, record, jobs, committed)

    def attempts(self, execution_id: str) -> dict[str, list[AttemptRecord]]:
        """Every attempt of an execution, by job id and in order."""
        condition = Key(records.PARTITION_KEY).eq(records.execution_key(execution_id)[records.PARTITION_KEY])
        attempts: dict[str, list[AttemptRecord]] = {}
        for item in query(
            self._table,
            KeyConditionExpression=condition & Key(records.SORT_KEY).begins_with(records.ATTEMPT_SORT_PREFIX),
            ConsistentRead=True,
        ):
            attempt = records.read_item(AttemptRecord, item)
            attempts.setdefault(attempt.job_id, []).append(attempt)
        return attempts

    def _describe(self, execution_id: str) -> WorkflowState | None:
        try:
            answer = self._workflow.describe_execution(executionArn=self.execution_arn(execution_id))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ExecutionDoesNotExist", "InvalidArn"):
                return None
            raise
        return WorkflowState(
            status=str(answer["status"]),
            started_at=answer["startDate"].astimezone(UTC),
            stopped_at=answer["stopDate"].astimezone(UTC) if answer.get("stopDate") else None,
            error=str(answer.get("error") or ""),
            cause=str(answer.get("cause") or ""),
        )

    def _committed(self, execution_id: str, jobs: tuple[JobRecord, ...]) -> dict[str, int]:
        running = [job for job in jobs if job.status is JobStatus.RUNNING][:_COUNTED_JOBS]
        if not running:
            return {}
        with ThreadPoolExecutor(max_workers=8) as pool:
            counts = pool.map(lambda job: self._markers(execution_id, job), running)
            return {job.job_id: count for job, count in zip(running, counts, strict=True) if count is not None}

    def _markers(self, execution_id: str, job: JobRecord) -> int | None:
        """Objects of which every model has a marker, or None when one listing does not tell."""
        page = self._s3.list_objects_v2(
            Bucket=self._deployment.results_bucket, Prefix=layout.ledger_prefix(execution_id, job.job_id)
        )
        if page.get("IsTruncated"):
            return None
        return min(int(page.get("KeyCount", 0)) // len(job.model_ids), job.object_count)


def check_request(request_json: str) -> None:
    """Refuse what PlanExecution would refuse for its form.

    Raises:
        InvalidInputError: with every problem.
    """
    try:
        request = json.loads(request_json)
    except json.JSONDecodeError as error:
        problem = Problem("request", request_json, f"JSON text such as {{}} ({error})")
        raise InvalidInputError("request", [problem]) from error
    parse_request(request)


def new_name(now: datetime) -> str:
    """An execution name that sorts by time and that nobody else gets."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
