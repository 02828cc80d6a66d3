"""What jobs wait for, in their records."""

from collections.abc import Mapping
from typing import Any

from contract.table import records
from contract.table.records import JobRecord
from lambdas.stage.tables.table import Table

NO_WAIT: Mapping[str, Any] = {"waiting_for": "", "waiting_since": "", "waiting_instances": 0}
"""Fields of a job that does not wait."""


class Waits(Table):
    """Writes what jobs wait for."""

    def record_wait(
        self, job: JobRecord, *, since: str, waiting_for: str, instances: int, waited_seconds: int | None = None
    ) -> None:
        """Note what a job waits for, unless it says so already or has changed since it was read.

        Only these fields change, because the workflow may note a failure at the same time.
        """
        waited = job.waited_seconds if waited_seconds is None else waited_seconds
        fields = {
            "waiting_since": since,
            "waiting_for": waiting_for,
            "waiting_instances": instances,
            "waited_seconds": waited,
        }
        if fields.items() <= vars(job).items():
            return
        try:
            self._dynamodb.update_item(
                TableName=self._table_name,
                Key=records.job_key(job.execution_id, job.job_id),
                UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in fields),
                ConditionExpression="#status = :status AND #attempt = :attempt",
                ExpressionAttributeNames={"#status": "status", "#attempt": "attempt"},
                ExpressionAttributeValues={
                    ":status": job.status.value,
                    ":attempt": job.attempt,
                    **{f":{name}": value for name, value in fields.items()},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return
