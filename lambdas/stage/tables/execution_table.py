"""The records of executions in the table."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from contract.status import ExecutionStatus
from contract.table import records
from contract.table.records import ExecutionRecord
from contract.workflow.messages import ExecutionPlan
from lambdas.errors import ExecutionClosedError, ExecutionNotFoundError
from lambdas.stage.tables.table import NEW, Table


class ExecutionTable(Table):
    """Reads and writes the records of executions. All writes are idempotent."""

    def __init__(self, dynamodb: Any, table_name: str, *, record_days: int) -> None:
        """`dynamodb` is a boto3 resource's client, which takes and returns plain Python values."""
        super().__init__(dynamodb, table_name)
        self._record_life = timedelta(days=record_days)

    def open_execution(self, record: ExecutionRecord) -> ExecutionRecord:
        """Write the execution's first record, or return the one that an earlier call wrote."""
        if self._put(self._execution_item(record), condition=NEW):
            return record
        return self.execution(record.execution_id)

    def execution(self, execution_id: str) -> ExecutionRecord:
        """Return the execution's record.

        Raises:
            ExecutionNotFoundError: when there is none.
        """
        record = self.find_execution(execution_id)
        if record is None:
            raise ExecutionNotFoundError(execution_id)
        return record

    def find_execution(self, execution_id: str) -> ExecutionRecord | None:
        return self._get(ExecutionRecord, records.execution_key(execution_id))

    def record_plan(self, record: ExecutionRecord, plan: ExecutionPlan) -> ExecutionPlan:
        """Add the plan to the running execution, or return the plan that an earlier call added.

        Raises:
            ExecutionClosedError: when the execution ended in the meantime.
        """
        item = self._execution_item(replace(record, plan=plan))
        condition = "#status = :running AND attribute_not_exists(#plan)"
        values = {":running": ExecutionStatus.RUNNING.value}
        if self._put(item, condition=condition, names={"#status": "status", "#plan": "plan"}, values=values):
            return plan
        current = self.execution(record.execution_id)
        if current.plan is None:
            raise ExecutionClosedError(current)
        return current.plan

    def close_execution(self, closed: ExecutionRecord) -> bool:
        """Write the execution's final record; return False if it was already closed."""
        values = {":running": ExecutionStatus.RUNNING.value}
        item = self._execution_item(closed)
        return self._put(item, condition="#status = :running", names={"#status": "status"}, values=values)

    def record_summary(self, execution_id: str, summary_uri: str) -> None:
        """Add the summary's URI to a closed execution, and change nothing else."""
        self._dynamodb.update_item(
            TableName=self._table_name,
            Key=records.execution_key(execution_id),
            UpdateExpression="SET summary_uri = :uri",
            ConditionExpression=f"attribute_exists({records.PARTITION_KEY})",
            ExpressionAttributeValues={":uri": summary_uri},
        )

    def record_closing_done(self, execution_id: str) -> None:
        """Note that all is written that follows the end of an execution, and change nothing else."""
        self._dynamodb.update_item(
            TableName=self._table_name,
            Key=records.execution_key(execution_id),
            UpdateExpression="SET closing_pending = :pending",
            ConditionExpression=f"attribute_exists({records.PARTITION_KEY})",
            ExpressionAttributeValues={":pending": False},
        )

    def _expires_at(self, *times: str) -> int:
        """Return when a record expires, from its latest time: a redriven execution ends long after its start."""
        latest = max(datetime.fromisoformat(time) for time in times if time)
        return int((latest + self._record_life).timestamp())

    def _execution_item(self, record: ExecutionRecord) -> dict[str, Any]:
        return records.execution_item(record, self._expires_at(record.started_at, record.ended_at))
