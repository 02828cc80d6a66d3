"""Starts executions, and reads them from the table and Step Functions."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from cli.failures import CommandError
from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from cli.stage.executions.execution_snapshot import Snapshot, WorkflowState
from contract import layout
from contract.checks import raise_if_any
from contract.json_text import JsonError, parse_json
from contract.names import NEW_EXECUTION_NAME
from contract.problems import InvalidInputError, Problem
from contract.status import ExecutionKind, FailureKind, JobStatus
from contract.table import records
from contract.table.job_parts import group_parts, whole_job
from contract.table.job_progress import ledger_prefixes
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.request_size import sent_request
from contract.workflow.scoring_request import parse_request
from contract.workflow.training_request import parse_training_request

_COUNTED_JOBS = 32
"""Maximum number of jobs whose ledger is read for a snapshot. Each costs a ListObjectsV2 call."""


class Executions:
    """The executions of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._deployment = deployment
        self._workflow = connection.client("stepfunctions")
        self._s3 = connection.client("s3")
        self._table = connection.resource("dynamodb").Table(deployment.table_name)

    def start(self, request_json: str, name: str | None = None) -> str:
        """Validate the request, start an execution with it, and return the execution's id.

        Raises:
            InvalidInputError: with every problem of the request.
            CommandError: when the name is taken.
        """
        check_request(request_json)
        return self._start(self._deployment.state_machine_arn, request_json, name)

    def start_training(self, request_json: str, name: str | None = None) -> str:
        """Validate the request, start a training execution with it, and return the execution's id.

        Raises:
            InvalidInputError: with every problem of the request.
            CommandError: when the name is taken.
        """
        check_training_request(request_json)
        return self._start(self._deployment.training_state_machine_arn, request_json, name)

    def _start(self, state_machine_arn: str, request_json: str, name: str | None) -> str:
        execution_id = name or new_name(datetime.now(UTC))
        raise_if_any(NEW_EXECUTION_NAME.problems("name", execution_id), "execution")
        text = sent_request(_json(request_json))
        if name:
            self._refuse_recorded(_execution_arn(state_machine_arn, name), name)
        try:
            self._workflow.start_execution(stateMachineArn=state_machine_arn, name=execution_id, input=text)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                raise CommandError(
                    f"There is already an execution {execution_id!r}, and its name stays taken for 90 days. Choose "
                    f"another --name, or look at that one with `fleetscore status {execution_id}`."
                ) from error
            raise
        return execution_id

    def _refuse_recorded(self, arn: str, name: str) -> None:
        """Refuse the name of an execution that has a record, unless that one runs as `arn`.

        Step Functions forgets names after 90 days, and each workflow has names of its own. Records know them all.

        Raises:
            CommandError: when the name is taken.
        """
        item = self._table.get_item(Key=records.execution_key(name), ConsistentRead=True).get("Item")
        if item is None:
            return
        # Not read as a record: another release may have written it.
        recorded = str(item.get("execution_arn", ""))
        workflow = self._describe_arn(arn) if recorded == arn else None
        if workflow is None or workflow.ended:
            kind = records.execution_kind(recorded).value
            raise CommandError(
                f"There is already a {kind} execution {name!r}, started at {item.get('started_at')} and "
                f"{item.get('status')}: its records keep the name. Nothing was started. Choose another --name, or "
                f"look at that one with `fleetscore status {name}`."
            )

    def running_since(self, kind: ExecutionKind, execution_id: str) -> datetime | None:
        """Return when the execution of a workflow with this name started; None unless it runs.

        Step Functions answers a start with the name and input of a running execution as if it had
        started one, so a caller that names an execution asks before.
        """
        of_kind = self.training_arn if kind is ExecutionKind.TRAINING else self.execution_arn
        workflow = self._describe_arn(of_kind(execution_id))
        return None if workflow is None or workflow.ended else workflow.started_at

    def stop(self, arn: str, cause: str) -> None:
        """Stop an execution with its jobs. The execution and its records end shortly afterwards."""
        self._workflow.stop_execution(executionArn=arn, cause=cause)

    def execution_arn(self, execution_id: str) -> str:
        return _execution_arn(self._deployment.state_machine_arn, execution_id)

    def training_arn(self, execution_id: str) -> str:
        return _execution_arn(self._deployment.training_state_machine_arn, execution_id)

    def workflow_status(self, execution_id: str) -> str | None:
        """Return Step Functions' status of a scoring execution; None if it is unknown there."""
        workflow = self._describe_arn(self.execution_arn(execution_id))
        return None if workflow is None else workflow.status

    def names_running(self) -> list[str]:
        """Return the ids of the scoring executions that run now."""
        pages = self._workflow.get_paginator("list_executions").paginate(
            stateMachineArn=self._deployment.state_machine_arn, statusFilter="RUNNING"
        )
        return [item["name"] for page in pages for item in page["executions"]]

    def input_of(self, execution_id: str) -> str:
        """Return the JSON text of a scoring execution's request; empty if Step Functions does not know it."""
        try:
            answer = self._workflow.describe_execution(executionArn=self.execution_arn(execution_id))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return ""
            raise
        return str(answer.get("input", ""))

    def has_record(self, execution_id: str) -> bool:
        """Return whether the table has an execution. Step Functions forgets those that have ended."""
        return "Item" in self._table.get_item(Key=records.execution_key(execution_id), ConsistentRead=True)

    def snapshot(self, execution: str, *, count_committed: bool = True) -> Snapshot:
        """Read an execution by its id or ARN.

        Raises:
            CommandError: when it is neither in Step Functions nor in the table.
        """
        execution_id = execution.rpartition(":")[2]
        # Step Functions first: if it says that the execution has ended, the records read afterwards
        # are final.
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
        found = query_items(
            self._table,
            KeyConditionExpression=condition & Key(records.SORT_KEY).begins_with(records.JOB_SORT_PREFIX),
            ConsistentRead=True,
        )
        items = tuple(records.read_item(JobRecord, item) for item in found)
        by_job = group_parts(items)
        jobs = tuple(whole_job(parts) for parts in by_job.values())
        split = {job_id: parts for job_id, parts in by_job.items() if parts[0].part}
        ended = workflow is not None and workflow.ended
        committed = self._committed(execution_id, items) if count_committed else {}
        training = None
        if record is not None and record.training_execution_id and record.plan is None and not ended:
            with suppress(CommandError):  # The training may not have started.
                training = self.snapshot(record.training_execution_id)
        return Snapshot(execution_id, datetime.now(UTC), workflow, record, jobs, committed, training, split)

    def attempts(self, execution_id: str) -> dict[str, list[AttemptRecord]]:
        """Return every attempt of an execution in order, by the id of its job or part."""
        condition = Key(records.PARTITION_KEY).eq(records.execution_key(execution_id)[records.PARTITION_KEY])
        attempts: dict[str, list[AttemptRecord]] = {}
        for item in query_items(
            self._table,
            KeyConditionExpression=condition & Key(records.SORT_KEY).begins_with(records.ATTEMPT_SORT_PREFIX),
            ConsistentRead=True,
        ):
            attempt = records.read_item(AttemptRecord, item)
            attempts.setdefault(attempt.job_id, []).append(attempt)
        return attempts

    def _describe(self, execution: str) -> WorkflowState | None:
        """Return an execution of the scoring workflow, else of the training workflow.

        An ARN names the workflow.
        """
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
        # A training job commits nothing before it ends. A failed job's record may have its count. A job that
        # was stopped may have committed its last objects after its record was closed.
        scoring = [job for job in jobs if job.kind is ExecutionKind.SCORING and job.attempt]
        running = [job for job in scoring if job.status in (JobStatus.RUNNING, JobStatus.WAITING)]
        failed = [job for job in scoring if job.status is JobStatus.FAILED]
        uncounted = [job for job in failed if not job.commits]
        stopped = [job for job in failed if job.commits and job.failure_kind is FailureKind.STOPPED]
        counted = [*running, *uncounted, *stopped][:_COUNTED_JOBS]
        if not counted:
            return {}
        with ThreadPoolExecutor(max_workers=8) as pool:
            counts = pool.map(self._committed_objects, counted)
            return {job.job_id: count for job, count in zip(counted, counts, strict=True) if count is not None}

    def _committed_objects(self, job: JobRecord) -> int | None:
        """Return the number of objects that every model has committed; None for many segments."""
        commits = 0
        for prefix in ledger_prefixes(job):
            page = self._s3.list_objects_v2(Bucket=self._deployment.results_bucket, Prefix=prefix)
            if page.get("IsTruncated"):
                return None
            names = (entry["Key"].removeprefix(prefix) for entry in page.get("Contents", ()))
            commits += sum(layout.commits_in_segment(name) or 0 for name in names)
        return min(commits // len(job.model_ids), job.object_count)


def execution_record(table: Any, execution_id: str) -> ExecutionRecord | None:
    """Return the record of an execution; None if there is none."""
    item = table.get_item(Key=records.execution_key(execution_id), ConsistentRead=True).get("Item")
    return records.read_item(ExecutionRecord, item) if item else None


def jobs_of(table: Any, execution_id: str) -> list[JobRecord]:
    """Return the records of an execution's jobs and parts, by their ids."""
    condition = Key(records.PARTITION_KEY).eq(records.execution_key(execution_id)[records.PARTITION_KEY])
    condition &= Key(records.SORT_KEY).begins_with(records.JOB_SORT_PREFIX)
    items = query_items(table, KeyConditionExpression=condition, ConsistentRead=True)
    return [records.read_item(JobRecord, item) for item in items]


def check_request(request_json: str) -> None:
    """Validate a request as PlanExecution does, except for what depends on the deployment.

    Raises:
        InvalidInputError: with every problem.
    """
    parse_request(_json(request_json))


def check_training_request(request_json: str) -> None:
    """Validate a training request as PlanTraining does, except for what depends on the deployment.

    Raises:
        InvalidInputError: with every problem.
    """
    parse_training_request(_json(request_json))


def _json(request_json: str) -> Any:
    try:
        return parse_json(request_json, keep_surrogates=True)
    except JsonError as error:
        problem = Problem("request", request_json, f"JSON text such as {{}}, but {error}")
        raise InvalidInputError("request", [problem]) from error


def _execution_arn(state_machine_arn: str, execution_id: str) -> str:
    return state_machine_arn.replace(":stateMachine:", ":execution:") + f":{execution_id}"


def new_name(now: datetime) -> str:
    """Return a unique execution name that sorts by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
