"""Executions: starting one, and what the table and Step Functions know about it."""

import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from cli.failures import CommandError, ExitStatus
from cli.stage.catalog import query
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract import layout
from contract.checks import raise_if_any
from contract.names import NEW_EXECUTION_NAME
from contract.problems import InvalidInputError, Problem
from contract.status import FINAL_EXECUTION_STATUSES, FINAL_JOB_STATUSES, ExecutionKind, ExecutionStatus, JobStatus
from contract.table import records
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.scoring_request import parse_request
from contract.workflow.training_request import parse_training_request

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
    arn: str = ""

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
    training: "Snapshot | None" = None
    """The training execution that this one waits for at the moment."""

    @property
    def kind(self) -> ExecutionKind:
        if self.record is not None:
            return self.record.kind
        return records.execution_kind(self.workflow.arn) if self.workflow is not None else ExecutionKind.SCORING

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
            return self._beginning()
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

    def _beginning(self) -> str:
        if self.record is None:
            return "The execution is being planned."
        if self.record.training_execution_id and self.record.plan is None:
            return f"It trains first, in execution {self.record.training_execution_id}."
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
        return self._start(self._deployment.state_machine_arn, request_json, name)

    def start_training(self, request_json: str, name: str | None = None) -> str:
        """Check the request and start a training execution with it; returns the execution's id.

        Raises:
            InvalidInputError: when the request is not one, with every problem.
            CommandError: when the name is taken.
        """
        check_training_request(request_json)
        return self._start(self._deployment.training_state_machine_arn, request_json, name)

    def _start(self, state_machine_arn: str, request_json: str, name: str | None) -> str:
        execution_id = name or new_name(datetime.now(UTC))
        raise_if_any(NEW_EXECUTION_NAME.problems("name", execution_id), "execution")
        try:
            self._workflow.start_execution(stateMachineArn=state_machine_arn, name=execution_id, input=request_json)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                raise CommandError(
                    f"There is an execution {execution_id!r} already, and its name stays taken for 90 days. Choose "
                    f"another --name, or look at that one with `fleetscore status {execution_id}`."
                ) from error
            raise
        return execution_id

    def execution_arn(self, execution_id: str) -> str:
        return _execution_arn(self._deployment.state_machine_arn, execution_id)

    def training_arn(self, execution_id: str) -> str:
        return _execution_arn(self._deployment.training_state_machine_arn, execution_id)

    def find_arn(self, execution: str) -> str:
        """The ARN of an execution of either workflow, by its id or ARN."""
        if execution.startswith("arn:"):
            return execution
        workflow = self._describe(execution)
        return workflow.arn if workflow is not None else self.execution_arn(execution)

    def workflow_status(self, execution_id: str) -> str | None:
        """What Step Functions says about an execution: RUNNING or how it ended; None when it knows none of the name."""
        workflow = self._describe_arn(self.execution_arn(execution_id))
        return None if workflow is None else workflow.status

    def snapshot(self, execution: str, *, count_committed: bool = True) -> Snapshot:
        """Read an execution by its id or ARN.

        Raises:
            CommandError: when neither Step Functions nor the table knows it.
        """
        execution_id = execution.rpartition(":")[2]
        # Step Functions first: once it says that the execution has ended, the records read after that are final.
        workflow = self._describe(execution)
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
        training = None
        if record is not None and record.training_execution_id and record.plan is None and not ended:
            with suppress(CommandError):  # It may not have begun.
                training = self.snapshot(record.training_execution_id)
        return Snapshot(execution_id, datetime.now(UTC), workflow, record, jobs, committed, training)

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

    def _describe(self, execution: str) -> WorkflowState | None:
        """An execution of the scoring workflow, else one of the training workflow. An ARN says which it is."""
        execution_id = execution.rpartition(":")[2]
        if execution.startswith("arn:") and records.execution_kind(execution) is ExecutionKind.TRAINING:
            return self._describe_arn(self.training_arn(execution_id))
        scoring = self._describe_arn(self.execution_arn(execution_id))
        return scoring or self._describe_arn(self.training_arn(execution_id))

    def _describe_arn(self, arn: str) -> WorkflowState | None:
        try:
            answer = self._workflow.describe_execution(executionArn=arn)
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
            arn=arn,
        )

    def _committed(self, execution_id: str, jobs: tuple[JobRecord, ...]) -> dict[str, int]:
        # A training job commits nothing before its end.
        scoring = [job for job in jobs if job.kind is ExecutionKind.SCORING]
        running = [job for job in scoring if job.status is JobStatus.RUNNING][:_COUNTED_JOBS]
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
    parse_request(_json(request_json))


def check_training_request(request_json: str) -> None:
    """Refuse what PlanTraining would refuse for its form.

    Raises:
        InvalidInputError: with every problem.
    """
    parse_training_request(_json(request_json))


def _json(request_json: str) -> Any:
    try:
        return json.loads(request_json)
    except json.JSONDecodeError as error:
        problem = Problem("request", request_json, f"JSON text such as {{}} ({error})")
        raise InvalidInputError("request", [problem]) from error


def _execution_arn(state_machine_arn: str, execution_id: str) -> str:
    return state_machine_arn.replace(":stateMachine:", ":execution:") + f":{execution_id}"


def new_name(now: datetime) -> str:
    """An execution name that sorts by time and that nobody else gets."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
