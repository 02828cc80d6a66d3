"""Finds the executions that may have open records, without reading the records of all."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from contract.deadlines.lateness import Lateness
from contract.problems import InvalidInputError
from contract.status import ExecutionStatus, JobStatus
from contract.table import records
from contract.table.records import ExecutionRecord, record_time
from lambdas.stage.tables.table import Table

_MARGIN = timedelta(days=1)
"""Age of an execution at which its record is certainly in the index."""


@dataclass(frozen=True)
class UnreadableExecution:
    """An execution whose record this release cannot read."""

    execution_id: str
    started_at: str
    why: str


class OpenExecutions(Table):
    """Reads executions whose records are RUNNING, whose closing is not complete, or that ended without a plan.

    The last ones may have jobs that their plan wrote after the end. An item remembers the start of the
    oldest execution that runs, so a search reads only the records since then.
    """

    def find(self) -> Iterator[ExecutionRecord | UnreadableExecution]:
        """Yield the executions that may have open records, oldest first. The index may be out of date."""
        found = self._dynamodb.get_item(
            TableName=self._table_name, Key=records.RECONCILIATION_KEY, ConsistentRead=True
        ).get("Item", {})
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            IndexName=records.INDEX_NAME,
            KeyConditionExpression=f"{records.INDEX_PARTITION_KEY} = :all AND {records.INDEX_SORT_KEY} >= :since",
            FilterExpression="#status = :running OR attribute_not_exists(#plan) OR closing_pending = :pending",
            ExpressionAttributeNames={"#status": "status", "#plan": "plan"},
            ExpressionAttributeValues={
                ":all": records.EXECUTIONS_COLLECTION,
                # An empty value is not allowed, and every time begins with a digit.
                ":since": found.get("since") or "0",
                ":running": ExecutionStatus.RUNNING.value,
                ":pending": True,
            },
        )
        for page in pages:
            yield from map(_read, page["Items"])

    def remember(self, oldest: str, now: datetime) -> None:
        """Let the next search begin at the start of the oldest execution that is still open, empty if none
        is. `now` is the time of this search.
        """
        latest = record_time(now - _MARGIN)
        since = min(oldest, latest) if oldest else latest
        self._put({**records.RECONCILIATION_KEY, "since": since})

    def record_lateness(self, execution_id: str, lateness: Lateness, expected_end_at: str) -> bool:
        """Note in a running execution's record that its deadline is endangered, and return whether that was new."""
        less = "lateness = :likely" if lateness is Lateness.CERTAIN else "attribute_not_exists(lateness)"
        values = {":running": ExecutionStatus.RUNNING.value, ":lateness": lateness.value, ":end": expected_end_at}
        if lateness is Lateness.CERTAIN:
            values[":likely"] = Lateness.LIKELY.value
        try:
            self._dynamodb.update_item(
                TableName=self._table_name,
                Key=records.execution_key(execution_id),
                UpdateExpression="SET lateness = :lateness, expected_end_at = :end",
                ConditionExpression=f"#status = :running AND (attribute_not_exists(lateness) OR {less})",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=values,
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def running_jobs(self, execution_id: str) -> Iterator[str]:
        """Yield the names of the SageMaker jobs of an execution's running jobs. The index may be out of
        date.
        """
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            IndexName=records.INDEX_NAME,
            KeyConditionExpression=f"{records.INDEX_PARTITION_KEY} = :jobs",
            ProjectionExpression="sagemaker_job_name",
            ExpressionAttributeValues={":jobs": records.jobs_by_status(execution_id, JobStatus.RUNNING)},
        )
        for page in pages:
            yield from (item["sagemaker_job_name"] for item in page["Items"] if item.get("sagemaker_job_name"))


def _read(item: dict[str, Any]) -> ExecutionRecord | UnreadableExecution:
    try:
        return records.read_item(ExecutionRecord, item)
    except InvalidInputError as error:
        started_at, _, execution_id = item[records.INDEX_SORT_KEY].partition("#")
        return UnreadableExecution(execution_id, started_at, str(error))
