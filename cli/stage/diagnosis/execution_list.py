"""Executions by time: from the table's index, with Step Functions' statuses."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from boto3.dynamodb.conditions import Key

from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from contract.status import ExecutionKind, ExecutionStatus
from contract.table import records
from contract.table.records import ExecutionRecord

STATUSES = ("RUNNING", "SUCCEEDED", "PARTLY_FAILED", "FAILED", "ABORTED", "TIMED_OUT")
"""Statuses of executions that people see: those of records, and two of Step Functions."""
_READ_ATTRIBUTES = (
    "schema_version",
    "execution_id",
    "execution_arn",
    "status",
    "started_at",
    "ended_at",
    "label",
    "plan",
    "kind",
    "jobs_succeeded",
    "jobs_failed",
    "resumes",
)
"""Attributes of a record that a list needs. Requests and reasons can be long."""
_SMALLEST_PAGE = 25
_LARGEST_PAGE = 1_000
"""Executions in the first query of the table, and in the largest. A page of the newest 20 costs a hundredth of a full
one, and a search for the few that failed among 10,000 takes 15 pages."""
_PAGE_OF_WORKFLOW = 1_000
"""Executions per call of ListExecutions, the most that Step Functions returns."""
_ROUNDING = timedelta(seconds=1)
"""Step Functions and the records may round start times differently."""


@dataclass(frozen=True)
class ListedExecution:
    """An execution in a list. Times are in UTC."""

    execution_id: str
    kind: ExecutionKind
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    label: str = ""
    jobs: int | None = None
    """Number of planned jobs; None before the plan, and if the request was refused."""
    jobs_succeeded: int = 0
    jobs_failed: int = 0
    resumes: str = ""
    """Id of the execution that this one continues."""


@dataclass(frozen=True)
class ListChoice:
    """Which executions a list has. Fields that are None or empty exclude none."""

    kind: ExecutionKind | None = None
    status: str = ""
    label: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def has(self, listed: ListedExecution) -> bool:
        """Return whether an execution of the choice's period is in the list."""
        return (
            self.kind in (None, listed.kind) and self.status in ("", listed.status) and self.label in ("", listed.label)
        )


class ExecutionList:
    """The executions of a stage, newest first, however they were started."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._workflow = connection.client("stepfunctions")
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self._machines = {
            ExecutionKind.SCORING: deployment.state_machine_arn,
            ExecutionKind.TRAINING: deployment.training_state_machine_arn,
        }

    def read(self, choice: ListChoice, limit: int) -> list[ListedExecution]:
        """Return the newest executions of a choice, at most `limit`.

        Records are read page by page until there are enough, so that a list of the newest is as
        quick with many executions as with few.
        """
        kinds = [choice.kind] if choice.kind is not None else list(self._machines)
        workflows = {kind: _Workflow(self._workflow, self._machines[kind]) for kind in kinds}
        seen: set[str] = set()

        def from_records() -> Iterator[ListedExecution]:
            for record in self._records(choice, min(max(limit, _SMALLEST_PAGE), _LARGEST_PAGE)):
                if record.kind in workflows:
                    seen.add(record.execution_id)
                    listed = _merged(record, workflows[record.kind])
                    if choice.has(listed):
                        yield listed

        found = list(islice(from_records(), limit))
        oldest = found[-1].started_at if len(found) == limit else None
        # An execution has no record for the first seconds.
        found += [
            listed
            for kind, workflow in workflows.items()
            for listed in workflow.unrecorded(kind, seen)
            if choice.has(listed) and _in_period(listed.started_at, choice)
            if oldest is None or listed.started_at >= oldest
        ]
        return sorted(found, key=lambda listed: listed.started_at, reverse=True)[:limit]

    def _records(self, choice: ListChoice, page: int) -> Iterator[ExecutionRecord]:
        key = Key(records.INDEX_PARTITION_KEY).eq(records.EXECUTIONS_COLLECTION)
        first = records.record_time(choice.since) if choice.since else ""
        # A sort key is `<time>#<id>`, and no character of an id sorts after a tilde.
        last = f"{records.record_time(choice.until)}#~" if choice.until else "~"
        names = {f"#{number}": name for number, name in enumerate(_READ_ATTRIBUTES)}
        for item in query_items(
            self._table,
            IndexName=records.INDEX_NAME,
            KeyConditionExpression=key & Key(records.INDEX_SORT_KEY).between(first or "0", last),
            ScanIndexForward=False,
            Limit=page,
            largest_page=_LARGEST_PAGE,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
        ):
            yield records.read_item(ExecutionRecord, {"request_json": "", **item})


class _Workflow:
    """The executions of a state machine in Step Functions, read as far back as they are needed."""

    def __init__(self, client: Any, machine_arn: str) -> None:
        self._pages = iter(
            client.get_paginator("list_executions").paginate(
                stateMachineArn=machine_arn, PaginationConfig={"PageSize": _PAGE_OF_WORKFLOW}
            )
        )
        self._by_id: dict[str, dict[str, Any]] = {}
        self._oldest: datetime | None = None
        self._complete = False

    def find(self, execution_id: str, started_at: datetime) -> dict[str, Any] | None:
        """Return an execution that started at this time; None if Step Functions has deleted it."""
        while not self._complete and (self._oldest is None or self._oldest > started_at - _ROUNDING):
            self._read_page()
        found = self._by_id.get(execution_id)
        # After 90 days, an execution may have the name of an older one.
        return found if found is not None and abs(_utc(found["startDate"]) - started_at) <= _ROUNDING else None

    def unrecorded(self, kind: ExecutionKind, recorded: set[str]) -> Iterator[ListedExecution]:
        """Yield running executions of the newest page without a record."""
        if self._oldest is None and not self._complete:
            self._read_page()
        for execution_id, found in self._by_id.items():
            if found["status"] == "RUNNING" and execution_id not in recorded:
                yield ListedExecution(execution_id, kind, "RUNNING", _utc(found["startDate"]))

    def _read_page(self) -> None:
        page = next(self._pages, None)
        if page is None or not page["executions"]:
            self._complete = True
            return
        for found in page["executions"]:
            # The newest execution of a name comes first.
            self._by_id.setdefault(found["name"], found)
        self._oldest = _utc(page["executions"][-1]["startDate"])


def _merged(record: ExecutionRecord, workflow: _Workflow) -> ListedExecution:
    started_at = datetime.fromisoformat(record.started_at)
    found = workflow.find(record.execution_id, started_at)
    status = shown_status(found["status"] if found else "", record.status)
    ended_at = datetime.fromisoformat(record.ended_at) if record.ended_at else None
    if ended_at is None and found is not None and found.get("stopDate"):
        ended_at = _utc(found["stopDate"])
    return ListedExecution(
        execution_id=record.execution_id,
        kind=record.kind,
        status=status,
        started_at=started_at,
        ended_at=ended_at,
        label=record.label,
        jobs=record.plan.job_count if record.plan else None,
        jobs_succeeded=record.jobs_succeeded,
        jobs_failed=record.jobs_failed,
        resumes=record.resumes,
    )


def shown_status(workflow_status: str, recorded: ExecutionStatus) -> str:
    """Return the status of an execution. Step Functions is right if it disagrees with the record.

    >>> shown_status("FAILED", ExecutionStatus.PARTLY_FAILED), shown_status("ABORTED", ExecutionStatus.FAILED)
    ('PARTLY_FAILED', 'ABORTED')
    """
    if workflow_status in ("", "PENDING_REDRIVE"):
        return recorded.value
    if workflow_status == "FAILED" and recorded is ExecutionStatus.PARTLY_FAILED:
        return recorded.value
    return workflow_status


def _in_period(moment: datetime, choice: ListChoice) -> bool:
    return (choice.since is None or choice.since <= moment) and (choice.until is None or moment <= choice.until)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
